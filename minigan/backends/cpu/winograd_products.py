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

from minigan.backends.cpu.aligned import LINE, aligned_empty, aligned_floats
from minigan.backends.cpu.fetching import fetch_run
from minigan.backends.cpu.lanes import (
    LANES,
    WIDE,
    add,
    load,
    load_wide,
    store,
    store_fours,
    zeros_wide,
)
from minigan.backends.cpu.register_block import COLUMNS, add_terms, no_terms
from minigan.backends.cpu.threads import helper, inlined, kernel
from minigan.backends.cpu.turn import turn
from minigan.backends.protocol import Array

BLOCK = 2 * LANES  # tiles side by side in V, Q and the products
_TOGETHER = COLUMNS // BLOCK  # blocks in a register block: 2, or 1 where registers are few
_PANELS_BYTES = 1 << 19  # of b: as many panels as stay in the second-level cache meet rows of A
_ROWS = 4 * LANES  # of A that are gathered at a time where it is stored the other way
_TILES = 512  # transposed at a time, which then stay there too
_APART = 80  # numbers, five cache lines, between points: more than `_gather` reads too much


def points_apart(points: int, *shape: int) -> Array:
    """An array [points, *shape], not filled."""
    memory = aligned_empty(points, math.prod(shape) + _APART)
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
    row, next_block = np.uintp(BLOCK), np.uintp(rows * BLOCK)
    most = max(1, _PANELS_BYTES // (4 * COLUMNS * max(inner, 1))) * _TOGETHER
    groups = (blocks + most - 1) // most
    deepest = 0
    for f in range(points):
        deepest = max(deepest, starts[f + 1] - starts[f])
    turned = aligned_floats(deepest * (inner + 4) * _ROWS if inner_step != 1 else 0)
    units = points * groups
    for unit in range(chunk * units // chunks, (chunk + 1) * units // chunks):
        f, block0 = unit // groups, unit % groups * most
        block1 = min(blocks, block0 + most)
        i0, i1 = rows_reach[f]
        for block in range(block0, block1, _TOGETHER):
            alone = _TOGETHER == 2 and block + 1 == blocks
            for beyond in range(rows - (i1 - i0)):
                i = beyond if beyond < i0 else beyond + i1 - i0
                to = np.uintp(f * out_point + (block * rows + i) * BLOCK)
                _put(out, to, next_block, alone, zeros_wide(), zeros_wide())
        # While this unit is computed, the next one's numbers come into the second-level cache.
        calls = max(1, (i1 - i0 + 3) // 4 * ((block1 - block0 + _TOGETHER - 1) // _TOGETHER))
        following = min(unit + 1, units - 1)
        ahead = pairs[starts[following // groups], 1] * b_point
        ahead += following % groups * most * inner * BLOCK
        share = (block1 - block0) * inner * BLOCK // calls + LINE
        for i in range(i0, i1, 4):
            last = i1 - 1
            if inner_step != 1 and (i - i0) % _ROWS == 0:
                _gather(a, a_point, inner_step, reach, pairs, starts[f], starts[f + 1], i, turned)
            for block in range(block0, block1, _TOGETHER):
                # Where registers are many the second vector is the next block's, if there is one.
                alone = _TOGETHER == 2 and block + 1 == blocks
                upper = np.uintp(WIDE if _TOGETHER == 1 else 0 if alone else inner * BLOCK)
                fetch_run(b, ahead, share)
                ahead += share
                # Beyond the last row the last one is computed again, and not stored.
                sums, before = no_terms(), 0
                for pair in range(starts[f], starts[f + 1]):
                    p, q = pairs[pair]
                    r0, r1 = reach[p]
                    terms = r1 - r0
                    at = np.uintp(q * b_point + (block * inner + r0) * BLOCK)
                    if inner_step == 1:
                        origin = p * a_point + r0
                        p0 = np.uintp(origin + i * row_step)
                        p1 = np.uintp(origin + min(i + 1, last) * row_step)
                        p2 = np.uintp(origin + min(i + 2, last) * row_step)
                        p3 = np.uintp(origin + min(i + 3, last) * row_step)
                        sums = add_terms(
                            sums, a, p0, p1, p2, p3, np.uintp(1), b, at, upper, row, terms
                        )
                    else:
                        p0 = np.uintp(before + (i - i0) % _ROWS // 4 * (4 * terms + LINE))
                        sums = add_terms(
                            sums, turned, p0, p0 + np.uintp(1), p0 + np.uintp(2), p0 + np.uintp(3),
                            np.uintp(4), b, at, upper, row, terms,
                        )  # fmt: skip
                        before += _ROWS // 4 * (4 * terms + LINE)
                x0, y0, x1, y1, x2, y2, x3, y3 = sums
                to = np.uintp(f * out_point + (block * rows + i) * BLOCK)
                _put(out, to, next_block, alone, x0, y0)
                if i + 1 < i1:
                    _put(out, to + row, next_block, alone, x1, y1)
                if i + 2 < i1:
                    _put(out, to + row + row, next_block, alone, x2, y2)
                if i + 3 < i1:
                    _put(out, to + row + row + row, next_block, alone, x3, y3)


@helper
def _gather(a, a_point, inner_step, reach, pairs, first, last, i, turned):
    """For each pair turned [_ROWS / 4, terms, 4]: fours of rows of a matrix stored transposed.

    Beyond the last row stands what follows it in memory: it is in sums that are not stored.
    """
    start = 0
    for pair in range(first, last):
        p = pairs[pair, 0]
        terms = reach[p, 1] - reach[p, 0]
        at, to = np.uintp(p * a_point + reach[p, 0] * inner_step + i), np.uintp(start)
        apart = np.uintp(4 * terms + LINE)
        part = apart * np.uintp(LANES // 4)
        for _ in range(terms):
            for lanes in range(np.uintp(_ROWS // LANES)):
                vector = load(a, at + lanes * np.uintp(LANES))
                store_fours(turned, to + lanes * part, apart, vector)
            at, to = at + np.uintp(inner_step), to + np.uintp(4)
        start += _ROWS // 4 * (4 * terms + LINE)


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
    turned = aligned_floats(_TILES * COLUMNS)  # [tiles, channels]
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
