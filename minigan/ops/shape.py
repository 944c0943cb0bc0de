"""Operations that move elements and compute nothing.

Each is a linear map, and its gradient is the adjoint map: reshape and reshape back, permute and
the inverse permutation, broadcast and sum, slice and place into zeros, gather and scatter-add,
pad and crop. Each pair is closed under differentiation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigan.autograd import Function
from minigan.backends import kernels_for
from minigan.errors import ShapeError
from minigan.ops.operands import (
    cast,
    check_index,
    normalize_axis,
    require_one_device,
    result_dtype,
)
from minigan.tensor import Tensor


class Reshape(Function):
    """The same elements in another shape."""

    is_view = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Any) -> Any:
        self.source = x.shape
        return x.reshape(self.shape)

    def backward(self, grad: Tensor) -> Tensor:
        return Reshape(self.source)(grad)

    def backward_arrays(self, grad: Any) -> Any:
        return grad.reshape(self.source)


class Permute(Function):
    """Axes in another order."""

    is_view = True

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, x: Any) -> Any:
        return x.transpose(self.axes)

    def backward(self, grad: Tensor) -> Tensor:
        inverse = sorted(range(len(self.axes)), key=self.axes.__getitem__)
        return Permute(tuple(inverse))(grad)


class BroadcastTo(Function):
    """x repeated along new axes and along axes of length 1; adjoint of SumTo."""

    is_view = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Any) -> Any:
        self.source = x.shape
        return kernels_for(x).xp.broadcast_to(x, self.shape)

    def backward(self, grad: Tensor) -> Tensor:
        return sum_to(grad, self.source)


class SumTo(Function):
    """x summed over the axes along which `shape` would be broadcast; adjoint of BroadcastTo."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Any) -> Any:
        self.source = x.shape
        return summed_to(x, self.shape)

    def backward(self, grad: Tensor) -> Tensor:
        return BroadcastTo(self.source)(grad)


def summed_to(x: Any, shape: tuple[int, ...]) -> Any:
    """SumTo for arrays; x itself where it has the shape already."""
    if x.shape == shape:
        return x
    lead = x.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(
        lead + i for i, n in enumerate(shape) if n == 1 and x.shape[lead + i] != 1
    )
    return x.sum(axis=axes, keepdims=True).reshape(shape)


def sum_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Undo a broadcast: sum x over the axes along which `shape` was repeated to x's shape."""
    return x if x._array.shape == tuple(shape) else SumTo(tuple(shape))(x)


class GetItem(Function):
    """y = x[key], with slices, integers, None, and integer or bool arrays; adjoint of PlaceItem."""

    def __init__(self, key: Any) -> None:
        self.key = key
        parts = key if isinstance(key, tuple) else (key,)
        self.is_view = not any(hasattr(part, "shape") or isinstance(part, list) for part in parts)

    def forward(self, x: Any) -> Any:
        self.source = x.shape
        return x[self.key]

    def backward(self, grad: Tensor) -> Tensor:
        return PlaceItem(self.key, self.source)(grad)


class PlaceItem(Function):
    """Zeros of `shape` with x added at [key], repeated positions adding up; adjoint of GetItem."""

    def __init__(self, key: Any, shape: tuple[int, ...]) -> None:
        self.key, self.shape = key, shape

    def forward(self, x: Any) -> Any:
        xp = kernels_for(x).xp
        out = xp.zeros_like(x, order="C", shape=self.shape)
        if GetItem(self.key).is_view:
            out[self.key] = x
        else:
            xp.add.at(out, self.key, x)
        return out

    def backward(self, grad: Tensor) -> Tensor:
        return GetItem(self.key)(grad)


