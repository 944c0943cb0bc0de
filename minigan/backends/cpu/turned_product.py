"""Products of a batch with a layer's weights, [M,K] and [N,K], which are read where they lie.

`matrix_product.py` packs the weights, millions of numbers that each meet 64 rows. Here the batch
is what is packed, once, and fills the lanes of the vectors: out^T [N,M] = weight [N,K] a^T [K,M],
with COLUMNS rows of the batch side by side and the weights' numbers one by one. A column of COLUMNS
rows and _GROUP of the N rows is summed up _DEPTH terms at a time, so that what is packed of them
stays near the first-level cache; then it is turned.

Every element of `out` is one sum over K in order, as there.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.aligned import aligned_empty, aligned_floats
from minigan.backends.cpu.arrays import empty
from minigan.backends.cpu.finish import NOTHING, finished
from minigan.backends.cpu.lanes import LANES, WIDE, load_wide, store
from minigan.backends.cpu.register_block import COLUMNS, ROWS, add_terms, no_terms, row_places
from minigan.backends.cpu.threads import MAX_CHUNKS, inlined, kernel, run
from minigan.backends.cpu.turn import turn
from minigan.backends.protocol import Array

_GROUP = 3 * LANES  # rows of out^T: cache lines of it, and whole register blocks
_DEPTH = 64 if WIDE == 32 else 384  # terms: what is packed of them stays in the first-level cache
_SMALLEST = 1 << 24  # multiply-adds that are worth two launches
_SMALLEST_CHUNK = 1 << 18  # multiply-adds that are worth a thread
_SMALLEST_PACK = 1 << 15  # numbers that are worth one


def suits(m: int, k: int, n: int) -> bool:
    """Whether a batch [M,K] fills whole register blocks, for more weights [N,K]; by measurement.

    Small ones lose by the second launch what they save, and few terms by turning the result. So do
    weights that are stored [K,N]: each number is on a line, and often a page, of its own.
    """
    batch = -(-m // COLUMNS) * COLUMNS <= 1.1 * m and 2 * m <= k and m <= n
    return batch and m * n * k >= _SMALLEST


def multiply(a: Array, weight: Array, bias: Array = NOTHING, slope: float = 1.0) -> Array:
    """a @ weight^T of a [M,K] and weight [N,K].

    With a bias [N] leaky_relu(a @ weight^T + bias, slope).
    """
    (m, k), n = a.shape, len(weight)
    packed = aligned_empty(-(-m // COLUMNS), k, COLUMNS)
    run(_pack, max(1, min(MAX_CHUNKS, packed.size // _SMALLEST_PACK)), a, packed)
    out = empty((m, n), np.float32)
    units = len(packed) * -(-n // _GROUP)
    chunks = max(1, min(MAX_CHUNKS, units, m * n * k // _SMALLEST_CHUNK))
    run(_multiply, chunks, weight, packed, bias, np.float32(slope), out)
    return out


@kernel
def _pack(chunk, chunks, a, packed):
    """a [M,K] -> [M/COLUMNS, K, COLUMNS], 0 beyond the last row."""
    (m, k), flat, packed_flat = a.shape, a.reshape(-1), packed.reshape(-1)
    pieces = (k + LANES - 1) // LANES
    units = len(packed) * pieces
    for unit in range(chunk * units // chunks, (chunk + 1) * units // chunks):
        panel, r = unit // pieces, unit % pieces * LANES
        for c in range(0, COLUMNS, 8):
            row = panel * COLUMNS + c
            to = (panel * k + r) * COLUMNS + c
            if row + 8 <= m and r + LANES <= k:
                turn(flat, np.uintp(row * k + r), np.uintp(k), packed_flat, to, np.uintp(COLUMNS))
            else:
                for i in range(8):
                    for j in range(min(LANES, k - r)):
                        number = a[row + i, r + j] if row + i < m else np.float32(0)
                        packed_flat[to + j * COLUMNS + i] = number


@kernel
def _multiply(chunk, chunks, weight, packed, bias, slope, out):
    """out[m, j] = sum over r of packed[m, r] * weight[j, r]."""
    (m, n), (panels, k, _) = out.shape, packed.shape
    flat, packed_flat, out_flat = weight.reshape(-1), packed.reshape(-1), out.reshape(-1)
    tile = aligned_floats(-(-_GROUP // ROWS) * ROWS * COLUMNS)
    one, upper, whole = np.uintp(1), np.uintp(WIDE), np.uintp(COLUMNS)
    units = (n + _GROUP - 1) // _GROUP * panels
    for unit in range(chunk * units // chunks, (chunk + 1) * units // chunks):
        j, panel = unit // panels * _GROUP, unit % panels
        rows = min(_GROUP, n - j)
        for start in range(0, k, _DEPTH):
            terms = min(_DEPTH, k - start)
            at = np.uintp((panel * k + start) * COLUMNS)
            for i in range(0, rows, ROWS):
                places = row_places((j + i) * k + start, k, rows - 1 - i)
                to = np.uintp(i * COLUMNS)
                sums = no_terms() if start == 0 else _load(tile, to)
                sums = add_terms(sums, flat, places, one, packed_flat, at, upper, whole, terms)
                _store(tile, to, sums)
        for i in range(rows if bias.size > 0 else 0):
            for c in range(np.uintp(i * COLUMNS), np.uintp((i + 1) * COLUMNS)):
                tile[c] = finished(tile[c], bias[j + i], slope)
        for first in range(panel * COLUMNS, min(m, (panel + 1) * COLUMNS), LANES):
            lane, live = first - panel * COLUMNS, min(LANES, m - first)
            turned = rows // 8 * 8 if live == LANES else 0
            for i in range(0, turned, 8):
                to = first * n + j + i
                turn(tile, np.uintp(i * COLUMNS + lane), whole, out_flat, to, np.uintp(n))
            for i in range(turned, rows):
                for c in range(live):
                    out[first + c, j + i] = tile[i * COLUMNS + lane + c]


@inlined
def _load(tile, at):
    """The sums of a register block."""
    upper, row = np.uintp(WIDE), np.uintp(COLUMNS)
    x0, y0 = load_wide(tile, at), load_wide(tile, at + upper)
    at += row
    x1, y1 = load_wide(tile, at), load_wide(tile, at + upper)
    at += row
    x2, y2 = load_wide(tile, at), load_wide(tile, at + upper)
    at += row
    x3, y3 = load_wide(tile, at), load_wide(tile, at + upper)
    at += row
    x4, y4 = load_wide(tile, at), load_wide(tile, at + upper)
    at += row
    x5, y5 = load_wide(tile, at), load_wide(tile, at + upper)
    return x0, y0, x1, y1, x2, y2, x3, y3, x4, y4, x5, y5


@inlined
def _store(tile, at, sums):
    x0, y0, x1, y1, x2, y2, x3, y3, x4, y4, x5, y5 = sums
    upper, row = np.uintp(WIDE), np.uintp(COLUMNS)
    store(tile, at, x0)
    store(tile, at + upper, y0)
    at += row
    store(tile, at, x1)
    store(tile, at + upper, y1)
    at += row
    store(tile, at, x2)
    store(tile, at + upper, y2)
    at += row
    store(tile, at, x3)
    store(tile, at + upper, y3)
    at += row
    store(tile, at, x4)
    store(tile, at + upper, y4)
    at += row
    store(tile, at, x5)
    store(tile, at + upper, y5)
