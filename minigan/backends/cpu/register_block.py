"""The innermost loop of all matrix products: rows times 2 wide vectors that stay in registers.

With 6 rows each vector of b that is loaded meets 6 numbers: 12 sums, which with AVX-512 are 24 of
the 32 registers, and the caches have to bring two thirds of what 4 rows ask for. With 4 rows the
numbers of a transposed `a` never lie on two cache lines.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.lanes import (
    WIDE,
    add,
    add_product,
    load_number,
    load_wide,
    store,
    zeros_wide,
)
from minigan.backends.cpu.threads import inlined

ROWS, COLUMNS = 6, 2 * WIDE


@inlined
def no_terms():
    """The sums of a block, all 0: two vectors of each row."""
    o = zeros_wide()
    return o, o, o, o, o, o, o, o, o, o, o, o


@inlined
def row_places(first, step, last):
    """Positions of a block's rows, `step` apart; those beyond row `last` are that row again, which
    is computed and not used."""
    return (
        np.uintp(first),
        np.uintp(first + min(1, last) * step),
        np.uintp(first + min(2, last) * step),
        np.uintp(first + min(3, last) * step),
        np.uintp(first + min(4, last) * step),
        np.uintp(first + min(5, last) * step),
    )


@inlined
def add_terms(sums, a, places, step, b, at, upper, row, terms):
    """sums[i] += a[places[i] + r * step] * (b[at + r * row], b[at + upper + r * row]) for `terms`
    rows r.

    All positions are flat np.uintp; of b, WIDE numbers from each on.
    """
    x0, y0, x1, y1, x2, y2, x3, y3, x4, y4, x5, y5 = sums
    p0, p1, p2, p3, p4, p5 = places
    s = np.uintp(0)
    for _ in range(np.uintp(terms)):
        x, y = load_wide(b, at), load_wide(b, at + upper)
        at += row
        v = load_number(a, p0 + s)
        x0, y0 = add_product(x0, v, x), add_product(y0, v, y)
        v = load_number(a, p1 + s)
        x1, y1 = add_product(x1, v, x), add_product(y1, v, y)
        v = load_number(a, p2 + s)
        x2, y2 = add_product(x2, v, x), add_product(y2, v, y)
        v = load_number(a, p3 + s)
        x3, y3 = add_product(x3, v, x), add_product(y3, v, y)
        v = load_number(a, p4 + s)
        x4, y4 = add_product(x4, v, x), add_product(y4, v, y)
        v = load_number(a, p5 + s)
        x5, y5 = add_product(x5, v, x), add_product(y5, v, y)
        s += step
    return x0, y0, x1, y1, x2, y2, x3, y3, x4, y4, x5, y5


@inlined
def put_rows(out, at, row, rows, sums, first):
    """Store the sums of the first `rows` rows, or add them to what is there."""
    x0, y0, x1, y1, x2, y2, x3, y3, x4, y4, x5, y5 = sums
    _put(out, at, x0, y0, first)
    if rows > 1:
        at += row
        _put(out, at, x1, y1, first)
    if rows > 2:
        at += row
        _put(out, at, x2, y2, first)
    if rows > 3:
        at += row
        _put(out, at, x3, y3, first)
    if rows > 4:
        at += row
        _put(out, at, x4, y4, first)
    if rows > 5:
        at += row
        _put(out, at, x5, y5, first)


@inlined
def _put(out, at, x, y, first):
    """Store two wide vectors, or add them to what is there."""
    after = at + np.uintp(WIDE)
    if first:
        store(out, at, x)
        store(out, after, y)
    else:
        store(out, at, add(load_wide(out, at), x))
        store(out, after, add(load_wide(out, after), y))


@inlined
def put_part(out, i, rows, j, columns, block, first):
    """The same for the live part of a block, [ROWS, COLUMNS]."""
    for r in range(rows):
        for c in range(columns):
            before = np.float32(0) if first else out[i + r, j + c]
            out[i + r, j + c] = before + block[r * COLUMNS + c]


@inlined
def no_terms_of_4():
    """The same for 4 rows."""
    o = zeros_wide()
    return o, o, o, o, o, o, o, o


@inlined
def add_terms_of_4(sums, a, p0, p1, p2, p3, step, b, at, upper, row, terms):
    """`add_terms` for 4 rows, at p0 to p3."""
    x0, y0, x1, y1, x2, y2, x3, y3 = sums
    s = np.uintp(0)
    for _ in range(np.uintp(terms)):
        x, y = load_wide(b, at), load_wide(b, at + upper)
        at += row
        v = load_number(a, p0 + s)
        x0, y0 = add_product(x0, v, x), add_product(y0, v, y)
        v = load_number(a, p1 + s)
        x1, y1 = add_product(x1, v, x), add_product(y1, v, y)
        v = load_number(a, p2 + s)
        x2, y2 = add_product(x2, v, x), add_product(y2, v, y)
        v = load_number(a, p3 + s)
        x3, y3 = add_product(x3, v, x), add_product(y3, v, y)
        s += step
    return x0, y0, x1, y1, x2, y2, x3, y3
