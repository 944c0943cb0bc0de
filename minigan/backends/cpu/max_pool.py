"""Where each window of a max pooling has its maximum.

Which pixel of a window wins is a branch that no processor can foresee. For windows of 2x2, side by
side, a row of them is compared in vectors instead, and the places of the winners are numbers that
are chosen from like the pixels.
"""

from __future__ import annotations

import numpy as np

from minigan.backends import reference
from minigan.backends.cpu.aligned import aligned_floats
from minigan.backends.cpu.arrays import contiguous, empty
from minigan.backends.cpu.lanes import LANES, evens, load, odds, spread, store, unless_beaten
from minigan.backends.cpu.threads import all_float32, chunks_for, helper, inlined, kernel, run
from minigan.backends.protocol import Array, Pair

_SMALLEST = 1 << 14  # elements that are worth a thread


def max_pool2d_indices(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, output_hw: Pair
) -> Array:
    """x [N,C,H,W] -> int64 [N,C,OH,OW]; every window must hold a pixel of the image."""
    if not all_float32(x):
        return reference.max_pool2d_indices(x, kernel, stride, padding, dilation, output_hw)
    n, c, height, width = x.shape
    out = empty((n * c, *output_hw), np.int64)
    x = contiguous(x).reshape(n * c, height, width)
    chunks = max(1, min(n * c, chunks_for(x.size, _SMALLEST)))
    inside = 2 * output_hw[0] <= height and 2 * output_hw[1] <= width
    if kernel == stride == (2, 2) and padding == (0, 0) and dilation == (1, 1) and inside:
        run(_of_pairs, chunks, x, out)
    else:
        pairs = ((int(a), int(b)) for a, b in (kernel, stride, padding, dilation))
        run(_of_windows, chunks, x, *pairs, out)
    return out.reshape(n, c, *output_hw)


@kernel
def _of_windows(chunk, chunks, x, kernel_hw, stride, padding, dilation, out):
    """x [M,H,W] -> out int64 [M,OH,OW]."""
    images, height, width = x.shape
    flat, down, right = x.reshape(-1), np.uintp(dilation[0] * width), np.uintp(dilation[1])
    columns = np.empty((out.shape[2], 2), np.int64)  # where a window begins, and how many taps
    for j in range(out.shape[2]):
        z = j * stride[1] - padding[1]
        first, end = _taps_inside(z, dilation[1], width, kernel_hw[1])
        columns[j] = z + first * dilation[1], end - first
    for m in range(chunk * images // chunks, (chunk + 1) * images // chunks):
        for i in range(out.shape[1]):
            y = i * stride[0] - padding[0]
            first, end = _taps_inside(y, dilation[0], height, kernel_hw[0])
            start = (m * height + y + first * dilation[0]) * width
            for j in range(out.shape[2]):
                row = np.uintp(start + columns[j, 0])
                won = _winner(flat, row, end - first, down, columns[j, 1], right)
                out[m, i, j] = np.int64(won) - m * height * width


@helper
def _taps_inside(start, dilation, size, taps):
    """From which tap to which a window that begins at `start` lies inside the image."""
    first = (dilation - 1 - start) // dilation if start < 0 else 0
    return first, min(taps, (size - start + dilation - 1) // dilation)


@inlined
def _winner(flat, row, rows, down, columns, right):
    """Position of the maximum of a window that begins at `row`."""
    won, best = row, flat[row]
    for _ in range(rows):
        at = row
        for _ in range(columns):
            value = flat[at]
            # The first NaN beats every number, and no later NaN beats it.
            beats = (value > best) | ((value != value) & (best == best))
            best, won = (value, at) if beats else (best, won)
            at += right
        row += down
    return won


@kernel
def _of_pairs(chunk, chunks, x, out):
    """The same for windows of 2x2 side by side."""
    images, height, width = x.shape
    rows, columns = out.shape[1:]
    flat, one, down = x.reshape(-1), np.uintp(1), np.uintp(width)
    won = aligned_floats((columns + LANES - 1) // LANES * LANES)
    for m in range(chunk * images // chunks, (chunk + 1) * images // chunks):
        for i in range(rows):
            above = (m * height + 2 * i) * width
            first, image = np.uintp(above), m * height * width
            if above + width + 2 * len(won) <= flat.size:
                for j in range(np.uintp(0), np.uintp(columns), np.uintp(LANES)):
                    store(won, j, _winning_taps(flat, first + j + j, down))
                for j in range(columns):
                    tap = np.int64(won[j])
                    out[m, i, j] = above - image + 2 * j + (tap >> 1) * width + (tap & 1)
            else:  # vectors would reach beyond the end
                for j in range(np.uintp(columns)):
                    place = _winner(flat, first + j + j, 2, down, 2, one)
                    out[m, i, j] = np.int64(place) - image


@inlined
def _winning_taps(flat, at, down):
    """Of LANES windows from `at` on: 0, 1 in the upper row, 2, 3 in the lower, as floats."""
    after, below = at + np.uintp(LANES), at + down
    x, y = load(flat, at), load(flat, after)
    best, value = evens(x, y), odds(x, y)
    won = unless_beaten(best, value, spread(np.float32(0)), spread(np.float32(1)))
    best = unless_beaten(best, value, best, value)
    x, y = load(flat, below), load(flat, below + np.uintp(LANES))
    value = evens(x, y)
    won = unless_beaten(best, value, won, spread(np.float32(2)))
    best = unless_beaten(best, value, best, value)
    return unless_beaten(best, odds(x, y), won, spread(np.float32(3)))
