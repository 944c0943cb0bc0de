"""Winograd's transforms with an image in each lane, for batches: see `winograd.py`.

LANES images lie side by side, pixel by pixel, in a plane [rows, columns, LANES] with zeros around
them. A transform of a tile is then sums of whole vectors, wherever the tile lies and whatever the
stride, and the only shuffling is that of the images into the plane and back.

The tiles of LANES images at one place are a unit, and `winograd_order.py` says in what order units
are. Windows of inputs and tiles of outputs differ in size, stride and matrix alone, so one function
reads both, and its transpose writes both.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.aligned import aligned_floats, aligned_zeros
from minigan.backends.cpu.lanes import LANES, add, leaky, load, spread, store
from minigan.backends.cpu.register_block import COLUMNS
from minigan.backends.cpu.threads import chunks_for, helper, inlined, kernel, run
from minigan.backends.cpu.turn import turn
from minigan.backends.cpu.winograd_matrices import TILES, Tile, tables
from minigan.backends.cpu.winograd_mix import mixer
from minigan.backends.cpu.winograd_order import needed_units, unit_of
from minigan.backends.cpu.winograd_phases import place
from minigan.backends.cpu.winograd_products import BLOCK
from minigan.backends.protocol import Array, Pair

_MOST_TOGETHER = 8  # channels: a kilobyte of a page
_PLANES = 1 << 16  # numbers: a quarter of the second-level cache

_Block = tuple[int, ...]  # groups from, to; rows of tiles from, to


@helper
def _lift(source, channel, group, y0, y1, dense):
    """dense [pixels of rows y0 .. y1, LANES] of a group's images; 0 beyond the last image."""
    n, channels, height, width = source.shape
    flat, image, size = source.reshape(-1), channels * height * width, (y1 - y0) * width
    start = (group * LANES * channels + channel) * height * width + y0 * width
    live, step = min(LANES, n - group * LANES), np.uintp(image)
    if live < LANES:
        _fill(dense, np.uintp(0), size, np.float32(0))
    # The last turn begins where it ends with the last pixel, and repeats some.
    turned = live // 8 * 8 if size >= LANES else 0
    for first in range(0, turned, 8):
        for p in range(0, size, LANES):
            pixel = min(p, size - LANES)
            at = np.uintp(start + first * image + pixel)
            turn(flat, at, step, dense, pixel * LANES + first, np.uintp(LANES))
    for lane in range(turned, live):
        for p in range(size):
            dense[p * LANES + lane] = flat[start + lane * image + p]


@helper
def _land(dense, target, channel, group, y0, y1, square):
    """The reverse. `square`, [LANES, LANES], gathers what a whole vector of an image needs."""
    n, channels, height, width = target.shape
    flat, image, size = target.reshape(-1), channels * height * width, (y1 - y0) * width
    start = (group * LANES * channels + channel) * height * width + y0 * width
    live, lanes = min(LANES, n - group * LANES), np.uintp(LANES)
    if size < LANES:
        for lane in range(live):
            for p in range(size):
                flat[start + lane * image + p] = dense[p * LANES + lane]
        return
    for p in range(0, size, LANES):
        pixel = min(p, size - LANES)
        for part in range(0, LANES, 8):
            turn(dense, np.uintp((pixel + part) * LANES), lanes, square, part, lanes)
        at, to = np.uintp(0), np.uintp(start + pixel)
        for _ in range(live):
            store(flat, to, load(square, at))
            at, to = at + lanes, to + np.uintp(image)


_A, _B = [a for a, _, _ in tables()], [b for _, _, b in tables()[:2]]  # of 5 and of 6 points
_windows_in, _outputs_in = mixer([b.T for b in _B]), mixer(_A)
_windows_out, _windows_added, _outputs_out = mixer(_B), mixer(_B, True), mixer([a.T for a in _A])


@inlined
def _copy(source, start, target, to, vectors):
    lanes = np.uintp(LANES)
    for _ in range(vectors):
        store(target, to, load(source, start))
        start, to = start + lanes, to + lanes


@inlined
def _add(source, start, target, to, vectors):
    lanes = np.uintp(LANES)
    for _ in range(vectors):
        store(target, to, add(load(target, to), load(source, start)))
        start, to = start + lanes, to + lanes


