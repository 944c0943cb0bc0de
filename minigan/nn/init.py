"""Initialisation: functions that fill a tensor in place and return it.

Names, arguments and distributions are PyTorch's. `generator` defaults to minigan's own. The fan of
a weight is the number of inputs (fan_in) or outputs (fan_out) that one unit is connected to:
shape[1] or shape[0] times the size of the kernel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigan.backends import kernels_for
from minigan.errors import ConfigError, ShapeError
from minigan.random import Generator, default_generator
from minigan.tensor import Tensor


def _fill(tensor: Tensor, values: Any) -> Tensor:
    tensor._array[...] = values
    tensor._version[0] += 1
    return tensor


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """U(a, b)."""
    source = generator or default_generator
    return _fill(tensor, source.uniform(tensor.shape, a, b, tensor.dtype, tensor.device))


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """N(mean, std^2)."""
    source = generator or default_generator
    return _fill(tensor, source.normal(tensor.shape, mean, std, tensor.dtype, tensor.device))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """N(mean, std^2) cut to [a, b], by inverting the distribution function."""
    from scipy.special import ndtr, ndtri  # slow to import, and used by few

    low, high = ndtr((a - mean) / std), ndtr((b - mean) / std)
    uniform = (generator or default_generator).uniform(tensor.shape, low, high, np.float64, "cpu")
    values = (mean + std * ndtri(uniform)).clip(a, b)
    return _fill(tensor, kernels_for(tensor._array).xp.asarray(values))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """All `val`."""
    return _fill(tensor, val)


def zeros_(tensor: Tensor) -> Tensor:
    """All 0."""
    return _fill(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """All 1."""
    return _fill(tensor, 1)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a layer followed by this activation.

    `param` is the negative slope of "leaky_relu" (0.01 by default).
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    gains = {"tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
    linear = ("linear", "sigmoid", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
              "conv_transpose2d", "conv_transpose3d")  # fmt: skip
    gains.update(dict.fromkeys(linear, 1.0))
    if nonlinearity not in gains:
        known = ", ".join(["leaky_relu", *gains])
        raise ConfigError(f"no gain for nonlinearity {nonlinearity!r}: use one of {known}")
    return gains[nonlinearity]


def _fans(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out)."""
    if tensor.ndim < 2:
        raise ShapeError(f"fan_in and fan_out need two dimensions or more; this tensor has shape "
                         f"{tuple(tensor.shape)}")  # fmt: skip
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    bound = gain * math.sqrt(6 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """N(0, s^2), s = gain sqrt(2 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(_fans(tensor))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ConfigError(f"mode {mode!r} is unknown: use 'fan_in' or 'fan_out'")
    fan = _fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """U(-b, b), b = gain sqrt(3 / fan), with `a` the slope of a leaky ReLU (He et al. 2015)."""
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """N(0, s^2), s = gain / sqrt(fan), with `a` the slope of a leaky ReLU (He et al. 2015)."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """A matrix [shape[0], rest] with orthonormal rows or columns, times gain (Saxe et al. 2013)."""
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_ needs two dimensions or more; this tensor has shape "
                         f"{tuple(tensor.shape)}")  # fmt: skip
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    tall = (max(rows, columns), min(rows, columns))
    gaussian = (generator or default_generator).normal(tall, dtype=np.float64, device="cpu")
    q, r = np.linalg.qr(gaussian)
    q *= np.sign(np.diagonal(r))  # makes the factorisation unique, and q uniformly distributed
    values = gain * (q if rows >= columns else q.T).reshape(tensor.shape)
    return _fill(tensor, kernels_for(tensor._array).xp.asarray(values))
