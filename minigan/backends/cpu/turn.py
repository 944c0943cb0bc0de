"""Transposing a block of 8 rows in registers, for kernels that want the other axis in vectors."""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.lanes import LANES, interleave_high, interleave_low, load, store_eights
from minigan.backends.cpu.threads import inlined


@inlined
def turn(source, start, step, target, to, whole):
    """8 rows of LANES numbers, `step` apart in source -> LANES rows of 8, `whole` apart in target.

    All positions are flat; start, step and whole are np.uintp.
    """
    s = start
    a0, a1 = load(source, s), load(source, s + step)
    s += step + step
    a2, a3 = load(source, s), load(source, s + step)
    s += step + step
    a4, a5 = load(source, s), load(source, s + step)
    s += step + step
    a6, a7 = load(source, s), load(source, s + step)
    for _ in range(3):  # each round moves one bit of a row's number to the end of its position
        b0, b1, b2, b3 = a0, a1, a2, a3
        a0, a1 = interleave_low(b0, a4), interleave_high(b0, a4)
        a2, a3 = interleave_low(b1, a5), interleave_high(b1, a5)
        b4, b5 = interleave_low(b2, a6), interleave_high(b2, a6)
        b6, b7 = interleave_low(b3, a7), interleave_high(b3, a7)
        a4, a5, a6, a7 = b4, b5, b6, b7
    t, rows = np.uintp(to), whole * np.uintp(LANES // 8)
    store_eights(target, t, whole, a0)
    store_eights(target, t + rows, whole, a1)
    t += rows + rows
    store_eights(target, t, whole, a2)
    store_eights(target, t + rows, whole, a3)
    t += rows + rows
    store_eights(target, t, whole, a4)
    store_eights(target, t + rows, whole, a5)
    t += rows + rows
    store_eights(target, t, whole, a6)
    store_eights(target, t + rows, whole, a7)