class Concatenate(Function):
    """Tensors joined along an axis; each gets its slice of dy."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, *xs: Any) -> Any:
        self.lengths = [x.shape[self.axis] for x in xs]
        return kernels_for(xs[0]).concatenate(xs, self.axis)

    def backward(self, grad: Tensor) -> Any:
        grads: list[Tensor | None] = []
        start = 0
        for length, need in zip(self.lengths, self.needs, strict=True):
            key = (slice(None),) * self.axis + (slice(start, start + length),)
            grads.append(GetItem(key)(grad) if need else None)
            start += length
        return tuple(grads)


class Flip(Function):
    """Axes reversed; its own adjoint."""

    is_view = True

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, x: Any) -> Any:
        return kernels_for(x).xp.flip(x, self.axes)

    def backward(self, grad: Tensor) -> Tensor:
        return Flip(self.axes)(grad)


class PadConstant(Function):
    """x with borders of a constant, widths ((before, after), ...) per axis; adjoint of cropping."""

    def __init__(self, widths: tuple[tuple[int, int], ...], value: float) -> None:
        self.widths, self.value = widths, value

    def forward(self, x: Any) -> Any:
        shape = tuple(n + a + b for n, (a, b) in zip(x.shape, self.widths, strict=True))
        out = kernels_for(x).xp.full_like(x, self.value, order="C", shape=shape)
        out[self._inside(x.shape)] = x
        self.source = x.shape
        return out

    def _inside(self, shape: tuple[int, ...]) -> tuple[slice, ...]:
        return tuple(slice(a, a + n) for n, (a, _) in zip(shape, self.widths, strict=True))

    def backward(self, grad: Tensor) -> Tensor:
        return GetItem(self._inside(self.source))(grad)


class Take(Function):
    """Rows `index` of x along an axis (index is a 1-d integer array); adjoint of PutAdd."""

    def __init__(self, index: Any, axis: int) -> None:
        self.index, self.axis = index, axis

    def forward(self, x: Any) -> Any:
        self.length = x.shape[self.axis]
        return x.take(self.index, self.axis)

    def backward(self, grad: Tensor) -> Tensor:
        return PutAdd(self.index, self.axis, self.length)(grad)


def _contiguous(array: Any) -> Any:
    return array if array.flags.c_contiguous else array.copy()


class PutAdd(Function):
    """Row i of x is added to row index[i] of a result with `length` rows; adjoint of Take."""

    def __init__(self, index: Any, axis: int, length: int) -> None:
        self.index, self.axis, self.length = index, axis, length

    def forward(self, x: Any) -> Any:
        k = kernels_for(x)
        rows = k.xp.moveaxis(x, self.axis, 0)
        width = math.prod(rows.shape[1:])  # -1 would be ambiguous where there are no rows
        flat = _contiguous(rows.reshape(rows.shape[0], width))
        out = k.scatter_add_rows(flat, self.index, self.length)
        return k.xp.moveaxis(out.reshape(self.length, *rows.shape[1:]), 0, self.axis)

    def backward(self, grad: Tensor) -> Tensor:
        return Take(self.index, self.axis)(grad)


class GatherLast(Function):
    """y[..., l] = x[..., index[..., l]] for an index array; adjoint of ScatterLast."""

    def __init__(self, index: Any) -> None:
        self.index = index

    def forward(self, x: Any) -> Any:
        self.length = x.shape[-1]
        k, (*lead, taken) = kernels_for(x), self.index.shape
        rows = math.prod(lead)
        flat = _contiguous(x).reshape(rows, self.length)
        index = _contiguous(self.index).reshape(rows, taken)
        return k.gather_last(flat, index).reshape(self.index.shape)

    def backward(self, grad: Tensor) -> Tensor:
        return ScatterLast(self.index, self.length)(grad)


class ScatterLast(Function):
    """y[..., index[..., l]] += x[..., l] in zeros with a last axis of `length`."""

    def __init__(self, index: Any, length: int) -> None:
        self.index, self.length = index, length

    def forward(self, x: Any) -> Any:
        lead = x.shape[:-1]
        rows = math.prod(lead)
        k = kernels_for(x)
        flat = _contiguous(x).reshape(rows, x.shape[-1])
        index = _contiguous(self.index).reshape(rows, x.shape[-1])
        return k.scatter_add_last(flat, index, self.length).reshape(*lead, self.length)

    def backward(self, grad: Tensor) -> Tensor:
        return GatherLast(self.index)(grad)


# --- public functions -------------------------------------------------------------------------
def _sizes(shape: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3) or ((2, 3),) as (2, 3)."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    return tuple(int(n) for n in shape)


def reshape(x: Tensor, *shape: Any) -> Tensor:
    """x in another shape; one length may be -1."""
    sizes = _sizes(shape)
    known = math.prod(n for n in sizes if n != -1)
    fits = x.numel() == known if -1 not in sizes else known > 0 and x.numel() % known == 0
    if not fits or sizes.count(-1) > 1 or min(sizes, default=0) < -1:
        raise ShapeError(
            f"reshape: {x.numel()} elements of shape {tuple(x.shape)} do not fit shape {sizes}"
        )
    return Reshape(sizes)(x)


def permute(x: Tensor, *dims: Any) -> Tensor:
    """Axes in the order `dims`."""
    axes = tuple(normalize_axis(d, x.ndim, "permute") for d in _sizes(dims))
    if sorted(axes) != list(range(x.ndim)):
        raise ShapeError(f"permute: {axes} is no order of the {x.ndim} axes of {tuple(x.shape)}")
    return Permute(axes)(x)


def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged."""
    axes = list(range(x.ndim))
    i, j = normalize_axis(dim0, x.ndim, "transpose"), normalize_axis(dim1, x.ndim, "transpose")
    axes[i], axes[j] = axes[j], axes[i]
    return Permute(tuple(axes))(x)


