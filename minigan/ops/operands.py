"""From what a user writes in an expression to tensors of one dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.autograd import Function
from minigan.backends import kernels_for, kernels_on
from minigan.device import Device, device_of, gpu_index
from minigan.errors import DeviceError, DTypeError, ShapeError
from minigan.tensor import Tensor

DEFAULT_FLOAT = np.dtype(np.float32)


class Cast(Function):
    """y = x in another floating-point dtype; dx = dy in the dtype of x."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype

    def forward(self, x: Any) -> Any:
        self.source = x.dtype
        return x.astype(self.dtype)

    def backward(self, grad: Tensor) -> Tensor:
        return Cast(self.source)(grad)


class ToDevice(Function):
    """y = x in the memory of another device; dx = dy in that of x."""

    def __init__(self, target: Device) -> None:
        self.target = target

    def forward(self, x: Any) -> Any:
        self.source = device_of(x)
        kernels = kernels_on(self.target)  # raises, and says what to do, where there is none
        if self.target.type == "cuda":
            return kernels.xp.asarray(x)  # from the host, or from another GPU to the current one
        return kernels_for(x).xp.asnumpy(x)

    def backward(self, grad: Tensor) -> Tensor:
        return ToDevice(self.source)(grad)


def cast(x: Tensor, dtype: Any) -> Tensor:
    """x with another dtype; differentiable between floating-point dtypes."""
    dtype = np.dtype(dtype)
    if dtype == x.dtype:
        return x
    if dtype.kind != "f" or x.dtype.kind != "f":
        return Tensor._wrap(x._array.astype(dtype))
    return Cast(dtype)(x)


def result_dtype(a: np.dtype, b: np.dtype) -> np.dtype:
    """NumPy's promotion, but an integer or bool tensor never widens a floating-point one."""
    if a.kind == "f" and b.kind != "f":
        return a
    if b.kind == "f" and a.kind != "f":
        return b
    return np.promote_types(a, b)


def as_operand(value: Any, like: Tensor, op: str) -> Tensor:
    """A number, array or tensor as a tensor beside `like`; numbers take its dtype."""
    if isinstance(value, Tensor):
        return value
    kernels = kernels_for(like._array)
    if isinstance(value, (bool, int, float, np.bool_)) or (
        isinstance(value, np.generic) and value.ndim == 0
    ):
        dtype = like.dtype
        if dtype.kind != "f":
            whole = isinstance(value, (bool, int, np.bool_, np.integer))
            dtype = np.promote_types(dtype, np.int64) if whole else DEFAULT_FLOAT
            dtype = like.dtype if whole and like.dtype.kind in "iu" else dtype
        return Tensor._wrap(kernels.constant(value, dtype))
    if isinstance(value, (np.ndarray, list, tuple)):
        return Tensor._wrap(kernels.xp.asarray(value))
    raise DTypeError(f"{op}: cannot use a {type(value).__name__} as an operand")


def promoted(a: Any, b: Any, op: str) -> tuple[Tensor, Tensor]:
    """Both sides of a binary operation as tensors of one dtype."""
    if isinstance(a, Tensor):
        b = as_operand(b, a, op)
    else:
        a = as_operand(a, b, op)
    if a.dtype != b.dtype:
        dtype = result_dtype(a.dtype, b.dtype)
        a, b = cast(a, dtype), cast(b, dtype)
    return a, b


def operands(a: Any, b: Any, op: str) -> tuple[Tensor, Tensor]:
    """Both sides of an elementwise operation: of one dtype, and broadcastable."""
    a, b = promoted(a, b, op)
    if a._array.shape != b._array.shape:
        check_broadcast(a._array.shape, b._array.shape, f"{op}:")
    return a, b


def check_broadcast(a: tuple[int, ...], b: tuple[int, ...], where: str) -> None:
    """Raise ShapeError unless the shapes a and b broadcast."""
    try:
        np.broadcast_shapes(a, b)
    except ValueError:
        raise ShapeError(f"{where} shapes {tuple(a)} and {tuple(b)} do not broadcast") from None


def check_dtypes(op: str, input: Tensor, **others: Tensor | None) -> None:
    """Raise DTypeError unless the parameters `others` have the dtype of the input."""
    for name, t in others.items():
        if t is not None and t.dtype != input.dtype:
            raise DTypeError(f"{op}: input is {input.dtype} but {name} is {t.dtype}; convert one")


def require_one_device(op: str, x: Tensor, *others: Tensor) -> None:
    """Raise DeviceError, naming both, unless all tensors are on the device of x."""
    for other in others:
        if gpu_index(other._array) != gpu_index(x._array):
            raise DeviceError(
                f"{op}: operands on different devices ({x.device}, {other.device}); move one with "
                ".to()"
            )


def require_float(x: Tensor, op: str) -> Tensor:
    """x, or x as float32 when it holds integers or bools."""
    if not isinstance(x, Tensor):
        raise DTypeError(f"{op}: expected a Tensor, got {type(x).__name__}")
    return x if x.dtype.kind == "f" else cast(x, DEFAULT_FLOAT)


def normalize_axis(axis: int, ndim: int, op: str) -> int:
    """A possibly negative axis as 0..ndim-1."""
    if not -max(ndim, 1) <= axis < max(ndim, 1):
        raise ShapeError(f"{op}: dim {axis} is out of range for a tensor of {ndim} dimensions")
    return axis % max(ndim, 1)


def pair(value: Any, what: str) -> tuple[int, int]:
    """An int, or a pair of ints, as (height, width)."""
    values = (value, value) if isinstance(value, (int, np.integer)) else tuple(value)
    if len(values) != 2:
        raise ShapeError(f"{what} must be an int or a pair (height, width); got {value!r}")
    return int(values[0]), int(values[1])


def check_index(index: Any, rows: int, op: str, what: str = "index") -> None:
    """Raise ShapeError unless every element lies in 0..rows-1.

    Only for arrays on the host: reading one back from a GPU would stall it, and break a captured
    training step.
    """
    if not isinstance(index, np.ndarray) or not index.size:
        return
    low, high = int(index.min()), int(index.max())
    if low < 0 or high >= rows:
        wrong = low if low < 0 else high
        raise ShapeError(f"{op}: {what} {wrong} is out of range: it must lie in 0..{rows - 1}")
