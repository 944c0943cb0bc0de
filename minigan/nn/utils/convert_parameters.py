"""Parameters as one flat vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from minigan.errors import ShapeError
from minigan.ops import cat
from minigan.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of all parameters in one vector; differentiable."""
    return cat([param.reshape(-1) for param in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the pieces of a vector into the parameters, in place."""
    params = list(parameters)
    total = sum(param.numel() for param in params)
    if tuple(vec.shape) != (total,):
        raise ShapeError(f"vector_to_parameters: a vector of {total} elements is needed for these "
                         f"parameters; got shape {tuple(vec.shape)}")  # fmt: skip
    start = 0
    for param in params:
        piece = vec._array[start : start + param.numel()]
        param._array[...] = piece.reshape(param.shape)
        param._version[0] += 1
        start += param.numel()