def expand(x: Tensor, *shape: Any) -> Tensor:
    """x broadcast to a shape; -1 keeps a length."""
    sizes = _sizes(shape)
    lead = len(sizes) - x.ndim
    sizes = tuple(x.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(sizes))
    fits = lead >= 0 and all(n in (1, m) for n, m in zip(x.shape, sizes[lead:], strict=True))
    if not fits:
        raise ShapeError(f"expand: shape {tuple(x.shape)} cannot be broadcast to {sizes}")
    return BroadcastTo(sizes)(x)


def squeeze(x: Tensor, dim: int | None = None) -> Tensor:
    """Without axes of length 1: all of them, or `dim` if it is one."""
    if dim is None:
        return Reshape(tuple(n for n in x.shape if n != 1))(x)
    axis = normalize_axis(dim, x.ndim, "squeeze")
    if x.shape[axis] != 1:
        return x
    return Reshape(x.shape[:axis] + x.shape[axis + 1 :])(x)


def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """With a new axis of length 1 at `dim`."""
    axis = normalize_axis(dim, x.ndim + 1, "unsqueeze")
    return Reshape((*x.shape[:axis], 1, *x.shape[axis:]))(x)


def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes start_dim..end_dim as one."""
    if x.ndim == 0:
        return Reshape((1,))(x)
    start = normalize_axis(start_dim, x.ndim, "flatten")
    end = normalize_axis(end_dim, x.ndim, "flatten")
    if start > end:
        raise ShapeError(f"flatten: start_dim {start_dim} lies behind end_dim {end_dim}")
    joined = math.prod(x.shape[start : end + 1])
    return Reshape((*x.shape[:start], joined, *x.shape[end + 1 :]))(x)


def unflatten(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Axis `dim` as several; one length may be -1."""
    axis = normalize_axis(dim, x.ndim, "unflatten")
    return reshape(x, *x.shape[:axis], *_unflattened(x.shape[axis], sizes), *x.shape[axis + 1 :])


