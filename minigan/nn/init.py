"""Initial weights: each function fills a tensor in place and returns it.

fan_in and fan_out are the inputs and outputs of a unit: weight.shape[1] and shape[0], times the
kernel's area. `generator` draws from a stream of its own instead of the default one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigan.autograd import no_grad
from minigan.errors import ConfigError, ShapeError
from minigan.random import Generator, default_generator
from minigan.tensor import Tensor


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """U[a, b)."""
    with no_grad():
        return tensor.uniform_(a, b, generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """N(mean, std^2)."""
    with no_grad():
        return tensor.normal_(mean, std, generator)


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """N(mean, std^2) restricted to [a, b], by inverting its distribution function."""
    from scipy.special import ndtr, ndtri

    low, high = ndtr((a - mean) / std), ndtr((b - mean) / std)
    draw = (generator or default_generator).uniform(tuple(tensor.shape), low, high, np.float64)
    with no_grad():
        return tensor.copy_(np.clip(ndtri(draw) * std + mean, a, b))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """The same value everywhere."""
    with no_grad():
        return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return constant_(tensor, 1.0)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights before a nonlinearity should be larger."""
    gains = {"linear": 1.0, "conv2d": 1.0, "conv_transpose2d": 1.0, "sigmoid": 1.0}
    gains.update(tanh=5.0 / 3, relu=math.sqrt(2.0), selu=0.75)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in gains:
        known = ", ".join([*gains, "leaky_relu"])
        raise ConfigError(f"no gain is known for {nonlinearity!r}: use one of {known}")
    return gains[nonlinearity]


def _fans(tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ShapeError(f"fan in and out need 2 dimensions or more; got {tuple(tensor.shape)}")
    area = math.prod(tensor.shape[2:])
    return tensor.shape[1] * area, tensor.shape[0] * area


def fan_in_uniform_(bias: Tensor, fan_in: int, generator: Any = None) -> Tensor:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)), the usual start of a bias."""
    bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0.0
    return uniform_(bias, -bound, bound, generator)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """U(-a, a) with a = gain sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """N(0, s^2) with s = gain sqrt(2 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ConfigError(f"mode {mode!r} is unknown; use 'fan_in' or 'fan_out'")
    fan = _fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:  # fmt: skip
    """U(-b, b) with b = sqrt(3) gain / sqrt(fan) (He et al. 2015); a is the leaky slope."""
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:  # fmt: skip
    """N(0, s^2) with s = gain / sqrt(fan) (He et al. 2015); a is the leaky slope."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """gain times a random matrix [shape[0], rest] with orthonormal rows or columns."""
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_ needs 2 dimensions or more; got {tuple(tensor.shape)}")
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    draw = (generator or default_generator).normal((rows, columns), dtype=np.float64, device="cpu")
    q, r = np.linalg.qr(draw if rows >= columns else draw.T)
    q = q * np.sign(np.diag(r))  # makes the distribution uniform
    q = q if rows >= columns else q.T
    with no_grad():
        return tensor.copy_((gain * q).reshape(tuple(tensor.shape)))
