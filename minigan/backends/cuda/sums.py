"""Launches of sums over axes."""

from __future__ import annotations

import numpy as np

from minigan.backends import reference
from minigan.backends.cuda.chunks import CHANNELS, CHUNK, MOST_CHUNKS, THREADS, cut
from minigan.backends.cuda.launch import covered, launcher
from minigan.backends.protocol import Array

_COLUMNS, _PIECE = 32, 1024  # sum.cu
_MOST_BLOCKS = 65535  # along the grid's second and third axis


def sum(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """See `protocol.py`. Axes that are summed and axes that stay alternate at most three times in
    the kernels; anything else, and other dtypes, go to the reference."""
    merged = _merged(x.shape, axes)
    if not covered(x) or not x.size or not any(summed for summed, _ in merged) or len(merged) > 3:
        return reference.sum(x, axes, keepdims)
    lengths = [length for _, length in merged]
    x = launcher().xp.ascontiguousarray(x)
    kept = (1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes)
    shape = tuple(kept)
    if merged[-1][0]:  # the last axis is summed: channels
        n, c, length = [1] * (3 - len(lengths)) + lengths
        if n * length <= MOST_CHUNKS * CHUNK:
            return _channels(x, (n, c, length)).reshape(shape)
    else:
        a, rows, columns = [1] * (3 - len(lengths)) + lengths
        if a <= _MOST_BLOCKS and rows <= _MOST_BLOCKS * _PIECE:
            return _columns(x, (a, rows, columns)).reshape(shape)
    return reference.sum(x, axes, keepdims)


def _merged(shape: tuple[int, ...], axes: tuple[int, ...]) -> list[tuple[bool, int]]:
    """(whether it is summed, length) of each run of axes; axes of length 1 belong to any run."""
    runs: list[tuple[bool, int]] = []
    for axis, length in enumerate(shape):
        summed = axis in axes
        if length == 1:
            continue
        if runs and runs[-1][0] == summed:
            runs[-1] = (summed, runs[-1][1] * length)
        else:
            runs.append((summed, length))
    return runs


def _channels(x: Array, sizes: tuple[int, int, int]) -> Array:
    """[N,C,L] -> [C]."""
    to = launcher()
    values = cut(sizes, x)
    channels, chunks = sizes[1], values[3]
    out = to.xp.empty((channels, chunks), dtype=np.float32)
    args = (x, out, np.array(values, dtype=CHANNELS)[()])
    to.launch("sum.cu", "sum_channels", (channels, chunks), THREADS, args)
    return out if chunks == 1 else _channels(out, (1, channels, chunks))


def _columns(x: Array, sizes: tuple[int, int, int]) -> Array:
    """[A,R,C] -> [A,C]."""
    to, (a, rows, columns) = launcher(), sizes
    pieces = -(-rows // _PIECE)
    out = to.xp.empty((a, pieces, columns), dtype=np.float32)
    grid = (-(-columns // _COLUMNS), pieces, a)
    args = (x, out, np.int32(rows), np.int32(columns))
    to.launch("sum.cu", "sum_columns", grid, THREADS, args)
    return out if pieces == 1 else _columns(out, (a, pieces, columns))
