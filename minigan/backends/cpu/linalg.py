"""Matrix products, cut into blocks of rows or columns for one-thread BLAS calls.

NumPy's own BLAS would use threads of its own, which keep spinning on the cores for milliseconds
after a product while the kernels of this backend want them.
"""

from __future__ import annotations

import numpy as np

from minigan.backends import reference
from minigan.backends.cpu.threads import all_float32, chunks_for, kernel, run
from minigan.backends.protocol import Array

_SMALLEST = 1 << 21  # multiply-adds that are worth a thread
_FEWEST_ROWS = 32  # of a block; each block packs the other matrix anew
_FLAT = 128  # below so many rows, blocks of columns pack less, and the result is small


@kernel
def _row_blocks(chunk, chunks, a, b, out):
    first, end = chunk * a.shape[0] // chunks, (chunk + 1) * a.shape[0] // chunks
    np.dot(a[first:end], b, out[first:end])


def _product(a: Array, b: Array) -> Array:
    """a @ b by blocks of rows of a; b may be C- or Fortran-contiguous, BLAS reads both."""
    a = np.ascontiguousarray(a)
    if not (b.flags.c_contiguous or b.flags.f_contiguous):
        b = np.ascontiguousarray(b)
    out = np.empty((a.shape[0], b.shape[1]), a.dtype)
    chunks = min(chunks_for(a.size * b.shape[1], _SMALLEST), max(1, len(a) // _FEWEST_ROWS))
    run(_row_blocks, chunks, a, b, out)
    return out


def matmul(a: Array, b: Array) -> Array:
    """numpy.matmul; products of two float32 matrices run here, all others in the reference."""
    plain = a.ndim == b.ndim == 2 and all_float32(a, b) and a.shape[1] == b.shape[0]
    if not plain or 0 in (*a.shape, *b.shape):
        return reference.matmul(a, b)
    if a.shape[0] < min(b.shape[1], _FLAT) and b.T.flags.c_contiguous:
        return np.ascontiguousarray(_product(b.T, a.T).T)
    return _product(a, b)
