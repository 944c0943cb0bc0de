"""Squared Euclidean distances between two sets of rows, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_BLOCK_ELEMENTS = 1 << 24  # 64 MiB of float32: bounds the memory for sets of any size


def squared_distances(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yields (rows, block): block[i,j] = ||a[rows][i] - b[j]||^2 for a [N,D] and b [M,D].

    From the product a b^T, in the wider dtype of both. Overwriting a block is allowed; the next
    one takes its place.
    """
    # ||x||^2 + ||y||^2 - 2xy cancels least near the origin, and distances do not change by a shift.
    centre = b.mean(axis=0, dtype=np.float64).astype(b.dtype)
    right = b - centre
    norms = np.einsum("ij,ij->i", right, right)
    step = max(1, _BLOCK_ELEMENTS // len(b))
    for start in range(0, len(a), step):
        rows = slice(start, min(start + step, len(a)))
        left = a[rows] - centre
        block = (-2 * left) @ right.T
        block += np.einsum("ij,ij->i", left, left)[:, None]
        block += norms
        yield rows, np.maximum(block, 0, out=block)


def own_distances(rows: np.ndarray, diagonal: float) -> Iterator[tuple[slice, np.ndarray]]:
    """`squared_distances` of a set to itself, with `diagonal` as each row's distance to itself."""
    for part, block in squared_distances(rows, rows):
        block[np.arange(len(block)), np.arange(part.start, part.stop)] = diagonal
        yield part, block
