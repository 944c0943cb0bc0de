"""The products of Winograd's convolutions: one matrix product for each of a*a points.

Tiles lie in blocks of BLOCK, whole vectors side by side, so a register block of 4 rows times BLOCK
tiles reads nothing but whole vectors and single numbers, and neither operand is copied first (as a
BLAS must): about the peak of one core.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.lanes import LANES, add_product, load, store, zeros
from minigan.backends.cpu.threads import inlined, kernel
from minigan.backends.cpu.turn import turn

BLOCK = 2 * LANES  # tiles side by side in V, Q and the products
_TURNED_BLOCKS = 4


@kernel
def multiply(chunk, chunks, a, row_step, inner_step, inner, b, out):
    """out[f] = A[f] b[f]: b [points, L/BLOCK, inner, BLOCK], out the same with the rows of A.

    Element (i, r) of A[f] is a[f] flat at i * row_step + r * inner_step, so that a matrix and
    its transpose are read where they lie. A register block is 4 rows times BLOCK tiles.
    """
    points, blocks, rows = out.shape[:3]
    a_flat, b_flat, out_flat = a.reshape(-1), b.reshape(-1), out.reshape(-1)
    size, step, upper, whole = a[0].size, np.uintp(inner_step), np.uintp(LANES), np.uintp(BLOCK)
    units = points * blocks
    for unit in range(chunk * units // chunks, (chunk + 1) * units // chunks):
        first = unit // blocks * size
        for i in range(0, rows, 4):
            # Beyond the last row the last one is computed again, and stored where it was.
            p0, p1 = (
                np.uintp(first + i * row_step),
                np.uintp(first + min(i + 1, rows - 1) * row_step),
            )
            p2 = np.uintp(first + min(i + 2, rows - 1) * row_step)
            p3 = np.uintp(first + min(i + 3, rows - 1) * row_step)
            x0 = x1 = x2 = x3 = y0 = y1 = y2 = y3 = zeros()
            at = np.uintp(unit * inner * BLOCK)
            for r in range(np.uintp(inner)):
                x, y = load(b_flat, at), load(b_flat, at + upper)
                at += whole
                s = r * step
                n = a_flat[p0 + s]
                x0, y0 = add_product(x0, n, x), add_product(y0, n, y)
                n = a_flat[p1 + s]
                x1, y1 = add_product(x1, n, x), add_product(y1, n, y)
                n = a_flat[p2 + s]
                x2, y2 = add_product(x2, n, x), add_product(y2, n, y)
                n = a_flat[p3 + s]
                x3, y3 = add_product(x3, n, x), add_product(y3, n, y)
            to = unit * rows * BLOCK
            _store_row(out_flat, to, i, rows, x0, y0)
            _store_row(out_flat, to, i + 1, rows, x1, y1)
            _store_row(out_flat, to, i + 2, rows, x2, y2)
            _store_row(out_flat, to, i + 3, rows, x3, y3)


@inlined
def _store_row(out, to, row, rows, x, y):
    at = np.uintp(to + min(row, rows - 1) * BLOCK)
    store(out, at, x)
    store(out, at + np.uintp(LANES), y)


@kernel
def add_products(chunk, chunks, q, v, sums):
    """sums[f] += Q[f] V[f]^T, sums [points, K, C' in whole blocks]; V has whole blocks too."""
    points, blocks, rows = q.shape[:3]
    columns = v.shape[2] // BLOCK
    q_flat, v_flat, out = q.reshape(-1), v.reshape(-1), sums.reshape(-1)
    # Few tiles at a time, so that they stay in the first-level cache: [tiles, BLOCK channels].
    turned = np.empty(_TURNED_BLOCKS * BLOCK * BLOCK, np.float32)
    upper, whole = np.uintp(LANES), np.uintp(BLOCK)
    pieces = (blocks + _TURNED_BLOCKS - 1) // _TURNED_BLOCKS
    units = points * columns
    for unit in range(chunk * units // chunks * pieces, (chunk + 1) * units // chunks * pieces):
        f, c = unit // pieces // columns, unit // pieces % columns * BLOCK
        block0 = unit % pieces * _TURNED_BLOCKS
        block1 = min(blocks, block0 + _TURNED_BLOCKS)
        for block in range(block0, block1):
            for part in range(0, BLOCK, 8):
                start = ((f * blocks + block) * v.shape[2] + c + part) * BLOCK
                for half in range(0, BLOCK, LANES):
                    to = ((block - block0) * BLOCK + half) * BLOCK + part
                    turn(v_flat, np.uintp(start + half), whole, turned, to, whole)
        for i in range(0, rows, 4):
            x0 = x1 = x2 = x3 = y0 = y1 = y2 = y3 = zeros()
            at = np.uintp(0)
            for block in range(block0, block1):
                p0 = np.uintp(((f * blocks + block) * rows + i) * BLOCK)
                p1 = p0 + np.uintp(BLOCK * min(1, rows - 1 - i))
                p2 = p0 + np.uintp(BLOCK * min(2, rows - 1 - i))
                p3 = p0 + np.uintp(BLOCK * min(3, rows - 1 - i))
                for t in range(whole):
                    x, y = load(turned, at), load(turned, at + upper)
                    at += whole
                    n = q_flat[p0 + t]
                    x0, y0 = add_product(x0, n, x), add_product(y0, n, y)
                    n = q_flat[p1 + t]
                    x1, y1 = add_product(x1, n, x), add_product(y1, n, y)
                    n = q_flat[p2 + t]
                    x2, y2 = add_product(x2, n, x), add_product(y2, n, y)
                    n = q_flat[p3 + t]
                    x3, y3 = add_product(x3, n, x), add_product(y3, n, y)
            one = np.float32(1)
            to, row = np.uintp((f * rows + i) * v.shape[2] + c), np.uintp(v.shape[2])
            live = rows - i
            store(out, to, add_product(load(out, to), one, x0))
            store(out, to + upper, add_product(load(out, to + upper), one, y0))
            if live > 1:
                to += row
                store(out, to, add_product(load(out, to), one, x1))
                store(out, to + upper, add_product(load(out, to + upper), one, y1))
            if live > 2:
                to += row
                store(out, to, add_product(load(out, to), one, x2))
                store(out, to + upper, add_product(load(out, to + upper), one, y2))
            if live > 3:
                to += row
                store(out, to, add_product(load(out, to), one, x3))
                store(out, to + upper, add_product(load(out, to + upper), one, y3))
