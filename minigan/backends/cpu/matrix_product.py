"""Matrix products of a network's layers: a register block over one packed operand.

A layer's product has a batch of rows, often 64, for thousands of columns, and a BLAS that packs
both operands, for matrices that are large every way, spends a third of its time on that. Here
out [M,N] = a [M,K] b [K,N] is cut into tiles of up to 128 rows times COLUMNS columns; a tile
packs its columns of b, DEPTH terms at a time, and reads the numbers of `a` where they lie, ROWS
rows in a register block, also those of a transposed `a`. A transposed b is interleaved in
registers.

Every element of `out` is one sum over K in order, whatever the tile and the thread; where tiles are
few and sums long these are cut into parts, by shape alone.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minigan.backends.cpu.aligned import aligned_floats
from minigan.backends.cpu.arrays import empty
from minigan.backends.cpu.fetching import fetch_run
from minigan.backends.cpu.finish import NOTHING, finish, finished
from minigan.backends.cpu.lanes import LANES, WIDE, load_wide, store
from minigan.backends.cpu.register_block import (
    COLUMNS,
    ROWS,
    add_terms,
    no_terms,
    put_part,
    put_rows,
    row_places,
)
from minigan.backends.cpu.threads import MAX_CHUNKS, chunks_for, helper, inlined, kernel, run
from minigan.backends.cpu.turn import turn
from minigan.backends.protocol import Array

_MOST_ROWS, _FEWEST_ROWS = 22 * ROWS, 6 * ROWS  # of a tile: many use the packed columns well
_MOST_PANELS = 4 if WIDE == 32 else 8  # of a tile: its rows of b and out are long runs of memory
DEPTH = (1 << 13) // COLUMNS  # terms at a time: a panel about fills the first-level cache
_ENOUGH_TILES = 8  # for some threads
_SMALLEST = 1 << 18  # multiply-adds that are worth a thread
_LONG = 1024  # terms of a part of a sum
_SMALLEST_SUM = 1 << 13  # numbers to add up that are worth a thread


def multiply(
    a: Array, a_transposed: bool, b: Array, b_transposed: bool,
    bias: Array = NOTHING, slope: float = 1.0, total: Array | None = None,
) -> Array:  # fmt: skip
    """a @ b of a [M,K] and b [K,N], or where a flag is set of its C-contiguous transpose.

    With a bias [N] leaky_relu(a @ b + bias, slope). With `total` [M,N], which goes without a bias,
    total + a @ b, in place.
    """
    m, k = a.shape[::-1] if a_transposed else a.shape
    n = b.shape[0 if b_transposed else 1]
    rows, panels = tile_size(m, n)
    parts = _parts_of(k, _tiles(m, n, rows, panels))
    operands = rows, panels, a, a_transposed, b, b_transposed
    chunks = chunks_of(m, k, n, rows, panels, parts)
    out = empty((m, n), np.float32) if total is None else total
    if parts == 1:
        sums = out.reshape(1, m, n)
        run(_multiply, chunks, *operands, bias, np.float32(slope), sums, total is None)
        return out
    sums = empty((parts, m, n), np.float32)
    run(_multiply, chunks, *operands, NOTHING, np.float32(1), sums, True)
    end = bias, np.float32(slope), out, total is None
    run(_add_parts, chunks_for(out.size, _SMALLEST_SUM), sums, *end)
    return out


def _parts_of(k: int, tiles: int) -> int:
    """Into how many parts to cut the sums over k: where they are long, and the tiles too few."""
    return max(1, min(_ENOUGH_TILES // tiles, k // _LONG))


def chunks_of(m: int, k: int, n: int, rows: int, panels: int, parts: int = 1) -> int:
    """Of a product in tiles of this size, and so many parts of its sums."""
    return max(1, min(MAX_CHUNKS, parts * _tiles(m, n, rows, panels), m * n * k // _SMALLEST))


@lru_cache(maxsize=1024)
def tile_size(m: int, n: int) -> tuple[int, int]:
    """Rows and panels of a tile: large ones, but enough of them."""
    parts, panels = -(-m // _MOST_ROWS), _MOST_PANELS
    while panels > 1 and _tiles(m, n, _rows(m, parts), panels) < _ENOUGH_TILES:
        panels //= 2
    while _rows(m, parts) > _FEWEST_ROWS and _tiles(m, n, _rows(m, parts), panels) < _ENOUGH_TILES:
        parts *= 2
    return _rows(m, parts), panels


def _rows(m: int, parts: int) -> int:
    """Whole register blocks for each of so many parts of m rows."""
    return -(-m // (parts * ROWS)) * ROWS


def _tiles(m: int, n: int, rows: int, panels: int) -> int:
    return -(-m // rows) * -(-n // (panels * COLUMNS))


@kernel
def _multiply(
    chunk, chunks, tile_rows, panels, a, a_transposed, b, b_transposed, bias, slope, sums, replaces
):
    """sums [parts,M,N]: each of a part of the terms."""
    (parts, m, n), inner = sums.shape, a.shape[0] if a_transposed else a.shape[1]
    packed, block = work_space(panels)
    wide = panels * COLUMNS
    across = (n + wide - 1) // wide
    tiles = across * ((m + tile_rows - 1) // tile_rows)
    units = parts * tiles
    for unit in range(chunk * units // chunks, (chunk + 1) * units // chunks):
        part, tile = unit // tiles, unit % tiles
        i0, j0 = tile // across * tile_rows, tile % across * wide
        rows, columns = (i0, min(m, i0 + tile_rows)), (j0, min(n, j0 + wide))
        terms, out = (part * inner // parts, (part + 1) * inner // parts), sums[part]
        multiply_tile(
            rows, columns, terms, a, a_transposed, b, b_transposed, out, packed, block, replaces
        )
        if bias.size > 0:
            finish(out.reshape(-1), rows, columns, n, bias, slope)


@kernel
def _add_parts(chunk, chunks, sums, bias, slope, out, replaces):
    """out [M,N], or added to it: the parts, in order, finished if there is a bias."""
    n, flat, out_flat = out.shape[1], sums.reshape(-1), out.reshape(-1)
    first, last = chunk * out.size // chunks, (chunk + 1) * out.size // chunks
    for at in range(np.uintp(first), np.uintp(last if replaces else first)):
        out_flat[at] = flat[at]
    for part in range(1 if replaces else 0, len(sums)):
        start = np.uintp(part * out.size)
        for at in range(np.uintp(first), np.uintp(last)):
            out_flat[at] += flat[start + at]
    for at in range(np.uintp(first), np.uintp(last if bias.size > 0 else first)):
        out_flat[at] = finished(out_flat[at], bias[at % np.uintp(n)], slope)


@inlined
def work_space(panels):
    """What a tile of so many panels packs its columns into, and a place for a block."""
    return aligned_floats(panels * DEPTH * COLUMNS), aligned_floats(ROWS * COLUMNS)


@helper
def multiply_tile(
    rows, columns, inner, a, a_transposed, b, b_transposed, out, packed, block, replaces
):
    """Rows and columns of a @ b, and of its sums the inner terms, each from and to: into `out`, or
    added to what is there."""
    (i0, i1), (j0, j1), (t0, t1), (m, n) = rows, columns, inner, out.shape
    row_step, step = (1, m) if a_transposed else (a.shape[1], 1)
    a_flat, out_flat = a.reshape(-1), out.reshape(-1)
    panel = DEPTH * COLUMNS
    term_step, upper, whole = np.uintp(step), np.uintp(WIDE), np.uintp(COLUMNS)
    for start in range(t0, t1, DEPTH):
        terms, first = min(t1 - start, DEPTH), replaces and start == t0
        for j in range(j0, j1, COLUMNS):
            to, live = (j - j0) // COLUMNS * panel, min(COLUMNS, j1 - j)
            if b_transposed:
                _pack_turned(b, j, live, start, terms, packed, to)
            else:
                pack_columns(b, j, live, start, terms, packed, to)
        fetched = 0  # rows of b
        for i in range(i0, i1, ROWS):
            places = row_places(start * step + i * row_step, row_step, i1 - 1 - i)
            if not b_transposed:
                # While these rows are computed, what is packed next comes nearer.
                left, rest = i1 - i, min(t1 - start - terms, DEPTH) - fetched
                for _ in range(rest if left <= ROWS else rest * ROWS // left):
                    fetch_run(b, (start + terms + fetched) * n + j0, j1 - j0)
                    fetched += 1
            for j in range(j0, j1, COLUMNS):
                at, live = np.uintp((j - j0) // COLUMNS * panel), min(COLUMNS, j1 - j)
                sums = add_terms(
                    no_terms(), a_flat, places, term_step, packed, at, upper, whole, terms
                )
                live_rows = min(ROWS, i1 - i)
                if live == COLUMNS:
                    put_rows(out_flat, np.uintp(i * n + j), np.uintp(n), live_rows, sums, first)
                else:
                    put_rows(block, np.uintp(0), whole, ROWS, sums, True)
                    put_part(out, i, live_rows, j, live, block, first)


@inlined
def pack_columns(b, j, live, start, terms, packed, first):
    """Columns j .. j + live of b, [terms, COLUMNS] in packed from `first` on."""
    flat, stride, whole = b.reshape(-1), np.uintp(b.shape[1]), np.uintp(COLUMNS)
    at, to, wide = np.uintp(start * b.shape[1] + j), np.uintp(first), np.uintp(WIDE)
    for _ in range(terms):
        if live == COLUMNS:
            store(packed, to, load_wide(flat, at))
            store(packed, to + wide, load_wide(flat, at + wide))
        else:
            for c in range(np.uintp(COLUMNS)):
                packed[to + c] = flat[at + c] if c < live else np.float32(0)
        at, to = at + stride, to + whole


@inlined
def _pack_turned(b, j, live, start, terms, packed, first):
    """The same of a b that is stored transposed, [N,K]."""
    flat, stride, whole = b.reshape(-1), np.uintp(b.shape[1]), np.uintp(COLUMNS)
    vectors, eights = terms // LANES * LANES, live // 8 * 8
    for c in range(0, eights, 8):
        at = (j + c) * b.shape[1] + start
        for r in range(0, vectors, LANES):
            turn(flat, np.uintp(at + r), stride, packed, first + r * COLUMNS + c, whole)
    for c in range(live):
        for r in range(0 if c >= eights else vectors, terms):
            packed[first + r * COLUMNS + c] = b[j + c, start + r]
    for c in range(live, COLUMNS):
        for r in range(terms):
            packed[first + r * COLUMNS + c] = 0
