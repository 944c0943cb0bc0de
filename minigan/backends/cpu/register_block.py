"""The innermost loop of all matrix products: 4 rows times 2 wide vectors that stay in registers."""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.lanes import WIDE, add_product, load_number, load_wide, zeros_wide
from minigan.backends.cpu.threads import inlined

COLUMNS = 2 * WIDE


@inlined
def no_terms():
    """The sums of a block, all 0: two vectors of each of 4 rows."""
    none = zeros_wide()
    return none, none, none, none, none, none, none, none


@inlined
def add_terms(sums, a, p0, p1, p2, p3, step, b, at, upper, row, terms):
    """sums[i] += a[p_i + r * step] * (b[at + r * row], b[at + upper + r * row]) for `terms` rows r.

    All positions are flat np.uintp; of b, WIDE numbers from each on.
    """
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
