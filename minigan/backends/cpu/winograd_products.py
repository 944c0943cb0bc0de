"""The products of Winograd's convolutions: one matrix product for each of a*a points.

Tiles lie in blocks of BLOCK, [a*a, L/BLOCK, channels, BLOCK], so that a register block reads whole
vectors, each after the other, and neither operand is copied first. Points are some numbers further
apart than their size, because a cache has few places for what lies a power of two apart, and a
transform writes all points at once.

Where weights are 0 nothing is multiplied: see `winograd_phases.py`. Nor is it in tiles that do not
need a point: see `winograd_order.py`.
"""

from __future__ import annotations

import math

import numpy as np

from minigan.backends.cpu.aligned import LINE, aligned_empty, aligned_floats
from minigan.backends.cpu.fetching import fetch_run
from minigan.backends.cpu.lanes import LANES, WIDE, add, load_wide, store, zeros_wide
from minigan.backends.cpu.register_block import COLUMNS, add_terms_of_4, no_terms_of_4
from minigan.backends.cpu.threads import helper, inlined, kernel
from minigan.backends.cpu.turn import turn
from minigan.backends.protocol import Array

BLOCK = 2 * LANES  # tiles side by side in V, Q and the products
_TOGETHER = COLUMNS // BLOCK  # blocks in a register block: 2, or 1 where registers are few
_PANELS_BYTES = 1 << 19  # of b: as many panels as stay in the second-level cache meet rows of A
_DEPTH = 64  # terms at a time: what a panel has of them stays in the first-level cache
_ROWS = 64  # of A that meet a panel before the next one
_TILES = 512  # transposed at a time, which then stay there too
_APART = 5 * LINE  # numbers between points


def points_apart(points: int, *shape: int) -> Array:
    """An array [points, *shape], not filled."""
    size = math.prod(shape)
    return aligned_empty(points, size + _APART)[:, :size].reshape(points, *shape)


