"""Matrix products, each by the kernel that its shape and the storage of its operands ask for.

None is left to a BLAS: NumPy's would use threads of its own, which keep spinning on the cores for
milliseconds after a product while the kernels of this backend want them.
"""

from __future__ import annotations

from minigan.backends import reference
from minigan.backends.cpu import (
    dot_products,
    matrix_product,
    outer_products,
    thin_product,
    turned_product,
)
from minigan.backends.cpu.arrays import contiguous
from minigan.backends.cpu.finish import bias_for
from minigan.backends.cpu.lanes import WIDE
from minigan.backends.cpu.pointwise import add_to
from minigan.backends.cpu.threads import all_float32
from minigan.backends.protocol import Array

# Multiply-adds; a smaller weight gradient's factors are read where they lie. By measurement.
_LARGE = 3 << (24 if WIDE == 32 else 22)


def product(a: Array, b: Array, bias: Array | None = None, slope: float = 1.0) -> Array:
    """leaky_relu(a @ b + bias, slope) of float32 matrices, none of them empty.

    They are read where they lie if they are C- or Fortran-contiguous; others are copied.
    """
    a, a_transposed = _stored(a)
    b, b_transposed = _stored(b)
    m, k = a.shape[::-1] if a_transposed else a.shape
    n = b.shape[0] if b_transposed else b.shape[1]
    end = bias_for(bias, n, slope), slope
    if not a_transposed and dot_products.suits(m, n):
        return dot_products.multiply(a, b if b_transposed else contiguous(b.T), *end)
    if thin_product.suits(m, n):
        return thin_product.multiply(a, a_transposed, b, b_transposed, *end)
    if b_transposed and not a_transposed and turned_product.suits(m, k, n):
        return turned_product.multiply(a, b, *end)
    if a_transposed and m * n * k > _LARGE and bias is None and slope == 1:
        return outer_products.multiply(a, contiguous(b.T) if b_transposed else b)
    return matrix_product.multiply(a, a_transposed, b, b_transposed, *end)


def add_matmul(total: Array, a: Array, b: Array) -> None:
    """total += a @ b, in place; weight gradients while they are computed."""
    turned = a.ndim == 2 and a.flags.f_contiguous and not thin_product.suits(*total.shape)
    if not (turned and _runs_here(a, b) and all_float32(total) and total.flags.c_contiguous):
        add_to(total, matmul(a, b))
        return
    a, a_transposed = _stored(a)
    b, b_transposed = _stored(b)
    if a_transposed and total.size * b.shape[b_transposed] > _LARGE:
        outer_products.multiply(a, contiguous(b.T) if b_transposed else b, total)
    else:
        matrix_product.multiply(a, a_transposed, b, b_transposed, total=total)


def _stored(matrix: Array) -> tuple[Array, bool]:
    """The matrix or its transpose, whichever is C-contiguous, and whether it is the transpose."""
    if matrix.flags.c_contiguous:
        return matrix, False
    if matrix.flags.f_contiguous:
        return matrix.T, True
    return contiguous(matrix), False


def matmul(a: Array, b: Array) -> Array:
    """numpy.matmul; products of two float32 matrices run here, all others in the reference."""
    return product(a, b) if _runs_here(a, b) else reference.matmul(a, b)


def _runs_here(a: Array, b: Array) -> bool:
    """Whether both are float32 matrices that fit, and not empty."""
    plain = a.ndim == b.ndim == 2 and all_float32(a, b) and a.shape[1] == b.shape[0]
    return plain and 0 not in (*a.shape, *b.shape)