@inlined
def _fill(target, to, vectors, number):
    lanes, vector = np.uintp(LANES), spread(number)
    for _ in range(vectors):
        store(target, to, vector)
        to += lanes


@inlined
def _activate(target, vectors, slope):
    lanes, to = np.uintp(LANES), np.uintp(0)
    for _ in range(vectors):
        store(target, to, leaky(load(target, to), slope))
        to += lanes


@helper
def _position(unit, channels, channel):
    """Where point 0 of a unit, LANES tiles, of a channel lies in an array of points, flat."""
    block, lane = unit * LANES // BLOCK, unit * LANES % BLOCK
    return (block * channels + channel) * BLOCK + lane


@helper
def _plane(m, window, stride, down, across):
    """Rows and columns that so many tiles cover."""
    over = window - m
    return stride * (m * down + over), stride * (m * across + over)


_LARGEST = max(tile.products * max(tile.outputs, tile.window) for tile in TILES)


@helper
def _together(rows, columns):
    """How many channels are in work at a time. Each point of a tile is on a page of its own, whose
    address the processor has to look up: the fewer, the more channels find it looked up."""
    return max(1, min(_MOST_TOGETHER, _PLANES // max(1, rows * columns * LANES)))


@helper
def _workspace(size, rows, columns):
    """A dense array of pixels, planes of channels with zeros around the pixels, and a tile between
    two mixes."""
    pixels = min(size[0], rows) * size[1]
    return (
        aligned_floats(pixels * LANES),
        aligned_zeros(_together(rows, columns) * rows * columns * LANES),
        aligned_floats(_LARGEST * LANES),
    )


@helper
def _to_points(source, first, last, block, across, kind, a, m, window, stride, pad, work, points):
    """points[f, :, place] = B^T d B of the windows d of channels, or A d A^T of their outputs,
    which have the size m of a step from tile to tile; a numbers along an axis."""
    dense, planes, scratch = work
    channels, height, width = source.shape[1:]
    g0, g1, t0, t1, _, _ = block
    rows, columns = _plane(m, window, stride, t1 - t0, across)
    top, point = stride * m * t0 - pad[0], points.strides[0] // points.itemsize
    y0 = min(height, max(0, top))
    y1, inside = max(y0, min(height, top + rows)), max(0, min(width, columns - pad[1]))
    step, hop, wide = stride * columns * LANES, stride * LANES, window * LANES
    plane = rows * columns * LANES
    for group in range(g0, g1):
        for channel in range(first, last):
            _lift(source, channel, group, y0, y1, dense)
            start = (channel - first) * plane
            for row in range(rows):
                to = np.uintp(start + (row * columns + pad[1]) * LANES)
                if y0 <= top + row < y1:
                    at = np.uintp((top + row - y0) * width * LANES)
                    _copy(dense, at, planes, to, inside)
                else:
                    _fill(planes, to, inside, np.float32(0))
        for ty in range(t1 - t0):
            for tx in range(across):
                unit = unit_of(group, ty, tx, block, across)
                for phase in range(stride * stride):
                    y, x = stride * m * ty + phase // stride, stride * m * tx + phase % stride
                    for channel in range(first, last):
                        at = place(phase, stride, channel, channels)
                        start = (channel - first) * plane + (y * columns + x) * LANES
                        to = _position(unit, points.shape[2], at)
                        if window == m:
                            _outputs_in(
                                kind, planes, start, step, hop, scratch, 0, wide, LANES, window
                            )
                            _outputs_in(
                                kind, scratch, 0, LANES, wide, points, to, point, a * point, a
                            )
                        else:
                            _windows_in(
                                kind, planes, start, step, hop, scratch, 0, wide, LANES, window
                            )
                            _windows_in(
                                kind, scratch, 0, LANES, wide, points, to, point, a * point, a
                            )


@helper
def _from_points(
    points, block, down, across, kind, a, m, window, stride, pad, bias, slope, work, out, first,
    last,
):  # fmt: skip
    """Channels' outputs A^T P A of the tiles, or their windows B P B^T, which overlap; + bias.

    With a slope other than 1, which windows do not have, through a leaky ReLU.
    """
    dense, planes, scratch = work
    channels, height, width = out.shape[1:]
    g0, g1, t0, t1, _, _ = block
    rows, columns = _plane(m, window, stride, t1 - t0, across)
    top, point = stride * m * t0 - pad[0], points.strides[0] // points.itemsize
    y0 = min(height, max(0, top))
    y1, inside = max(y0, min(height, top + rows)), max(0, min(width, columns - pad[1]))
    # Rows that the tiles above have reached, too; and those below the last tile.
    shared = max(y0, min(y1, top + stride * (window - m))) if t0 > 0 else y0
    end = height if t1 == down else y1
    step, hop, wide = stride * columns * LANES, stride * LANES, window * LANES
    plane = rows * columns * LANES
    for group in range(g0, g1):
        _fill(planes, np.uintp(0), (last - first) * rows * columns, np.float32(0))
        for ty in range(t1 - t0):
            for tx in range(across):
                unit = unit_of(group, ty, tx, block, across)
                for phase in range(stride * stride):
                    y, x = stride * m * ty + phase // stride, stride * m * tx + phase % stride
                    for channel in range(first, last):
                        at = place(phase, stride, channel, channels)
                        start = _position(unit, points.shape[2], at)
                        to = (channel - first) * plane + (y * columns + x) * LANES
                        if window == m:
                            _outputs_out(
                                kind, points, start, point, a * point, scratch, 0, LANES, wide, a
                            )
                            _outputs_out(
                                kind, scratch, 0, wide, LANES, planes, to, step, hop, window
                            )
                        else:
                            _windows_out(
                                kind, points, start, point, a * point, scratch, 0, LANES, wide, a
                            )
                            _windows_added(
                                kind, scratch, 0, wide, LANES, planes, to, step, hop, window
                            )
        for channel in range(first, last):
            if shared > y0:
                _lift(out, channel, group, y0, shared, dense)
            to = np.uintp((shared - y0) * width * LANES)
            _fill(dense, to, (end - shared) * width, bias[channel])
            for y in range(y0, y1):
                start = (channel - first) * plane + ((y - top) * columns + pad[1]) * LANES
                to = np.uintp((y - y0) * width * LANES)
                _add(planes, np.uintp(start), dense, to, inside)
            if slope != 1:
                _activate(dense, (end - y0) * width, slope)
            _land(dense, out, channel, group, y0, end, scratch)


@helper
def _clear_second_half(points, chunk, chunks):
    """Zeros in the lanes of the last block that no tile fills, of a chunk's channels.

    Products and sums go over whole blocks, and take ten times as long if there happen to be
    subnormal numbers.
    """
    last, channels = points.shape[1] - 1, points.shape[2]
    for channel in range(chunk * channels // chunks, (chunk + 1) * channels // chunks):
        for point in range(points.shape[0]):
            for lane in range(LANES, BLOCK):
                points[point, last, channel, lane] = 0


@kernel
def _read(chunk, chunks, x, grad, block, across, tile, kind, pad, stride, half, v, q):
    """V of all channels of x and Q of all of grad for a block of tiles; either may be empty.

    half: whether the tiles fill one vector of the last block only.
    """
    if half:
        _clear_second_half(v, chunk, chunks)
        _clear_second_half(q, chunk, chunks)
    inputs, down = x.shape[1], block[3] - block[2]
    m_outputs, m_inputs, wide, products = tile
    in_plane = _plane(m_inputs, wide, stride, down, across)
    out_plane = _plane(m_outputs, m_outputs, 1, down, across)
    windows = _workspace(x.shape[2:], *in_plane)
    outputs = _workspace(grad.shape[2:], *out_plane)
    units = inputs + grad.shape[1]
    unit, end = chunk * units // chunks, (chunk + 1) * units // chunks
    while unit < end:
        # One call for both, because it compiles for seconds.
        if unit < inputs:
            source, first, step, border, work, points = x, unit, stride, pad, windows, v
            table, a, m, window = wide - 5, wide, m_inputs, wide
            last = min(first + _together(*in_plane), end, inputs)
        else:
            source, first, step, border, work, points = grad, unit - inputs, 1, (0, 0), outputs, q
            table, a, m, window = kind, products, m_outputs, m_outputs
            last = min(first + _together(*out_plane), end - inputs)
        unit += last - first
        last = min(last, source.shape[1])
        if first < last:
            _to_points(
                source, first, last, block, across, table, a, m, window, step, border, work, points
            )


@kernel
def _write(
    chunk, chunks, points, block, down, across, kind, a, m, window, stride, pad, bias, slope, out
):
    """All channels of a block's outputs (stride 1, no padding) or windows (slope 1)."""
    channels, lowest = out.shape[1], block[3] == down
    rows, columns = _plane(m, window, stride, block[3] - block[2], across)
    dense, _, scratch = _workspace(out.shape[2:], out.shape[2] if lowest else rows, 0)
    together = _together(rows, columns)
    work = dense, aligned_floats(together * rows * columns * LANES), scratch
    end = (chunk + 1) * channels // chunks
    for first in range(chunk * channels // chunks, end, together):
        last = min(first + together, end)
        _from_points(
            points, block, down, across, kind, a, m, window, stride, pad, bias, slope, work, out,
            first, last,
        )  # fmt: skip


def _fullest(groups: int, columns: int, most: int) -> int:
    """How many groups to a block, so that register blocks of their columns have few left over."""

    def register_blocks(step: int) -> int:
        last = groups % step * columns
        return groups // step * -(-step * columns // COLUMNS) + -(-last // COLUMNS)

    steps = range(1, max(1, min(groups, most // columns)) + 1)
    return min(steps, key=lambda step: (register_blocks(step), -step))


class Images:
    """The tiles of n images, and the blocks of them that are in work at a time."""

    def __init__(
        self, n: int, tiles: Pair, short: Pair, tile: Tile, stride: int, pad: Pair, most: int
    ) -> None:
        self._tiles, self._tile, self._stride, self._pad = tiles, tile, stride, pad
        self._kind = TILES.index(tile)
        groups, (down, across) = -(-n // LANES), tiles
        step = _fullest(groups, down * across * LANES, most)
        length = min(down, max(1, most // (across * LANES)))
        self.blocks: list[_Block] = [
            (
                g,
                min(groups, g + step),
                t,
                min(down, t + length),
                short[0] & (t + length >= down),
                short[1],
            )
            for g in range(0, groups, step)
            for t in range(0, down, length)
        ]

    def columns(self, block: _Block) -> int:
        """How many tiles, those of lanes without an image among them."""
        g0, g1, t0, t1 = block[:4]
        return (g1 - g0) * (t1 - t0) * self._tiles[1] * LANES

    def needed(self, block: _Block) -> Array:
        """[4,2]: blocks of BLOCK tiles, from and to, that planes of each kind need."""
        units = needed_units(block, self._tiles[1]) * LANES
        return np.stack((units[:, 0] // BLOCK, -(-units[:, 1] // BLOCK)), axis=1)

    def read(self, x: Array, grad: Array, block: _Block, v: Array, q: Array) -> None:
        """V of all channels of x and Q of all of grad; either may be empty."""
        units = x.shape[1] + grad.shape[1]
        half = self.columns(block) % BLOCK != 0
        run(_read, chunks_for(units, 4), x, grad, block, self._tiles[1], self._tile[:4],
            self._kind, self._pad, self._stride, half, v, q)  # fmt: skip

    def write_outputs(
        self, products: Array, block: _Block, bias: Array, slope: np.float32, out: Array
    ) -> None:
        """leaky_relu(A^T M A + bias, slope) of all channels."""
        m, a = self._tile.outputs, self._tile.products
        run(_write, chunks_for(out.shape[1], 4), products, block, *self._tiles, self._kind, a,
            m, m, 1, (0, 0), bias, slope, out)  # fmt: skip

    def write_windows(self, d: Array, block: _Block, bias: Array, out: Array) -> None:
        """B D B^T + bias of all channels, added up where windows overlap."""
        m, a = self._tile.step, self._tile.window
        run(_write, chunks_for(out.shape[1], 4), d, block, *self._tiles, a - 5, a,
            m, a, self._stride, self._pad, bias, np.float32(1), out)  # fmt: skip
