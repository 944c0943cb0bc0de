"""The products of Winograd's convolutions: one matrix product for each of a*a points.

Tiles lie in blocks of BLOCK, [a*a, L/BLOCK, channels, BLOCK], so that a register block reads whole
vectors, each after the other, and neither operand is copied first. Points are some numbers further
apart than their size, because a cache has few places for what lies a power of two apart, and a
transform writes all points at once.

Where weights are 0 nothing is multiplied: see `winograd_phases.py`.
"""

from __future__ import annotations

import math

import numpy as np

from minigan.backends.cpu.lanes import LANES, WIDE, add, load_wide, store, zeros_wide
from minigan.backends.cpu.register_block import COLUMNS, add_terms, no_terms
from minigan.backends.cpu.threads import inlined, kernel
from minigan.backends.cpu.turn import turn
from minigan.backends.protocol import Array

BLOCK = 2 * LANES  # tiles side by side in V, Q and the products
_TOGETHER = COLUMNS // BLOCK  # blocks in a register block: 2, or 1 where registers are few
_TILES = 128  # transposed at a time, which then stay in the first-level cache
_APART = 48  # numbers, three cache lines, between points


def points_apart(points: int, *shape: int) -> Array:
    """An array [points, *shape], not filled."""
    memory = np.empty((points, math.prod(shape) + _APART), np.float32)
    inner = np.empty(shape, np.float32).strides
    return np.ndarray((points, *shape), np.float32, memory, strides=(memory.strides[0], *inner))


@kernel
def multiply(chunk, chunks, a, row_step, inner_step, reach, b, rows_reach, starts, pairs, out):
    """out[f] = sum of A[p] b[q] over the pairs (p, q) from starts[f] to starts[f + 1].

    b [points, L/BLOCK, inner, BLOCK], out the same with the rows of A. Element (i, r) of A[p] is
    a[p] flat at i * row_step + r * inner_step, so that a matrix and its transpose are read where
    they lie. It is 0 where r is not in reach[p], from and to, or i not in rows_reach[f].
    """
    points, blocks, rows = out.shape[:3]
    a_point, inner = a.strides[0] // a.itemsize, b.shape[2]
    b_point, out_point = b.strides[0] // b.itemsize, out.strides[0] // out.itemsize
    step, row, next_block = np.uintp(inner_step), np.uintp(BLOCK), np.uintp(rows * BLOCK)
    panels = (blocks + _TOGETHER - 1) // _TOGETHER
    units = points * panels
    for unit in range(chunk * units // chunks, (chunk + 1) * units // chunks):
        f, block = unit // panels, unit % panels * _TOGETHER
        i0, i1 = rows_reach[f]
        # Where registers are many the second vector is the next block's, if there is one.
        alone = _TOGETHER == 2 and block + 1 == blocks
        upper = np.uintp(WIDE if _TOGETHER == 1 else 0 if alone else inner * BLOCK)
        for beyond in range(rows - (i1 - i0)):
            i = beyond if beyond < i0 else beyond + i1 - i0
            to = np.uintp(f * out_point + (block * rows + i) * BLOCK)
            _put(out, to, next_block, alone, zeros_wide(), zeros_wide())
        for i in range(i0, i1, 4):
            # Beyond the last row the last one is computed again, and not stored.
            last, sums = i1 - 1, no_terms()
            for pair in range(starts[f], starts[f + 1]):
                p, q = pairs[pair]
                r0, r1 = reach[p]
                at = np.uintp(q * b_point + (block * inner + r0) * BLOCK)
                origin = p * a_point + r0 * inner_step
                p0 = np.uintp(origin + i * row_step)
                p1 = np.uintp(origin + min(i + 1, last) * row_step)
                p2 = np.uintp(origin + min(i + 2, last) * row_step)
                p3 = np.uintp(origin + min(i + 3, last) * row_step)
                sums = add_terms(sums, a, p0, p1, p2, p3, step, b, at, upper, row, r1 - r0)
            x0, y0, x1, y1, x2, y2, x3, y3 = sums
            to = np.uintp(f * out_point + (block * rows + i) * BLOCK)
            _put(out, to, next_block, alone, x0, y0)
            if i + 1 < i1:
                _put(out, to + row, next_block, alone, x1, y1)
            if i + 2 < i1:
                _put(out, to + row + row, next_block, alone, x2, y2)
            if i + 3 < i1:
                _put(out, to + row + row + row, next_block, alone, x3, y3)


@inlined
def _put(out, at, next_block, alone, x, y):
    store(out, at, x)
    if not alone:
        store(out, at + (np.uintp(WIDE) if _TOGETHER == 1 else next_block), y)


@kernel
def add_products(chunk, chunks, q, v, of, reach, begins, sums):
    """sums[f] += Q[f] V[of[f]]^T, sums [points, K, C' in whole register blocks], like V's channels.

    What is there before is not read if this begins the sums. Channels out of reach[f] are none of
    them, and may hold anything.
    """
    points, blocks, rows = q.shape[:3]
    channels = v.shape[2]
    q_point, v_point = q.strides[0] // q.itemsize, v.strides[0] // v.itemsize
    sums_point = sums.strides[0] // sums.itemsize
    turned = np.empty(_TILES * COLUMNS, np.float32)  # [tiles, channels]
    whole, row, together = np.uintp(COLUMNS), np.uintp(BLOCK), _TILES // BLOCK
    panels, pieces = channels // COLUMNS, (blocks + together - 1) // together
    units = points * panels
    for unit in range(chunk * units // chunks * pieces, (chunk + 1) * units // chunks * pieces):
        f, c = unit // pieces // panels, unit // pieces % panels * COLUMNS
        first, last = reach[f]
        if c >= last or c + COLUMNS <= first:
            continue
        block0 = unit % pieces * together
        begin = begins and block0 == 0
        block1 = min(blocks, block0 + together)
        for block in range(block0, block1):
            for part in range(0, COLUMNS, 8):
                start = of[f] * v_point + (block * channels + c + part) * BLOCK
                for half in range(0, BLOCK, LANES):
                    to = ((block - block0) * BLOCK + half) * COLUMNS + part
                    turn(v, np.uintp(start + half), row, turned, to, whole)
        for i in range(0, rows, 4):
            sum4, at = no_terms(), np.uintp(0)
            for block in range(block0, block1):
                p0 = np.uintp(f * q_point + (block * rows + i) * BLOCK)
                p1 = p0 + row * np.uintp(min(1, rows - 1 - i))
                p2 = p0 + row * np.uintp(min(2, rows - 1 - i))
                p3 = p0 + row * np.uintp(min(3, rows - 1 - i))
                sum4 = add_terms(
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
