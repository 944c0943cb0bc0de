"""The order of a batch's tiles, in which those that a point needs lie side by side.

The last tile of a row or a column is short where outputs are left over: 7 outputs are tiles of 4
and 3. Of its points it needs no infinity, which gives the last output and no other: A has a single
1 there (`winograd_matrices.py`). Without it the rest is a tile of one output less, with the points
that this one has. So where infinity is a plane's point along an axis, its products leave the short
tiles out: 81 products instead of 100 for 7x7 outputs and 2x2 taps.

A unit is a tile of LANES images. With the tiles of a short row and of a short column named so

    rest   column        units are in the order    row, rest, column, corner
    row    corner

what infinity of either axis or of both needs is a run of them. Within a class, groups of LANES
images follow each other.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.threads import helper
from minigan.backends.protocol import Array


@helper
def unit_of(group, ty, tx, block, across):
    """The number in a block of a tile of a group.

    block: groups from, to; rows of tiles from, to; whether the last row and the last column are
    short. ty counts from the block's first row; across: tiles of a row.
    """
    g0, g1, t0, t1, short_row, short_column = block
    groups, rows, columns = g1 - g0, t1 - t0 - short_row, across - short_column
    row, rest, column = short_row * columns, rows * columns, rows * short_column
    if ty < rows and tx < columns:
        before, size, tile = row, rest, ty * columns + tx
    elif ty < rows:
        before, size, tile = row + rest, column, ty
    elif tx < columns:
        before, size, tile = 0, row, tx
    else:
        before, size, tile = row + rest + column, 1, 0
    return groups * before + (group - g0) * size + tile


def needed_units(block: tuple[int, ...], across: int) -> Array:
    """[4,2]: units, from and to, that planes of each kind need; see `kinds`."""
    g0, g1, t0, t1, short_row, short_column = block
    groups, rows, columns = g1 - g0, t1 - t0 - short_row, across - short_column
    row, rest, column = short_row * columns, rows * columns, rows * short_column
    total = (t1 - t0) * across
    needed = (0, total), (0, row + rest), (row, row + rest + column), (row, row + rest)
    return groups * np.array(needed)


def kinds(points: int) -> Array:
    """[points * points]: of a plane, 1 if its point along a row is infinity, the last one, + 2 if
    that along a column is."""
    last = np.arange(points) == points - 1
    return (2 * last[:, None] + last).reshape(-1)
