"""Launches of the matrix product."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backends import reference
from minigan.backends.cuda.conv_plan import matmul_splits
from minigan.backends.cuda.launch import covered, launcher
from minigan.backends.cuda.parts import in_parts
from minigan.backends.protocol import Array

_TILE = 64  # gemm_tile.cuh: TILE
_STRIDES = np.dtype([(field, np.int64) for field in ("batch", "row", "col")])  # Strides


def matmul(a: Array, b: Array) -> Array:
    """See `protocol.py`. Transposed operands are read where they are; a batch is one launch."""
    if not covered(a, b) or not a.ndim or not b.ndim:
        return reference.matmul(a, b)
    to, xp = launcher(), launcher().xp
    left = a[None] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    if left.shape[-1] != right.shape[-2]:
        return reference.matmul(a, b)  # which says what is wrong
    (m, k), n = left.shape[-2:], right.shape[-1]
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    out = (xp.empty if k else xp.zeros)((*batch, m, n), dtype=np.float32)
    if out.size and k:
        left, right = _flat_batch(xp, left, batch), _flat_batch(xp, right, batch)
        count = int(np.prod(batch, dtype=int))
        splits = matmul_splits(count, m, n, k, to)
        grid = (-(-n // _TILE), -(-m // _TILE), count * splits)
        scalars = (*map(np.int32, (m, n, k, splits)), _strides(left), _strides(right))
        in_parts(to, splits, None, out, lambda _, out: to.launch(
            "matmul.cu", "matmul", grid, 256, (left, right, out, *scalars),
        ))  # fmt: skip
    if a.ndim == 1:
        out = out[..., 0, :]
    return out[..., 0] if b.ndim == 1 else out


def add_matmul(total: Array, a: Array, b: Array) -> None:
    """See `protocol.py`."""
    total += matmul(a, b)


def _flat_batch(xp: Any, array: Array, batch: tuple[int, ...]) -> Array:
    """[batch, rows, columns] with one batch axis, which may have the stride 0."""
    if array.ndim == 2:
        return array[None]
    if len(batch) == 1:
        return array
    shape = (*batch, *array.shape[-2:])
    return xp.broadcast_to(array, shape).reshape(-1, *shape[-2:])


def _strides(array: Array) -> Any:
    batch, row, col = (s // 4 for s in array.strides)
    return np.array((batch if array.shape[0] > 1 else 0, row, col), dtype=_STRIDES)[()]