def _unflattened(length: int, sizes: Sequence[int]) -> tuple[int, ...]:
    known = math.prod(n for n in sizes if n != -1)
    result = tuple(length // max(known, 1) if n == -1 else int(n) for n in sizes)
    if math.prod(result) != length:
        raise ShapeError(
            f"unflatten: an axis of length {length} does not split into {tuple(sizes)}"
        )
    return result


def getitem(x: Tensor, key: Any) -> Tensor:
    """x[key] as NumPy indexes; integer and bool tensors may be part of the key."""
    try:
        return GetItem(_plain_key(key, x))(x)
    except IndexError as error:
        raise ShapeError(f"index into shape {tuple(x.shape)}: {error}") from None


def _plain_key(key: Any, x: Tensor) -> Any:
    """An index into x, its tensors, lists and NumPy arrays as arrays beside x."""
    if isinstance(key, tuple):
        return tuple(_plain_key(part, x) for part in key)
    if isinstance(key, Tensor):
        require_one_device("index", x, key)
        return key._array
    if isinstance(key, list | np.ndarray):
        return kernels_for(x._array).xp.asarray(np.asarray(key))
    return key


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors joined along `dim`; all other lengths must agree."""
    if not tensors:
        raise ShapeError("cat: no tensors to join")
    first = tensors[0]
    axis = normalize_axis(dim, first.ndim, "cat")
    dtype = first.dtype
    for t in tensors[1:]:
        dtype = result_dtype(dtype, t.dtype)
        rest = [t.shape[:axis] + t.shape[axis + 1 :], first.shape[:axis] + first.shape[axis + 1 :]]
        if t.ndim != first.ndim or rest[0] != rest[1]:
            shapes = ", ".join(str(tuple(t.shape)) for t in tensors)
            raise ShapeError(f"cat: shapes {shapes} differ in more than dim {dim}")
    return Concatenate(axis)(*(cast(t, dtype) for t in tensors))


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    if not tensors or any(t.shape != tensors[0].shape for t in tensors):
        shapes = ", ".join(str(tuple(t.shape)) for t in tensors) or "no tensors"
        raise ShapeError(f"stack: it needs tensors of one shape; got {shapes}")
    return cat([unsqueeze(t, dim) for t in tensors], dim)


def split(x: Tensor, size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Slices of length `size` (the last may be shorter), or of the given lengths."""
    axis = normalize_axis(dim, x.ndim, "split")
    length = x.shape[axis]
    if isinstance(size, int):
        if size < 1:
            raise ShapeError(f"split: the size of a slice must be positive; got {size}")
        lengths = [min(size, length - start) for start in range(0, length, size)]
    else:
        lengths = list(size)
    if sum(lengths) != length:
        raise ShapeError(f"split: lengths {lengths} do not add up to {length}")
    ends = np.cumsum(lengths).tolist()
    lead = (slice(None),) * axis
    return tuple(
        GetItem((*lead, slice(end - n, end)))(x) for n, end in zip(lengths, ends, strict=True)
    )


def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` slices of nearly equal length."""
    length = x.shape[normalize_axis(dim, x.ndim, "chunk")]
    if chunks < 1:
        raise ShapeError(f"chunk: the number of slices must be positive; got {chunks}")
    return split(x, max(1, -(-length // chunks)), dim)


def flip(x: Tensor, dims: int | Sequence[int]) -> Tensor:
    """The given axes reversed."""
    axes = (dims,) if isinstance(dims, int) else tuple(dims)
    return Flip(tuple(normalize_axis(d, x.ndim, "flip") for d in axes))(x)


def repeat(x: Tensor, *counts: Any) -> Tensor:
    """x tiled counts[i] times along axis i."""
    times = _sizes(counts)
    lead = len(times) - x.ndim
    if lead < 0:
        raise ShapeError(f"repeat: {times} has fewer counts than {tuple(x.shape)} has axes")
    shape = (1,) * lead + tuple(x.shape)
    spread = Reshape(tuple(n for length in shape for n in (1, length)))(x)
    wide = BroadcastTo(tuple(m for pair in zip(times, shape, strict=True) for m in pair))(spread)
    return Reshape(tuple(t * n for t, n in zip(times, shape, strict=True)))(wide)


def index_select(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """Rows `index` (1-d integer tensor) along `dim`."""
    axis = normalize_axis(dim, x.ndim, "index_select")
    require_one_device("index_select", x, index)
    rows = index._array
    check_index(rows, x.shape[axis], "index_select")
    return Take(rows, axis)(x)


def gather(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """y[i][j] = x[i][index[i][j]] along `dim`, as torch.gather."""
    axis = normalize_axis(dim, x.ndim, "gather")
    require_one_device("gather", x, index)
    last = x.ndim - 1
    moved = transpose(x, axis, last)
    where_to = index._array.swapaxes(axis, last)
    if moved.shape[:-1] != where_to.shape[:-1]:
        raise ShapeError(
            f"gather: index of shape {tuple(index.shape)} must agree with {tuple(x.shape)} in all "
            f"but dim {dim}"
        )
    check_index(where_to, x.shape[axis], "gather")
    return transpose(GatherLast(where_to)(moved), axis, last)


def clone(x: Tensor) -> Tensor:
    """A copy with memory of its own; gradients pass through."""
    return Clone()(x)


class Clone(Function):
    """y = a copy of x; dx = dy."""

    def forward(self, x: Any) -> Any:
        return x.copy()

    def backward(self, grad: Tensor) -> Tensor:
        return grad


def contiguous(x: Tensor) -> Tensor:
    """x itself if its memory is in C order, else a copy."""
    return x if x.is_contiguous() else clone(x)
