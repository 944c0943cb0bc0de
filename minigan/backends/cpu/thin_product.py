"""Products with a few columns of many rows, computed as their transpose.

`matrix_product.py` fills vectors with columns, of which these have too few. Their rows are many, so
the result is computed as out^T [N,M] = b^T [N,K] a^T [K,M] and turned: the gradients inside a
U-Net, where `a` is stored [K,M] and has millions of numbers.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu import matrix_product
from minigan.backends.cpu.arrays import empty
from minigan.backends.cpu.finish import NOTHING, finished
from minigan.backends.cpu.register_block import COLUMNS, ROWS
from minigan.backends.cpu.threads import chunks_for, kernel, run
from minigan.backends.protocol import Array

_SMALLEST = 1 << 15  # numbers to turn that are worth a thread


def suits(m: int, n: int) -> bool:
    """Whether a product with m rows and n columns is less work as its transpose."""
    return m > n and _work(n, m) < 0.75 * _work(m, n)


def _work(rows: int, columns: int) -> int:
    """Elements of whole register blocks."""
    return -(-rows // ROWS) * ROWS * -(-columns // COLUMNS) * COLUMNS


def multiply(
    a: Array, a_transposed: bool, b: Array, b_transposed: bool,
    bias: Array = NOTHING, slope: float = 1.0,
) -> Array:  # fmt: skip
    """a @ b of a [M,K] and b [K,N], or where a flag is set of its C-contiguous transpose.

    With a bias [N] leaky_relu(a @ b + bias, slope).
    """
    product = matrix_product.multiply(b, not b_transposed, a, not a_transposed)
    return _turned(product, bias, slope)


def _turned(matrix: Array, bias: Array = NOTHING, slope: float = 1.0) -> Array:
    rows, columns = matrix.shape
    if bias.size == 0 and 1 in (rows, columns):
        return matrix.reshape(columns, rows)
    out = empty((columns, rows), np.float32)
    run(_turn, chunks_for(out.size, _SMALLEST), matrix, bias, np.float32(slope), out)
    return out


@kernel
def _turn(chunk, chunks, matrix, bias, slope, out):
    """matrix [N,M] -> out [M,N], finished if there is a bias [N]."""
    m, n = out.shape
    for i in range(chunk * m // chunks, (chunk + 1) * m // chunks):
        for j in range(n):
            number = matrix[j, i]
            out[i, j] = finished(number, bias[j], slope) if bias.size > 0 else number
