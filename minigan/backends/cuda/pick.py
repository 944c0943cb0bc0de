"""Launches of what works with positions: the maximum of windows, sums into places."""

from __future__ import annotations

import numpy as np

from minigan.backends import reference
from minigan.backends.cuda.launch import covered, launcher
from minigan.backends.protocol import Array, Pair

_THREADS = 256
_ROW_THREADS = 128  # scatter_add_last
_FIELDS = ("H", "W", "R", "S", "P", "Q", "stride_h", "stride_w", "pad_h", "pad_w", "dilation_h",
           "dilation_w")  # fmt: skip
_WINDOW = np.dtype([(field, np.int32) for field in _FIELDS])  # Window


def max_pool2d_indices(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, output_hw: Pair
) -> Array:
    """See `protocol.py`."""
    n, c, h, w = x.shape
    count = n * c * output_hw[0] * output_hw[1]
    if not covered(x) or count >= 1 << 31:
        return reference.max_pool2d_indices(x, kernel, stride, padding, dilation, output_hw)
    to, xp = launcher(), launcher().xp
    out = xp.empty((n, c, *output_hw), dtype=np.int64)
    if count:
        values = (h, w, *kernel, *output_hw, *stride, *padding, *dilation)
        args = (xp.ascontiguousarray(x), out, np.int32(count), np.array(values, dtype=_WINDOW)[()])
        to.launch("pool.cu", "max_pool2d_indices", (-(-count // _THREADS),), _THREADS, args)
    return out


def _places(index: Array) -> Array:
    """The index as the kernels take it."""
    return launcher().xp.ascontiguousarray(index.astype(np.int64, copy=False))


def scatter_add_last(values: Array, index: Array, size: int) -> Array:
    """See `protocol.py`."""
    rows, length = values.shape
    if not covered(values) or max(rows * size, size) >= 1 << 31:
        return reference.scatter_add_last(values, index, size)
    to, xp = launcher(), launcher().xp
    out = xp.empty((rows, size), dtype=np.float32)
    if out.size:
        args = (xp.ascontiguousarray(values), _places(index), out, np.int32(length), np.int32(size))
        to.launch("scatter.cu", "scatter_add_last", (rows,), _ROW_THREADS, args)
    return out


def scatter_add_rows(values: Array, index: Array, size: int) -> Array:
    """See `protocol.py`."""
    if not covered(values):
        return reference.scatter_add_rows(values, index, size)
    to, xp = launcher(), launcher().xp
    length, width = values.shape
    out = xp.empty((size, width), dtype=np.float32)
    if out.size:
        sizes = (np.int32(length), np.int32(width), np.int64(out.size))
        args = (xp.ascontiguousarray(values), _places(index), out, *sizes)
        to.launch("scatter.cu", "scatter_add_rows", (-(-out.size // _THREADS),), _THREADS, args)
    return out
