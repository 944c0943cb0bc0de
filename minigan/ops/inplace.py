"""Changes in place: for parameters, buffers and data, never inside a recorded computation.

Each change raises the version of the memory, so that a backward which saved it says so instead of
using the new values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minigan.autograd import is_grad_enabled
from minigan.backends import kernels_for
from minigan.backends.recorded import recorded
from minigan.errors import GradError, ShapeError
from minigan.ops.elementwise import add, div, mul, sub
from minigan.ops.shape import _plain_key
from minigan.tensor import Tensor

if TYPE_CHECKING:
    from minigan.random import Generator


def _writable(x: Tensor, op: str) -> Any:
    """The array of x; refused where a gradient would become wrong."""
    if is_grad_enabled() and x.requires_grad:
        kind = "a leaf" if x.is_leaf else "the result of an operation"
        raise GradError(
            f"{op}: this tensor is {kind} that requires a gradient: change it inside no_grad(), "
            "or use the operation that returns a new tensor"
        )
    return recorded(x._array)


def _changed(x: Tensor) -> Tensor:
    """x, its memory marked as changed. After the change: one that failed must leave no mark."""
    x._version[0] += 1
    return x


def _value(value: Any, beside: Tensor) -> Any:
    """A number as it is, anything else as an array on the device of `beside`."""
    if isinstance(value, Tensor):
        return value._array if value.device == beside.device else value.to(beside.device)._array
    if isinstance(value, np.ndarray | list | tuple) and np.ndim(value):
        return kernels_for(beside._array).xp.asarray(value)
    return value


def setitem(x: Tensor, key: Any, value: Any) -> None:
    """x[key] = value."""
    array = _writable(x, "x[...] = value")
    try:
        array[_plain_key(key, x)] = _value(value, x)
    except (IndexError, ValueError) as error:
        raise ShapeError(f"x[...] = value for x of shape {tuple(x.shape)}: {error}") from None
    _changed(x)


def copy_(x: Tensor, source: Any) -> Tensor:
    """Overwrite x with `source`, broadcast to its shape."""
    array = _writable(x, "copy_")
    try:
        array[...] = _value(source, x)
    except ValueError:
        raise ShapeError(
            f"copy_: shape {tuple(np.shape(source))} does not broadcast to {tuple(x.shape)}"
        ) from None
    return _changed(x)


def fill_(x: Tensor, value: float) -> Tensor:
    """Set every element to `value`."""
    _writable(x, "fill_")[...] = _value(value, x)
    return _changed(x)


def zero_(x: Tensor) -> Tensor:
    """Set every element to 0."""
    return fill_(x, 0)


def clamp_(x: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """Limit every element to [min, max]."""
    array = _writable(x, "clamp_")
    kernels_for(array).clip_to(array, min, max)
    return _changed(x)


def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Draw every element from N(mean, std^2)."""
    return copy_(x, _generator(generator).normal(tuple(x.shape), mean, std, x.dtype, x.device))


def uniform_(x: Tensor, low: float = 0.0, high: float = 1.0, generator: Any = None) -> Tensor:
    """Draw every element from U[low, high)."""
    return copy_(x, _generator(generator).uniform(tuple(x.shape), low, high, x.dtype, x.device))


def _generator(generator: Generator | None) -> Generator:
    from minigan.random import default_generator

    return generator or default_generator


def _inplace(name: str, operation: Any) -> Any:
    def change(x: Tensor, other: Any) -> Tensor:
        array = _writable(x, name)
        result = operation(x.detach(), other.detach() if isinstance(other, Tensor) else other)
        if result.shape != x.shape:
            raise ShapeError(
                f"{name}: a result of shape {tuple(result.shape)} does not fit into "
                f"{tuple(x.shape)}"
            )
        array[...] = result._array
        return _changed(x)

    change.__name__ = name
    change.__doc__ = f"x = {operation.__name__}(x, other), in the memory of x."
    return change


add_ = _inplace("add_", add)
sub_ = _inplace("sub_", sub)
mul_ = _inplace("mul_", mul)
div_ = _inplace("div_", div)


def augmented(operation: Any, in_place: Any) -> Any:
    """x += y and its kin: in place where nothing is recorded, a new tensor where it would be.

    A leaf that requires a gradient cannot be changed while recording; that is an error.
    """

    def assign(x: Tensor, other: Any) -> Tensor:
        recorded = x.requires_grad or (isinstance(other, Tensor) and other.requires_grad)
        if is_grad_enabled() and recorded and not (x.is_leaf and x.requires_grad):
            return operation(x, other)
        return in_place(x, other)

    return assign
