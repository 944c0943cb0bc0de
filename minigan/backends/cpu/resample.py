"""Nearest upsampling, block sums, gathers and scatter-adds: moves, one pass each.

Chunks own whole images, rows or columns of the output, so sums always have the same order.
"""

from __future__ import annotations

import numpy as np

from minigan.backends import reference
from minigan.backends.cpu.arrays import contiguous, empty
from minigan.backends.cpu.threads import all_float32, chunks_for, kernel, run
from minigan.backends.protocol import Array, Pair

_SMALLEST = 1 << 14  # elements that are worth a thread


@kernel
def _upsample_nearest(chunk, chunks, x, scale_h, scale_w, out):
    """x [M,H,W] -> out [M,H*sh,W*sw]."""
    images, height, width = x.shape
    for m in range(chunk * images // chunks, (chunk + 1) * images // chunks):
        for i in range(height):
            for a in range(scale_h):
                for j in range(width):
                    for b in range(scale_w):
                        out[m, i * scale_h + a, j * scale_w + b] = x[m, i, j]


@kernel
def _block_sum(chunk, chunks, x, scale_h, scale_w, out):
    """x [M,H*sh,W*sw] -> out [M,H,W]."""
    images, height, width = out.shape
    for m in range(chunk * images // chunks, (chunk + 1) * images // chunks):
        for i in range(height):
            for j in range(width):
                total = np.float32(0)
                for a in range(scale_h):
                    for b in range(scale_w):
                        total += x[m, i * scale_h + a, j * scale_w + b]
                out[m, i, j] = total


@kernel
def _gather_last(chunk, chunks, values, index, out):
    for m in range(chunk * len(out) // chunks, (chunk + 1) * len(out) // chunks):
        for position in range(out.shape[1]):
            out[m, position] = values[m, index[m, position]]


@kernel
def _scatter_add_last(chunk, chunks, values, index, out):
    """Rows of values and index [M,L] into the same rows of out [M,size]."""
    for m in range(chunk * out.shape[0] // chunks, (chunk + 1) * out.shape[0] // chunks):
        out[m] = 0
        for position in range(values.shape[1]):
            out[m, index[m, position]] += values[m, position]


@kernel
def _scatter_add_rows(chunk, chunks, values, index, out):
    """Some columns of values [L,D] into the same columns of out [size,D]."""
    first, end = chunk * out.shape[1] // chunks, (chunk + 1) * out.shape[1] // chunks
    for row in range(out.shape[0]):
        for d in range(first, end):
            out[row, d] = 0
    for position in range(values.shape[0]):
        row = index[position]
        for d in range(first, end):
            out[row, d] += values[position, d]


def _as_images(x: Array) -> Array:
    return contiguous(x).reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def _chunks(work: int, pieces: int) -> int:
    return min(chunks_for(work, _SMALLEST), max(pieces, 1))


def upsample_nearest(x: Array, scale: Pair) -> Array:
    """x [N,C,H,W] -> [N,C,H*sh,W*sw]."""
    if not all_float32(x):
        return reference.upsample_nearest(x, scale)
    (n, c, h, w), (sh, sw) = x.shape, scale
    out = empty((n * c, h * sh, w * sw), x.dtype)
    run(_upsample_nearest, _chunks(out.size, n * c), _as_images(x), sh, sw, out)
    return out.reshape(n, c, h * sh, w * sw)


def block_sum(x: Array, scale: Pair) -> Array:
    """x [N,C,H*sh,W*sw] -> [N,C,H,W]."""
    if not all_float32(x):
        return reference.block_sum(x, scale)
    (n, c, h, w), (sh, sw) = x.shape, scale
    out = empty((n * c, h // sh, w // sw), x.dtype)
    run(_block_sum, _chunks(x.size, n * c), _as_images(x), sh, sw, out)
    return out.reshape(n, c, h // sh, w // sw)


def gather_last(values: Array, index: Array) -> Array:
    """values [M,S], index [M,L] -> [M,L]."""
    if not all_float32(values):
        return reference.gather_last(values, index)
    values, index = contiguous(values), contiguous(index, np.int64)
    out = empty(index.shape, values.dtype)
    run(_gather_last, _chunks(out.size, len(out)), values, index, out)
    return out


def scatter_add_last(values: Array, index: Array, size: int) -> Array:
    """values, index [M,L] -> [M,size]."""
    if not all_float32(values):
        return reference.scatter_add_last(values, index, size)
    values, index = contiguous(values), contiguous(index, np.int64)
    out = empty((values.shape[0], size), values.dtype)
    run(_scatter_add_last, _chunks(values.size, len(out)), values, index, out)
    return out


def scatter_add_rows(values: Array, index: Array, size: int) -> Array:
    """values [L,D], index [L] -> [size,D]."""
    if not all_float32(values):
        return reference.scatter_add_rows(values, index, size)
    values, index = contiguous(values), contiguous(index, np.int64)
    out = empty((size, values.shape[1]), values.dtype)
    run(_scatter_add_rows, _chunks(values.size, out.shape[1] // 16), values, index, out)
    return out
