"""Matrix products: those of a network's layers by `turned_product.py`, `matrix_product.py` and
`outer_products.py`, thin ones by BLAS.

A BLAS product is cut into blocks of rows or columns for one-thread calls: NumPy's own BLAS would
use threads of its own, which keep spinning on the cores for milliseconds after a product while the
kernels of this backend want them.

The calls go to the sgemm behind numba's np.dot, which itself takes whole contiguous matrices only:
blocks of columns, and products into a part of the result, would each cost a copy.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.np.linalg import _BLAS

from minigan.backends import reference
from minigan.backends.cpu import matrix_product, outer_products, turned_product
from minigan.backends.cpu.arrays import contiguous, empty
from minigan.backends.cpu.finish import bias_for, finish
from minigan.backends.cpu.threads import MAX_CHUNKS, all_float32, kernel, run
from minigan.backends.protocol import Array

_SMALLEST = 1 << 22  # multiply-adds that are worth two blocks
_LARGE = 1 << 24  # multiply-adds of a block where there are more: each packs the other matrix anew
_FEW_ROWS = 256  # rather columns than blocks of so few rows, which use the packed matrix too little
_FEW_COLUMNS, _LARGE_FACTOR = 64, 1 << 20
_FLOAT, _PLAIN, _TRANSPOSED = ord("s"), ord("n"), ord("t")

_sgemm = _BLAS().numba_xxgemm(types.float32)


@kernel
def _blocks(chunk, chunks, by_columns, a, a_transposed, b, b_transposed, bias, slope, out):
    """out = a @ b, a part of it, or with a bias leaky_relu(a @ b + bias, slope).

    Where a flag is set, a [M,K] or b [K,N] is stored transposed.
    """
    m, n = out.shape
    k = a.shape[0] if a_transposed else a.shape[1]
    first_row, end_row, first_column, end_column = 0, m, 0, n
    if by_columns:
        first_column, end_column = chunk * n // chunks, (chunk + 1) * n // chunks
    else:
        first_row, end_row = chunk * m // chunks, (chunk + 1) * m // chunks
    a_start = first_row if a_transposed else first_row * a.shape[1]
    b_start = first_column * b.shape[1] if b_transposed else first_column
    scale = np.array([1.0, 0.0], np.float32)
    # BLAS counts by columns, and sees each of these row by row: so it computes out^T = b^T a^T.
    _sgemm(
        _FLOAT,
        _TRANSPOSED if b_transposed else _PLAIN,
        _TRANSPOSED if a_transposed else _PLAIN,
        end_column - first_column,
        end_row - first_row,
        k,
        scale.ctypes,
        b.ravel()[b_start:].ctypes,
        b.shape[1],
        a.ravel()[a_start:].ctypes,
        a.shape[1],
        scale[1:].ctypes,
        out.ravel()[first_row * n + first_column :].ctypes,
        n,
    )
    if bias.size > 0:
        finish(out.reshape(-1), (first_row, end_row), (first_column, end_column), n, bias, slope)


def product(a: Array, b: Array, bias: Array | None = None, slope: float = 1.0) -> Array:
    """leaky_relu(a @ b + bias, slope) of float32 matrices, none of them empty.

    They are read where they lie if they are C- or Fortran-contiguous; others are copied.
    """
    a, a_transposed = _stored(a)
    b, b_transposed = _stored(b)
    m, k = a.shape[::-1] if a_transposed else a.shape
    n = b.shape[0] if b_transposed else b.shape[1]
    plain = bias is None and slope == 1
    if a_transposed and plain and _is_tall(m, k, n):
        # The transpose, in which the numbers of `a` lie in the order that they are needed in.
        few = b if b_transposed else contiguous(b.T)
        return contiguous(matrix_product.multiply(few, a, False).T)
    end = bias_for(bias, n, slope), slope
    if b_transposed and not a_transposed and turned_product.suits(m, k, n):
        return turned_product.multiply(a, b, *end)
    if matrix_product.suits(m, n):
        if a_transposed and plain:
            return outer_products.multiply(a, contiguous(b.T) if b_transposed else b)
        rows = contiguous(a.T) if a_transposed else a
        return matrix_product.multiply(rows, b, b_transposed, *end)
    out = empty((m, n), np.float32)
    chunks = _chunks(m * n * k)
    # Blocks of rows lie apart in memory; threads that write columns wait for each other's lines.
    by_columns = m < _FEW_ROWS and m < 4 * n
    run(
        _blocks, min(chunks, max(m, n)), by_columns, a, a_transposed, b, b_transposed, end[0],
        np.float32(slope), out,
    )  # fmt: skip
    return out


def _is_tall(m: int, k: int, n: int) -> bool:
    """Whether a product's first factor is large, and the result a few columns of many rows: the
    inner layers of a U-Net, where a BLAS takes 2 to 3 times as long."""
    return n <= _FEW_COLUMNS and m >= 16 * n and m * k >= _LARGE_FACTOR


def _chunks(operations: int) -> int:
    """A power of two, by size alone: how a sum is rounded must not depend on the machine."""
    if operations < _SMALLEST:
        return 1
    return min(MAX_CHUNKS, max(2, 1 << (operations // _LARGE).bit_length() >> 1))


def _stored(matrix: Array) -> tuple[Array, bool]:
    """The matrix or its transpose, whichever is C-contiguous, and whether it is the transpose."""
    if matrix.flags.c_contiguous:
        return matrix, False
    if matrix.flags.f_contiguous:
        return matrix.T, True
    return contiguous(matrix), False


def matmul(a: Array, b: Array) -> Array:
    """numpy.matmul; products of two float32 matrices run here, all others in the reference."""
    plain = a.ndim == b.ndim == 2 and all_float32(a, b) and a.shape[1] == b.shape[0]
    if not plain or 0 in (*a.shape, *b.shape):
        return reference.matmul(a, b)
    return product(a, b)
