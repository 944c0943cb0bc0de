"""Random numbers: a counter-based generator, the same numbers on every device.

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) turns a counter
and a key into four random words, so a generator's whole state is two integers: `seed`, the key,
and `offset`, the next counter. A draw moves the offset past the counters that it used; nothing
else is kept, and a saved state resumes the sequence exactly.

A generator is not locked: give each thread its own.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minigan.backends import kernels_on
from minigan.backends.protocol import Array, Kernels
from minigan.device import Device
from minigan.device import device as as_device
from minigan.errors import ConfigError, DTypeError, ShapeError

Shape = int | Iterable[int]
_WORDS_PER_COUNTER = 4
_MASK64 = 0xFFFFFFFFFFFFFFFF
_COUNTED = 1024  # a permutation of so many is made by n^2 comparisons


class Generator:
    """A stream of random numbers with the state (seed, offset).

    `device` is where a draw lands when the call names no other; the numbers do not depend on it.
    """

    def __init__(self, seed: int = 0, device: str | Device = "cpu") -> None:
        self.device = as_device(device)
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed`, a 64-bit integer (signed or unsigned), from its beginning."""
        self._seed = _integer("seed", seed, -(1 << 63), 1 << 64) & _MASK64
        self._offset = 0
        return self

    def initial_seed(self) -> int:
        """The seed in use, as an unsigned 64-bit integer."""
        return self._seed

    def get_state(self) -> dict[str, int]:
        """`{"seed": ..., "offset": ...}`: everything that decides the draws to come."""
        return {"seed": self._seed, "offset": self._offset}

    def set_state(self, state: Mapping[str, int]) -> None:
        """Continue where `get_state` was called."""
        if not isinstance(state, Mapping) or set(state) != {"seed", "offset"}:
            raise ConfigError(
                f"a generator's state is a dict with 'seed' and 'offset', not {state!r}"
            )
        seed = _integer("seed", state["seed"], 0, 1 << 64)
        self._offset = _integer("offset", state["offset"], 0, 1 << 64)
        self._seed = seed

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed}, offset={self._offset}, device='{self.device}')"

    # --- draws ----------------------------------------------------------------------------------
    def uniform(
        self,
        shape: Shape,
        low: float = 0.0,
        high: float = 1.0,
        dtype: Any = np.float32,
        device: str | Device | None = None,
    ) -> Array:
        """Uniform on [low, high), up to rounding: 24 random bits, in float64 53 (two words)."""
        dtype, kernels = _float_dtype(dtype, "uniform"), self._kernels(device)
        dims, n = _shape_and_count(shape)
        if dtype == np.float64:
            values = self._uniform53(kernels, n)
        else:
            values = kernels.philox_uniform(*self._take(n), n).astype(dtype, copy=False)
        return _scaled(values, low, high - low).reshape(dims)

    def normal(
        self,
        shape: Shape,
        mean: float = 0.0,
        std: float = 1.0,
        dtype: Any = np.float32,
        device: str | Device | None = None,
    ) -> Array:
        """Gaussian, by the Box-Muller transform of two uniform numbers; |z| <= 5.8, in float64
        (from 53-bit numbers) <= 8.6. Raises ConfigError for a negative `std`."""
        if std < 0:
            raise ConfigError(f"normal: std must not be negative, got {std}")
        dtype, kernels = _float_dtype(dtype, "normal"), self._kernels(device)
        dims, n = _shape_and_count(shape)
        if dtype == np.float64:
            xp = kernels.xp
            pairs = self._uniform53(kernels, n + n % 2).reshape(-1, 2)
            radius = xp.sqrt(-2 * xp.log(1 - pairs[:, 0]))  # 1 - u is never 0
            angle = 2 * math.pi * pairs[:, 1]
            pairs[:, 0], pairs[:, 1] = radius * xp.cos(angle), radius * xp.sin(angle)
            values = pairs.reshape(-1)[:n]
        else:
            values = kernels.philox_normal(*self._take(n), n).astype(dtype, copy=False)
        return _scaled(values, mean, std).reshape(dims)

    def randint(
        self, low: int, high: int, shape: Shape, device: str | Device | None = None
    ) -> Array:
        """int64, uniform on low, ..., high - 1: the high word of (64 random bits) * (high - low).

        A value's probability is off by at most 2**-64, so by less than 2**-32 of itself. Raises
        ConfigError for an empty range or one of more than 2**32 values.
        """
        low, high = (_integer(name, value, -(1 << 63), (1 << 63) + 1)
                     for name, value in (("low", low), ("high", high)))  # fmt: skip
        span = high - low
        if not 0 < span <= 1 << 32:
            raise ConfigError(
                f"randint: the range [{low}, {high}) has {span} values; it needs 1 to 2**32"
            )
        dims, n = _shape_and_count(shape)
        words = self._kernels(device).philox(*self._take(2 * n), 2 * n).astype(np.uint64)
        carry = (words[1::2] * np.uint64(span)) >> np.uint64(32)
        scaled = (words[0::2] * np.uint64(span) + carry) >> np.uint64(32)  # cannot overflow
        return (scaled.astype(np.int64) + low).reshape(dims)

    def permutation(self, n: int, device: str | Device | None = None) -> Array:
        """int64 [n]: 0, ..., n - 1 in random order, by sorting random 64-bit keys."""
        kernels, (_, n) = self._kernels(device), _shape_and_count(n)
        words = kernels.philox(*self._take(2 * n), 2 * n).astype(np.uint64)
        keys = (words[0::2] << np.uint64(32)) | words[1::2]
        if kernels.name == "cuda" and n <= _COUNTED:
            return _order_by_counting(kernels.xp, keys)
        return kernels.xp.argsort(keys, kind="stable").astype(np.int64, copy=False)

    def bernoulli_mask(self, shape: Shape, p: float, device: str | Device | None = None) -> Array:
        """bool, each True with probability `p` (to 2**-24)."""
        if not 0 <= p <= 1:
            raise ConfigError(f"a probability must be between 0 and 1, got {p}")
        return self.uniform(shape, device=device) < np.float32(p)

    def dropout_mask(
        self, shape: Shape, p: float, dtype: Any = np.float32, device: str | Device | None = None
    ) -> Array:
        """0 with probability `p` < 1 (to 2**-24), else 1 / (1 - p)."""
        dtype, kernels = _float_dtype(dtype, "dropout_mask"), self._kernels(device)
        dims, n = _shape_and_count(shape)
        mask = kernels.philox_mask(*self._take(n), n, p).reshape(dims)
        return mask if dtype == np.float32 else (mask > 0) * dtype.type(1 / (1 - p))

    def _kernels(self, device: str | Device | None) -> Kernels:
        return kernels_on(self.device if device is None else as_device(device))

    def _take(self, words: int) -> tuple[int, int]:
        """(seed, offset) of the next `words` words; moves past the counters that they use."""
        offset = self._offset
        self._offset = (offset + -(-words // _WORDS_PER_COUNTER)) & _MASK64
        return self._seed, offset

    def _uniform53(self, kernels: Kernels, n: int) -> Array:
        words = kernels.philox(*self._take(2 * n), 2 * n)
        high, low = words[0::2] >> np.uint32(5), words[1::2] >> np.uint32(6)
        return (high * np.float64(1 << 26) + low) * 2.0**-53


def _integer(name: str, value: Any, least: int, bound: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise ConfigError(f"{name} must be an integer, got {value!r}") from None
    if not least <= number < bound:
        raise ConfigError(f"{name} must be in [{least}, {bound}), got {number}")
    return number


def _float_dtype(dtype: Any, what: str) -> np.dtype:
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise DTypeError(f"{what} draws floating-point numbers; got dtype {dtype}")
    return dtype


def _shape_and_count(shape: Shape) -> tuple[tuple[int, ...], int]:
    try:
        dims = tuple(map(operator.index, shape if isinstance(shape, Iterable) else (shape,)))
    except TypeError:
        raise ShapeError(f"a shape is made of ints, got {shape!r}") from None
    if any(length < 0 for length in dims):
        raise ShapeError(f"a shape cannot be negative, got {dims}")
    return dims, math.prod(dims)


def _order_by_counting(xp: Any, keys: Array) -> Array:
    """argsort(keys), stable: the place of each is the number of those before it. A GPU's sort waits
    for its result, so it can be no part of a captured step."""
    places = xp.arange(len(keys))
    mine, others = keys[:, None], keys[None, :]
    before = (others < mine) | ((others == mine) & (places[None, :] < places[:, None]))
    order = xp.empty(len(keys), np.int64)
    order[before.sum(axis=1)] = places
    return order


def _scaled(values: Array, shift: float, scale: float) -> Array:
    """values * scale + shift, in place and in their dtype."""
    if scale != 1:
        values *= scale
    if shift != 0:
        values += shift
    return values


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, which draws whenever a call names no generator; returns it."""
    return default_generator.manual_seed(seed)


def get_state() -> dict[str, int]:
    """The state of the default generator."""
    return default_generator.get_state()


def set_state(state: Mapping[str, int]) -> None:
    """Restore the default generator."""
    default_generator.set_state(state)
