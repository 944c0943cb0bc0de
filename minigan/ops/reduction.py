"""Sums, means, extrema and what is made of them.

`dim` is None (all axes), an int or a tuple; `keepdim` keeps the reduced axes with length 1.
"""

from __future__ import annotations

import builtins
import math
from typing import Any, NamedTuple

import numpy as np

from minigan.autograd import Function
from minigan.backends import kernels_for
from minigan.errors import ShapeError
from minigan.ops.elementwise import equal, exp, log, mul, sqrt, where
from minigan.ops.operands import normalize_axis, require_float
from minigan.ops.shape import BroadcastTo, GatherLast, Permute, Reshape, squeeze
from minigan.tensor import Tensor

Dim = int | tuple[int, ...] | None


def _axes(x: Tensor, dim: Dim, op: str) -> tuple[int, ...]:
    if dim is None:
        return tuple(range(x.ndim))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    axes = tuple(normalize_axis(d, x.ndim, op) for d in dims)
    if len(set(axes)) < len(axes):
        raise ShapeError(f"{op}: dim {dims} names an axis twice")
    return axes if x.ndim else ()


def _kept(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


class Sum(Function):
    """y = sum of x over axes; dx = dy broadcast back."""

    def __init__(self, axes: tuple[int, ...], keepdim: bool) -> None:
        self.axes, self.keepdim = axes, keepdim

    def forward(self, x: Any) -> Any:
        self.source = x.shape
        return kernels_for(x).sum(x, self.axes, self.keepdim)

    def backward(self, grad: Tensor) -> Tensor:
        return BroadcastTo(self.source)(Reshape(_kept(self.source, self.axes))(grad))

    def backward_arrays(self, grad: Any) -> Any:
        kept = grad.reshape(_kept(self.source, self.axes))
        return kernels_for(grad).xp.broadcast_to(kept, self.source)


class AMax(Function):
    """y = max of x over axes (or min); dy is shared equally by the elements that attain it."""

    saves = (0, "output")

    def __init__(self, axes: tuple[int, ...], smallest: bool) -> None:
        self.axes, self.smallest = axes, smallest

    def forward(self, x: Any) -> Any:
        reduce = x.min if self.smallest else x.max
        return reduce(axis=self.axes, keepdims=True)

    def backward(self, grad: Tensor) -> Tensor:
        x, y = self.saved
        attained = (x._array == y._array).astype(x.dtype)
        share = attained / attained.sum(axis=self.axes, keepdims=True)
        return grad * Tensor._wrap(share)


class MaxWithIndices(NamedTuple):
    """Values and positions along one axis."""

    values: Tensor
    indices: Tensor


def sum(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Sum over `dim`."""
    return Sum(_axes(x, dim, "sum"), keepdim)(x)


def mean(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Mean over `dim`; integers are averaged as float32."""
    x = require_float(x, "mean")
    axes = _axes(x, dim, "mean")
    count = math.prod(x.shape[a] for a in axes)
    return Sum(axes, keepdim)(x) * (1.0 / count if count else math.nan)


def var(x: Tensor, dim: Dim = None, unbiased: bool = True, keepdim: bool = False) -> Tensor:
    """Variance over `dim`, divided by n - 1 (unbiased) or n."""
    x = require_float(x, "var")
    axes = _axes(x, dim, "var")
    count = math.prod(x.shape[a] for a in axes)
    centred = x - mean(x, axes, keepdim=True)
    divisor = count - 1 if unbiased else count
    return Sum(axes, keepdim)(mul(centred, centred)) * (1.0 / divisor if divisor else math.nan)


def std(x: Tensor, dim: Dim = None, unbiased: bool = True, keepdim: bool = False) -> Tensor:
    """Standard deviation over `dim`; its gradient where it is 0 is 0."""
    return _root(var(x, dim, unbiased, keepdim))


def _root(x: Tensor) -> Tensor:
    """sqrt with gradient 0 at 0. The mask comes before the root: a root of 0 would send
    0 * inf = NaN into the backward."""
    zero = equal(x, 0.0)
    return where(zero, 0.0, sqrt(where(zero, 1.0, x)))


def amax(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Largest element over `dim`; equal ones share the gradient."""
    return _extremum(x, dim, keepdim, smallest=False)


def amin(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Smallest element over `dim`; equal ones share the gradient."""
    return _extremum(x, dim, keepdim, smallest=True)


def _extremum(x: Tensor, dim: Dim, keepdim: bool, smallest: bool) -> Tensor:
    axes = _axes(x, dim, "amin" if smallest else "amax")
    if x.numel() == 0:
        raise ShapeError(f"the extremum of no elements is undefined: shape {tuple(x.shape)}")
    y = AMax(axes, smallest)(x)
    return y if keepdim else Reshape(tuple(n for i, n in enumerate(y.shape) if i not in axes))(y)


def max(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """Largest element of all, or (values, indices) along `dim`."""
    return amax(x) if dim is None else _along(x, dim, keepdim, argmax(x, dim, keepdim=True))


def min(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """Smallest element of all, or (values, indices) along `dim`."""
    return amin(x) if dim is None else _along(x, dim, keepdim, argmin(x, dim, keepdim=True))


def _along(x: Tensor, dim: int, keepdim: bool, indices: Tensor) -> MaxWithIndices:
    axis = normalize_axis(dim, x.ndim, "max")
    order = tuple(i for i in range(x.ndim) if i != axis) + (axis,)
    back = tuple(builtins.sorted(range(x.ndim), key=order.__getitem__))
    picked = GatherLast(indices._array.transpose(order))(Permute(order)(x))
    values = Permute(back)(picked)
    if keepdim:
        return MaxWithIndices(values, indices)
    return MaxWithIndices(squeeze(values, axis), squeeze(indices, axis))


def argmax(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Position of the largest element (the first of equals), int64."""
    return _position(x, "argmax", dim, keepdim)


def argmin(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Position of the smallest element (the first of equals), int64."""
    return _position(x, "argmin", dim, keepdim)


def _position(x: Tensor, op: str, dim: int | None, keepdim: bool) -> Tensor:
    axis = None if dim is None else normalize_axis(dim, x.ndim, op)
    if (x.numel() if axis is None or not x.ndim else x.shape[axis]) == 0:
        raise ShapeError(f"{op}: it needs an element to point at; got shape {tuple(x.shape)}")
    find = getattr(x._array, op)
    return Tensor._wrap(find(axis=axis, keepdims=keepdim) if keepdim and x.ndim else find(axis))


def norm(x: Tensor, p: float = 2, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """(sum |x|^p)^(1/p) over `dim`, for p = 1, 2 or inf. The gradient of the 2-norm at 0 is 0."""
    x = require_float(x, "norm")
    if p == 1:
        return sum(x.abs(), dim, keepdim)
    if p == math.inf:
        return amax(x.abs(), dim, keepdim)
    if p != 2:
        raise ShapeError(f"norm: p = {p} is not offered; use 1, 2 or inf")
    square = sum(x * x, dim, keepdim)
    zero = equal(square, 0.0)
    return where(zero, 0.0, sqrt(where(zero, 1.0, square)))


def logsumexp(x: Tensor, dim: Dim, keepdim: bool = False) -> Tensor:
    """ln sum e^x over `dim`, shifted by the maximum so that nothing overflows."""
    axes = _axes(x, dim, "logsumexp")
    shift = x.detach()._array.max(axis=axes, keepdims=True)
    shift = Tensor._wrap(np.where(np.isfinite(shift), shift, 0))
    total = log(sum(exp(x - shift), axes, keepdim=True)) + shift
    return (
        total
        if keepdim
        else Reshape(tuple(n for i, n in enumerate(total.shape) if i not in axes))(total)
    )


def any(x: Tensor) -> Tensor:
    """Whether an element is true."""
    return Tensor._wrap(x._array.any())


def all(x: Tensor) -> Tensor:
    """Whether every element is true."""
    return Tensor._wrap(x._array.all())
