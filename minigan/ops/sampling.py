"""Operations that draw or look up: dropout and embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minigan.autograd import Function
from minigan.backends import kernels_for
from minigan.errors import ConfigError, DTypeError, ShapeError
from minigan.ops.operands import check_index, require_float, require_one_device
from minigan.ops.shape import Take
from minigan.tensor import Tensor

if TYPE_CHECKING:
    from minigan.random import Generator


class Dropout(Function):
    """y = x m / (1 - p) for a mask m of zeros and ones; dx = dy m / (1 - p): its own adjoint."""

    makes_new = True

    def __init__(self, scaled_mask: Any) -> None:
        self.scaled_mask = scaled_mask

    def forward(self, x: Any) -> Any:
        return kernels_for(x).apply_mask(x, self.scaled_mask)

    def backward(self, grad: Tensor) -> Tensor:
        return Dropout(self.scaled_mask)(grad)


def _dropped(
    input: Tensor, p: float, training: bool, generator: Generator | None, mask_shape: Any, op: str
) -> Tensor:
    if not 0.0 <= p <= 1.0:
        raise ConfigError(f"{op}: p must lie in [0, 1]; got {p}")
    x = require_float(input, op)
    if not training or p == 0.0:
        return x
    if p == 1.0:
        return x * 0.0
    from minigan.random import default_generator

    draws = generator or default_generator
    return Dropout(draws.dropout_mask(mask_shape, p, x.dtype, x.device))(x)


def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """Zero each element with probability p and scale the others by 1 / (1 - p)."""
    return _dropped(input, p, training, generator, tuple(input.shape), "dropout")


def dropout2d(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """Zero each channel of each sample of [N,C,H,W] with probability p, scale the others."""
    if input.ndim < 3:
        raise ShapeError(f"dropout2d: input must be [N,C,H,W]; got shape {tuple(input.shape)}")
    mask_shape = (*input.shape[:2], *(1,) * (input.ndim - 2))
    return _dropped(input, p, training, generator, mask_shape, "dropout2d")


def embedding(input: Tensor, weight: Tensor) -> Tensor:
    """Rows of weight [K,D] for integer indices of any shape [...] -> [...,D]."""
    if input.dtype.kind not in "iu":
        raise DTypeError(f"embedding: indices must be integers; got {input.dtype}")
    require_one_device("embedding", weight, input)
    index = input._array.reshape(-1)
    check_index(index, weight.shape[0], "embedding")
    return Take(index, 0)(weight).reshape(*input.shape, weight.shape[1])
