"""The tiles of a direct convolution: which part of the images is in work, copied with zeros around
it so that every window can be read, and where its pixels lie.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minigan.backends.cpu.pixel_block import BLOCK
from minigan.backends.cpu.threads import MAX_CHUNKS, helper, inlined
from minigan.backends.protocol import Pair

_TILE_ELEMENTS = 1 << 16  # of a tile's copy: 256 KiB, a part of the second-level cache
_FEWEST_ROWS = 4  # of a band: each copies the rows that its windows share with its neighbours
_ALIASING = 64  # elements


@lru_cache(maxsize=1024)
def tiling(
    batch: int, channels: int, hw: Pair, bounds: tuple[Pair, Pair], steps: Pair, pixels: int
) -> tuple[int, int, tuple[int, int, int, int]]:
    """Images and rows of a tile of a map with hw pixels and taps within bounds; and what it
    copies: the first row (of the first pixels) and column, height and width."""
    (top, left), (bottom, right) = bounds
    span, width = bottom - top + 1, (hw[1] - 1) * steps[1] + right - left + 1
    fitting = (_TILE_ELEMENTS // (channels * width) - span) // steps[0] + 1
    sharing = max(_FEWEST_ROWS, -(-hw[0] * batch // MAX_CHUNKS))
    rows = max(1, min(hw[0], fitting, pixels // hw[1], sharing))
    bands = -(-hw[0] // rows)
    rows = -(-hw[0] // bands)
    height, images = (rows - 1) * steps[0] + span, 1
    # A block reads the same place in every channel: these must not share a few lines of the cache.
    width += height * width % _ALIASING == 0
    if rows == hw[0]:
        size = _TILE_ELEMENTS // (channels * height * width), pixels // (hw[0] * hw[1])
        images = max(1, min(*size, batch // MAX_CHUNKS))
    return images, rows, (top, left, height, width)


@inlined
def _clear(tile, start, end):
    for j in range(np.uintp(start), np.uintp(end)):
        tile[j] = 0


@helper
def copy_tile(x, n0, images, c0, channels, y0, x0, whole, tile, height, width):
    """Images n0.. and channels c0.. from row y0 and column x0 on -> tile [images,channels,height,
    width]. Outside the image are zeros; those of `whole` images are there since the first tile."""
    x_channels, x_height, x_width = x.shape[1:]
    left = max(0, -x0)
    count = np.uintp(max(0, min(width, x_width - x0) - left))
    first, end = min(max(0, -y0), height), min(height, x_height - y0)
    pixels = x.ravel()
    for p in range(images * channels):
        plane = (n0 + p // channels) * x_channels + c0 + p % channels
        for b in range(first, end):
            to = np.uintp((p * height + b) * width + left)
            start = np.uintp((plane * x_height + y0 + b) * x_width + x0 + left)
            for j in range(count):
                tile[to + j] = pixels[start + j]
        if not whole:
            _clear(tile, p * height * width, (p * height + first) * width)
            _clear(tile, (p * height + max(first, end)) * width, (p + 1) * height * width)


@helper
def list_pixels(
    taps, row, strides, images, rows, steps, whole, x_height, tile_shape, out_shape, bases, places,
    blocks,
):  # fmt: skip
    """Of a tile's pixels: where their windows begin in the tile and where they lie in the output;
    of its blocks of 8: the first pixel, how many there are, the taps from, to, and whether they
    lie side by side in the output. Returns how many blocks there are."""
    channels, height, width = tile_shape
    k, out_height, out_width = out_shape
    columns = row[5]
    by_rows = columns < BLOCK  # then short rows lie beside the same rows of other images
    outer, inner = (rows, images) if by_rows else (images, rows)
    lines = np.empty(images * rows * columns, np.int64)
    pixels = 0
    for one in range(outer):
        for other in range(inner):
            i, b = (one, other) if by_rows else (other, one)
            for j in range(columns):
                bases[pixels] = (b * channels * height + i * steps[0]) * width + j * steps[1]
                places[pixels] = (b * k * out_height + i * strides[0]) * out_width + j * strides[1]
                lines[pixels] = i * steps[0]
                pixels += 1
    for p in range(pixels, pixels + BLOCK):
        bases[p] = 0  # a block of fewer than 8 reads something
    count = (pixels + BLOCK - 1) // BLOCK
    for block in range(count):
        first = max(0, min(block * BLOCK, pixels - BLOCK))  # the last overlaps the one before
        end, t0, t1 = min(first + BLOCK, pixels), row[0], row[1]
        if whole:
            lowest = highest = lines[first]
            for p in range(first, end):
                lowest, highest = min(lowest, lines[p]), max(highest, lines[p])
            while t0 < t1 and not -highest <= taps[t0, 0] < x_height - lowest:
                t0 += 1
            while t0 < t1 and not -highest <= taps[t1 - 1, 0] < x_height - lowest:
                t1 -= 1
        blocks[block, 0], blocks[block, 1], blocks[block, 2] = first, end - first, t0
        blocks[block, 3] = t1
        blocks[block, 4] = places[end - 1] - places[first] == BLOCK - 1 and end - first == BLOCK
    return count