@kernel
def multiply(chunk, chunks, a, row_step, inner_step, reach, b, rows_reach, starts, pairs, kinds,
             needed, out):  # fmt: skip
    """out[f] = sum of A[p] b[q] over the pairs (p, q) from starts[f] to starts[f + 1].

    b [points, L/BLOCK, inner, BLOCK], out the same with the rows of A. Element (i, r) of A[p] is
    a[p] flat at i * row_step + r * inner_step, so that a matrix and its transpose are read where
    they lie. It is 0 where r is not in reach[p], from and to, or i not in rows_reach[f]. The
    results of blocks that are not in needed[kinds[f]] are 0.
    """
    points, blocks, rows = out.shape[:3]
    a_point, inner = a.strides[0] // a.itemsize, b.shape[2]
    b_point, out_point = b.strides[0] // b.itemsize, out.strides[0] // out.itemsize
    next_block = np.uintp(rows * BLOCK)
    most = max(1, _PANELS_BYTES // (4 * COLUMNS * max(inner, 1))) * _TOGETHER
    groups = (blocks + most - 1) // most
    units, nothing = points * groups, np.int64(0)
    for unit in range(chunk * units // chunks, (chunk + 1) * units // chunks):
        f, begin = unit // groups, unit % groups * most
        end, i0, i1 = min(blocks, begin + most), rows_reach[f, 0], rows_reach[f, 1]
        block0 = min(end, max(begin, needed[kinds[f], 0]))
        block1 = max(block0, min(end, needed[kinds[f], 1]))
        _clear(out, f, begin, block0, nothing, nothing)
        _clear(out, f, block0, block1, i0, i1)
        _clear(out, f, block1, end, nothing, nothing)
        next_f = min(unit + 1, units - 1) // groups
        next_a = pairs[starts[next_f], 0] * a_point + rows_reach[next_f, 0] * row_step
        for first in range(i0, i1, _ROWS):
            last = min(first + _ROWS, i1)
            for pair in range(starts[f], starts[f + 1]):
                p, q = pairs[pair, 0], pairs[pair, 1]
                r0, r1 = reach[p, 0], reach[p, 1]
                for block in range(block0, block1, _TOGETHER):
                    # Where registers are many the second vector is the next block's, if any.
                    alone = _TOGETHER == 2 and block + 1 == block1
                    upper = np.uintp(WIDE if _TOGETHER == 1 else 0 if alone else inner * BLOCK)
                    for start in range(r0, max(r1, r0 + 1), _DEPTH):
                        terms = min(_DEPTH, r1 - start)
                        begins = pair == starts[f] and start == r0
                        at = np.uintp(q * b_point + (block * inner + start) * BLOCK)
                        # The first panel asks for the part of A that is multiplied next.
                        ahead = p * a_point + first * row_step + (start + _DEPTH) * inner_step
                        if start + _DEPTH >= r1:
                            ahead = p * a_point + last * row_step if last < i1 else next_a
                            ahead += r0 * inner_step
                        steps = row_step, inner_step
                        a_at = p * a_point + first * row_step + start * inner_step
                        to = f * out_point + (block * rows + first) * BLOCK
                        _add_rows(
                            a, a_at, steps, last - first, b, at, upper, terms, out, to, next_block,
                            alone, begins, ahead, block == block0,
                        )  # fmt: skip


@inlined
def _add_rows(a, a_at, steps, rows, b, at, upper, terms, out, to, next_block, alone, begins, ahead,
              fetching):  # fmt: skip
    """So many terms of the product of rows of A with a panel of b, onto out or to begin it."""
    row_step, inner_step = steps
    row = np.uintp(BLOCK)
    for i in range(0, rows, 4):
        for _ in range(4 if fetching else 0):
            fetch_run(a, ahead, _DEPTH)
            ahead += max(row_step, inner_step)
        # Beyond the last row the last one is computed again, and not stored.
        left = rows - 1 - i
        p0 = a_at + i * row_step
        p1, p2, p3 = (p0 + min(1, left) * row_step, p0 + min(2, left) * row_step,
                      p0 + min(3, left) * row_step)  # fmt: skip
        x0, y0, x1, y1, x2, y2, x3, y3 = add_terms_of_4(
            no_terms_of_4(), a, np.uintp(p0), np.uintp(p1), np.uintp(p2), np.uintp(p3),
            np.uintp(inner_step), b, at, upper, row, terms,
        )  # fmt: skip
        place = np.uintp(to + i * BLOCK)
        _sum(out, place, next_block, alone, begins, x0, y0)
        if left > 0:
            _sum(out, place + row, next_block, alone, begins, x1, y1)
        if left > 1:
            _sum(out, place + row + row, next_block, alone, begins, x2, y2)
        if left > 2:
            _sum(out, place + row + row + row, next_block, alone, begins, x3, y3)


@helper
def _clear(out, f, block0, block1, i0, i1):
    """Zeros in the rows of a point that are not between i0 and i1, in the blocks from, to."""
    rows = out.shape[2]
    f_point, next_block = f * (out.strides[0] // out.itemsize), np.uintp(rows * BLOCK)
    for block in range(block0, block1, _TOGETHER):
        alone = _TOGETHER == 2 and block + 1 == block1
        for beyond in range(rows - (i1 - i0)):
            i = beyond if beyond < i0 else beyond + i1 - i0
            to = np.uintp(f_point + (block * rows + i) * BLOCK)
            _put(out, to, next_block, alone, zeros_wide(), zeros_wide())


@inlined
def _sum(out, at, next_block, alone, begins, x, y):
    """Store two wide vectors, or add them to what is there."""
    if not begins:
        after = at + (np.uintp(WIDE) if _TOGETHER == 1 else np.uintp(0) if alone else next_block)
        x, y = add(load_wide(out, at), x), add(load_wide(out, after), y)
    _put(out, at, next_block, alone, x, y)


@inlined
def _put(out, at, next_block, alone, x, y):
    store(out, at, x)
    if not alone:
        store(out, at + (np.uintp(WIDE) if _TOGETHER == 1 else next_block), y)


@kernel
def add_products(chunk, chunks, q, v, of, reach, kinds, needed, begins, sums):
    """sums[f] += Q[f] V[of[f]]^T, sums [points, K, C' in whole register blocks], like V's channels.

    What is there before is not read if this begins the sums. Channels out of reach[f] are none of
    them, and may hold anything. Nor are blocks that are not in needed[kinds[f]].
    """
    points, blocks, rows = q.shape[:3]
    channels = v.shape[2]
    q_point, v_point = q.strides[0] // q.itemsize, v.strides[0] // v.itemsize
    sums_point = sums.strides[0] // sums.itemsize
    turned = aligned_floats(_TILES * COLUMNS)  # [tiles, channels]
    whole, row, together = np.uintp(COLUMNS), np.uintp(BLOCK), _TILES // BLOCK
    panels, pieces = channels // COLUMNS, (blocks + together - 1) // together
    units = points * panels
    for unit in range(chunk * units // chunks * pieces, (chunk + 1) * units // chunks * pieces):
        f, c = unit // pieces // panels, unit // pieces % panels * COLUMNS
        first, last = reach[f, 0], reach[f, 1]
        if c >= last or c + COLUMNS <= first:
            continue
        block0, kind = unit % pieces * together, kinds[f]
        begin = begins and block0 == 0
        block1 = min(blocks, block0 + together, needed[kind, 1])
        block0 = max(block0, needed[kind, 0])
        if block1 <= block0 and not begin:
            continue
        for block in range(block0, block1):
            for part in range(0, COLUMNS, 8):
                start = of[f] * v_point + (block * channels + c + part) * BLOCK
                for half in range(0, BLOCK, LANES):
                    to = ((block - block0) * BLOCK + half) * COLUMNS + part
                    turn(v, np.uintp(start + half), row, turned, to, whole)
        for i in range(0, rows, 4):
            sum4, at = no_terms_of_4(), np.uintp(0)
            for block in range(block0, block1):
                p0 = np.uintp(f * q_point + (block * rows + i) * BLOCK)
                p1 = p0 + row * np.uintp(min(1, rows - 1 - i))
                p2 = p0 + row * np.uintp(min(2, rows - 1 - i))
                p3 = p0 + row * np.uintp(min(3, rows - 1 - i))
                sum4 = add_terms_of_4(
                    sum4,
                    q,
                    p0,
                    p1,
                    p2,
                    p3,
                    np.uintp(1),
                    turned,
                    at,
                    np.uintp(WIDE),
                    whole,
                    BLOCK,
                )
                at += np.uintp(BLOCK * COLUMNS)
            x0, y0, x1, y1, x2, y2, x3, y3 = sum4
            to, below = np.uintp(f * sums_point + i * channels + c), np.uintp(channels)
            _add(sums, to, begin, x0, y0)
            if i + 1 < rows:
                _add(sums, to + below, begin, x1, y1)
            if i + 2 < rows:
                _add(sums, to + below + below, begin, x2, y2)
            if i + 3 < rows:
                _add(sums, to + below + below + below, begin, x3, y3)


@inlined
def _add(out, at, begin, x, y):
    after = at + np.uintp(WIDE)
    if not begin:
        x, y = add(load_wide(out, at), x), add(load_wide(out, after), y)
    store(out, at, x)
    store(out, after, y)
