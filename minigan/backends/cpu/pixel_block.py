"""The register block of the direct convolutions: 8 pixels p and LANES channels, twice as many where
there are registers for them.

A number of the source is spread over the lanes and multiplies a vector of the weights. With two
vectors there are 10 loads for 16 multiply-adds, with one 9 for 8. Here is also how a block is
turned, because images are stored by channels.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.lanes import (
    LANES,
    add,
    add_product,
    evens,
    interleave_high,
    interleave_low,
    load,
    odds,
)
from minigan.backends.cpu.threads import inlined

BLOCK = 8  # pixels
TOGETHER = 2 if LANES == 16 else 1  # vectors of channels: with AVX2 the registers are too few


@inlined
def multiply_both(source, bases, p, offsets, first, count, matrix, at, apart, step, starts):
    """For each of 8 p: the starts + the sums over r of source[bases[p] + offsets[first + r]] times
    the vectors matrix[at + r * step ..] and matrix[at + apart + r * step ..].

    A number of the source is loaded and spread once for both. With TOGETHER = 1 only the first
    sums may be used, so that the compiler leaves out the others.
    """
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = starts[0]
    c0 = c1 = c2 = c3 = c4 = c5 = c6 = c7 = starts[1]
    p0 = np.uintp(p)
    b0, b1, b2 = bases[p0], bases[p0 + np.uintp(1)], bases[p0 + np.uintp(2)]
    b3, b4, b5 = bases[p0 + np.uintp(3)], bases[p0 + np.uintp(4)], bases[p0 + np.uintp(5)]
    b6, b7 = bases[p0 + np.uintp(6)], bases[p0 + np.uintp(7)]
    at, further, row = np.uintp(at), np.uintp(apart), np.uintp(step)
    for r in range(np.uintp(first), np.uintp(first + count)):
        offset, x, y = offsets[r], load(matrix, at), load(matrix, at + further)
        v = source[b0 + offset]
        a0, c0 = add_product(a0, v, x), add_product(c0, v, y)
        v = source[b1 + offset]
        a1, c1 = add_product(a1, v, x), add_product(c1, v, y)
        v = source[b2 + offset]
        a2, c2 = add_product(a2, v, x), add_product(c2, v, y)
        v = source[b3 + offset]
        a3, c3 = add_product(a3, v, x), add_product(c3, v, y)
        v = source[b4 + offset]
        a4, c4 = add_product(a4, v, x), add_product(c4, v, y)
        v = source[b5 + offset]
        a5, c5 = add_product(a5, v, x), add_product(c5, v, y)
        v = source[b6 + offset]
        a6, c6 = add_product(a6, v, x), add_product(c6, v, y)
        v = source[b7 + offset]
        a7, c7 = add_product(a7, v, x), add_product(c7, v, y)
        at += row
    return (a0, a1, a2, a3, a4, a5, a6, a7), (c0, c1, c2, c3, c4, c5, c6, c7)


@inlined
def plus(block, array, at):
    """A block plus the one at that place of the array."""
    step = np.uintp(LANES)
    b0, b1 = load(array, at), load(array, at + step)
    at += step + step
    b2, b3 = load(array, at), load(array, at + step)
    at += step + step
    b4, b5 = load(array, at), load(array, at + step)
    at += step + step
    b6, b7 = load(array, at), load(array, at + step)
    a0, a1, a2, a3, a4, a5, a6, a7 = block
    return (
        add(b0, a0),
        add(b1, a1),
        add(b2, a2),
        add(b3, a3),
        add(b4, a4),
        add(b5, a5),
        add(b6, a6),
        add(b7, a7),
    )


@inlined
def by_lanes(block):
    """8 vectors, one for each pixel -> the numbers in the order [LANES, 8]: each round moves one
    bit of the number of the vector to the end of the position."""
    for _ in range(3):
        a0, a1, a2, a3, a4, a5, a6, a7 = block
        block = (
            interleave_low(a0, a4),
            interleave_high(a0, a4),
            interleave_low(a1, a5),
            interleave_high(a1, a5),
            interleave_low(a2, a6),
            interleave_high(a2, a6),
            interleave_low(a3, a7),
            interleave_high(a3, a7),
        )
    return block


@inlined
def by_pixels(block):
    """The inverse of `by_lanes`."""
    for _ in range(3):
        a0, a1, a2, a3, a4, a5, a6, a7 = block
        block = (
            evens(a0, a1),
            evens(a2, a3),
            evens(a4, a5),
            evens(a6, a7),
            odds(a0, a1),
            odds(a2, a3),
            odds(a4, a5),
            odds(a6, a7),
        )
    return block
