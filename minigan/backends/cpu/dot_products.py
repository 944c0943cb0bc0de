"""Products with a few columns: each element is the dot product of two runs of memory.

The logits of a batch, the inner layers of a U-Net: out [M,N] = a [M,K] b^T, with b [N,K] so small
that it stays near. Vectors lie along the sum, so nothing is packed or turned, and `a` is read once;
`matrix_product.py` fills vectors with columns, of which there are too few here. 4 rows of `a` by 2
of b are 8 sums in registers.

Every element of `out` is one sum over K, by lanes and then over these, whatever the thread.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.aligned import aligned_floats
from minigan.backends.cpu.arrays import empty
from minigan.backends.cpu.finish import NOTHING, finish
from minigan.backends.cpu.lanes import WIDE, add_product, load_wide, store, zeros_wide
from minigan.backends.cpu.register_block import row_places
from minigan.backends.cpu.threads import MAX_CHUNKS, inlined, kernel, run
from minigan.backends.protocol import Array

_FEW = 16
_ROWS, _COLUMNS = 4, 2
_DEPTH = 1024  # terms at a time: those of b stay in the second-level cache
_SMALLEST = 1 << 17  # multiply-adds that are worth a thread


def suits(m: int, n: int) -> bool:
    """Whether m rows and n columns are too few columns for vectors; by measurement."""
    return n <= _FEW and n < m


def multiply(a: Array, b: Array, bias: Array = NOTHING, slope: float = 1.0) -> Array:
    """a @ b^T of a [M,K] and b [N,K], both C-contiguous.

    With a bias [N] leaky_relu(a @ b^T + bias, slope).
    """
    (m, k), n = a.shape, len(b)
    out = empty((m, n), np.float32)
    groups = -(-m // _ROWS)
    chunks = max(1, min(MAX_CHUNKS, groups, m * n * k // _SMALLEST))
    run(_multiply, chunks, a, b, bias, np.float32(slope), out)
    return out


@kernel
def _multiply(chunk, chunks, a, b, bias, slope, out):
    (m, n), inner = out.shape, a.shape[1]
    a_flat, b_flat, out_flat = a.reshape(-1), b.reshape(-1), out.reshape(-1)
    groups = (m + _ROWS - 1) // _ROWS
    lanes = aligned_floats(_ROWS * _COLUMNS * WIDE)
    i0, i1 = chunk * groups // chunks * _ROWS, min(m, (chunk + 1) * groups // chunks * _ROWS)
    for start in range(0, inner, _DEPTH):
        terms = min(_DEPTH, inner - start)
        whole = terms // WIDE * WIDE
        for i in range(i0, i1, _ROWS):
            rows = min(_ROWS, i1 - i)
            places = row_places(i * inner + start, inner, rows - 1)
            for j in range(0, n, _COLUMNS):
                columns = min(_COLUMNS, n - j)
                q0 = np.uintp(j * inner + start)
                q1 = np.uintp((j + columns - 1) * inner + start)
                _add_lanes(a_flat, places, b_flat, q0, q1, whole, lanes)
                for r in range(rows):
                    for c in range(columns):
                        total = np.float32(0)
                        for lane in range(np.uintp(WIDE)):
                            total += lanes[np.uintp((_COLUMNS * r + c) * WIDE) + lane]
                        x = np.uintp((i + r) * inner + start)
                        y = np.uintp((j + c) * inner + start)
                        for t in range(np.uintp(whole), np.uintp(terms)):
                            total += a_flat[x + t] * b_flat[y + t]
                        to = np.uintp((i + r) * n + j + c)
                        out_flat[to] = total if start == 0 else out_flat[to] + total
    if bias.size > 0:
        finish(out_flat, (i0, i1), (np.int64(0), n), n, bias, slope)


@inlined
def _add_lanes(a, places, b, q0, q1, terms, lanes):
    """The sums of 4 rows of a by 2 of b, [4,2,WIDE] in lanes."""
    p0, p1, p2, p3, _, _ = places
    o = zeros_wide()
    x0, y0, x1, y1, x2, y2, x3, y3 = o, o, o, o, o, o, o, o
    for t in range(np.uintp(0), np.uintp(terms), np.uintp(WIDE)):
        x, y = load_wide(b, q0 + t), load_wide(b, q1 + t)
        v = load_wide(a, p0 + t)
        x0, y0 = add_product(x0, v, x), add_product(y0, v, y)
        v = load_wide(a, p1 + t)
        x1, y1 = add_product(x1, v, x), add_product(y1, v, y)
        v = load_wide(a, p2 + t)
        x2, y2 = add_product(x2, v, x), add_product(y2, v, y)
        v = load_wide(a, p3 + t)
        x3, y3 = add_product(x3, v, x), add_product(y3, v, y)
    at, wide = np.uintp(0), np.uintp(WIDE)
    for s in (x0, y0, x1, y1, x2, y2, x3, y3):
        store(lanes, at, s)
        at += wide
