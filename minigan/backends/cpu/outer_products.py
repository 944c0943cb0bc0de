"""Weight gradients of a large layer, sums of outer products: out [M,N] = a^T b of a [K,M], b [K,N].

K is a batch, often 64, M and N are up to thousands. So both operands are small where the result is
large, and each is packed once, for all threads: `a` by ROWS columns and b by COLUMNS, as the
register block reads them. `matrix_product.py` would pack a tile's part of both for every tile, a
third of its time here.

Every element of `out` is one sum over K in order, as there.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.aligned import aligned_empty, aligned_floats
from minigan.backends.cpu.arrays import empty
from minigan.backends.cpu.lanes import WIDE, move_four
from minigan.backends.cpu.matrix_product import DEPTH, chunks_of, pack_columns, tile_size
from minigan.backends.cpu.register_block import (
    COLUMNS,
    ROWS,
    add_terms,
    no_terms,
    put_part,
    put_rows,
    row_places,
)
from minigan.backends.cpu.threads import MAX_CHUNKS, inlined, kernel, run
from minigan.backends.protocol import Array

_GROUP = 4 * COLUMNS  # columns that are packed together: a kilobyte of a row
_SMALLEST_PACK = 1 << 13  # numbers that are worth a thread


def multiply(a: Array, b: Array, total: Array | None = None) -> Array:
    """a^T @ b of a [K,M] and b [K,N], both C-contiguous; or added to `total` [M,N], in place."""
    (k, m), n = a.shape, b.shape[1]
    rows = aligned_empty(-(-m // ROWS), k, ROWS)
    columns = aligned_empty(-(-n // COLUMNS), k, COLUMNS)
    numbers = rows.size + columns.size
    run(_pack, max(1, min(MAX_CHUNKS, numbers // _SMALLEST_PACK)), a, b, rows, columns)
    out = empty((m, n), np.float32) if total is None else total
    tile_rows, panels = tile_size(m, n)
    chunks = chunks_of(m, k, n, tile_rows, panels)
    run(_multiply, chunks, tile_rows, panels, rows, columns, out, total is None)
    return out


@kernel
def _pack(chunk, chunks, a, b, rows, columns):
    """a [K,M] -> [M/ROWS, K, ROWS], b [K,N] -> [N/COLUMNS, K, COLUMNS]."""
    (k, m), n = a.shape, b.shape[1]
    rows_flat, columns_flat = rows.reshape(-1), columns.reshape(-1)
    group = _GROUP // ROWS * ROWS
    groups = (m + group - 1) // group
    units = groups + (n + _GROUP - 1) // _GROUP
    for unit in range(chunk * units // chunks, (chunk + 1) * units // chunks):
        if unit < groups:
            _pack_rows(a, unit * group, min(m, (unit + 1) * group), rows_flat)
            continue
        first = (unit - groups) * _GROUP
        for j in range(first, min(n, first + _GROUP), COLUMNS):
            pack_columns(b, j, min(COLUMNS, n - j), np.int64(0), k, columns_flat, j * k)


@kernel
def _multiply(chunk, chunks, tile_rows, panels, rows, columns, out, replaces):
    (m, n), inner = out.shape, columns.shape[1]
    rows_flat, columns_flat, out_flat = rows.reshape(-1), columns.reshape(-1), out.reshape(-1)
    block = aligned_floats(ROWS * COLUMNS)
    wide = panels * COLUMNS
    across = (n + wide - 1) // wide
    tiles = across * ((m + tile_rows - 1) // tile_rows)
    upper, whole = np.uintp(WIDE), np.uintp(COLUMNS)
    for tile in range(chunk * tiles // chunks, (chunk + 1) * tiles // chunks):
        i0, j0 = tile // across * tile_rows, tile % across * wide
        i1, j1 = min(m, i0 + tile_rows), min(n, j0 + wide)
        for start in range(0, inner, DEPTH):
            terms, first = min(inner - start, DEPTH), replaces and start == 0
            for i in range(i0, i1, ROWS):
                places, live_rows = row_places(i * inner + start * ROWS, 1, ROWS), min(ROWS, i1 - i)
                for j in range(j0, j1, COLUMNS):
                    at, live = np.uintp(j * inner + start * COLUMNS), min(COLUMNS, j1 - j)
                    sums = add_terms(
                        no_terms(), rows_flat, places, np.uintp(ROWS),
                        columns_flat, at, upper, whole, terms,
                    )  # fmt: skip
                    if live == COLUMNS:
                        to = np.uintp(i * n + j)
                        put_rows(out_flat, to, np.uintp(n), live_rows, sums, first)
                    else:
                        put_rows(block, np.uintp(0), whole, ROWS, sums, True)
                        put_part(out, i, live_rows, j, live, block, first)


@inlined
def _pack_rows(a, i0, i1, packed):
    """Columns i0 to i1 of `a` [K,M], ROWS in a block; what is beyond the last is 0."""
    (terms, m), flat = a.shape, a.reshape(-1)
    whole = i0 + (i1 - i0) // ROWS * ROWS
    for r in range(terms):
        for i in range(i0, whole, ROWS):
            source, to = np.uintp(r * m + i), np.uintp(i * terms + ROWS * r)
            move_four(flat, source, packed, to)
            move_four(flat, source + np.uintp(2), packed, to + np.uintp(2))
        for i in range(whole, whole + (ROWS if whole < i1 else 0)):
            to = np.uintp(whole * terms + ROWS * r + i - whole)
            packed[to] = flat[np.uintp(r * m + i)] if i < i1 else np.float32(0)
