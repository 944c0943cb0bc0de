"""Winograd's transforms with neighbouring tiles in the lanes, for single large images.

A transform works on rows of the image first, which lie in memory as vectors, then on columns, for
which rows are taken apart into the columns of equal position in their tiles. Some whole rows of
tiles are in work at a time. Names and layouts are those of `winograd.py`; the transforms and their
transposes stand beside each other here, and in one file although it is long.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.aligned import aligned_floats, aligned_zeros
from minigan.backends.cpu.finish import finished
from minigan.backends.cpu.lanes import (
    LANES,
    add_product,
    evens,
    interleave_high,
    interleave_low,
    load,
    odds,
    store,
    zeros,
)
from minigan.backends.cpu.threads import chunks_for, helper, inlined, kernel, run
from minigan.backends.cpu.winograd_matrices import Tile, matrices
from minigan.backends.cpu.winograd_phases import everywhere, place
from minigan.backends.cpu.winograd_products import BLOCK
from minigan.backends.protocol import Array, Pair

_Block = tuple[int, ...]  # rows of tiles from, and how many


def _mix_blocks(matrix, source, start, step, hop, target, to, to_step, to_hop, length):
    """target row i = sum over j of matrix[i, j] * source row j.

    In flat arrays: rows lie `step` and `to_step` apart, their blocks of BLOCK numbers `hop` and
    `to_hop`. `length` is rounded up to whole blocks.
    """
    rows, columns = matrix.shape
    apart, upper = np.uintp(step), np.uintp(LANES)
    for block in range((length + BLOCK - 1) // BLOCK):
        at = np.uintp(start + block * hop)
        x0, y0 = load(source, at), load(source, at + upper)
        at += apart
        x1, y1 = load(source, at), load(source, at + upper)
        x2 = y2 = x3 = y3 = x4 = y4 = x5 = y5 = zeros()
        if columns > 2:
            at += apart
            x2, y2 = load(source, at), load(source, at + upper)
        if columns > 3:
            at += apart
            x3, y3 = load(source, at), load(source, at + upper)
        if columns > 4:
            at += apart
            x4, y4 = load(source, at), load(source, at + upper)
        if columns > 5:
            at += apart
            x5, y5 = load(source, at), load(source, at + upper)
        for i in range(rows):
            m = matrix[i, 0]
            x, y = add_product(zeros(), m, x0), add_product(zeros(), m, y0)
            m = matrix[i, 1]
            x, y = add_product(x, m, x1), add_product(y, m, y1)
            if columns > 2:
                m = matrix[i, 2]
                x, y = add_product(x, m, x2), add_product(y, m, y2)
            if columns > 3:
                m = matrix[i, 3]
                x, y = add_product(x, m, x3), add_product(y, m, y3)
            if columns > 4:
                m = matrix[i, 4]
                x, y = add_product(x, m, x4), add_product(y, m, y4)
            if columns > 5:
                m = matrix[i, 5]
                x, y = add_product(x, m, x5), add_product(y, m, y5)
            out = np.uintp(to + i * to_step + block * to_hop)
            store(target, out, x)
            store(target, out + upper, y)


_mix = helper(_mix_blocks)
_mix_here = inlined(_mix_blocks)  # for the few blocks of a row, where the call would cost as much


@helper
def _split(m, source, start, target, pitch, length):
    """target[q, t] = source[start + t*m + q], flat with rows `pitch` apart; m is 2 to 4, spelt out
    so that LLVM reads whole vectors and shuffles them."""
    n, s, one, two, three = np.uintp(pitch), np.uintp(start), np.uintp(1), np.uintp(2), np.uintp(3)
    if m == 4:
        for t in range(np.uintp(length)):
            at = s + t * np.uintp(4)
            target[t] = source[at]
            target[n + t] = source[at + one]
            target[two * n + t] = source[at + two]
            target[three * n + t] = source[at + three]
    elif m == 3:
        for t in range(np.uintp(length)):
            at = s + t * three
            target[t] = source[at]
            target[n + t] = source[at + one]
            target[two * n + t] = source[at + two]
    else:
        for t in range(np.uintp(length)):
            target[t] = source[s + t * two]
            target[n + t] = source[s + t * two + one]


@helper
def _interleave(m, source, pitch, target, start, length):
    """The reverse of `_split`: target[start + t*m + q] = source[q, t]."""
    n, s, one, two, three = np.uintp(pitch), np.uintp(start), np.uintp(1), np.uintp(2), np.uintp(3)
    if m == 4:
        for t in range(np.uintp(length)):
            at = s + t * np.uintp(4)
            target[at] = source[t]
            target[at + one] = source[n + t]
            target[at + two] = source[two * n + t]
            target[at + three] = source[three * n + t]
    elif m == 3:
        for t in range(np.uintp(length)):
            at = s + t * three
            target[at] = source[t]
            target[at + one] = source[n + t]
            target[at + two] = source[two * n + t]
    else:
        for t in range(np.uintp(length)):
            target[s + t * two] = source[t]
            target[s + t * two + one] = source[n + t]


@inlined
def _phases_apart(line, plane, to, apart, size):
    """plane[to + phase*apart + j] = line[2*j + phase]; whole vectors, of which `plane` has room."""
    for j in range(0, size, LANES):
        at, out = np.uintp(2 * j), np.uintp(to + j)
        x, y = load(line, at), load(line, at + np.uintp(LANES))
        store(plane, out, evens(x, y))
        store(plane, out + np.uintp(apart), odds(x, y))


@inlined
def _phases_together(plane, start, apart, line, size):
    """The reverse."""
    for j in range(0, size, LANES):
        at, out = np.uintp(start + j), np.uintp(2 * j)
        x, y = load(plane, at), load(plane, at + np.uintp(apart))
        store(line, out, interleave_low(x, y))
        store(line, out + np.uintp(LANES), interleave_high(x, y))


@helper
def _windows_to_points(x, c, row0, rows, pad, m, stride, bt, tiles, work, v):
    """The L = rows * tw tiles of channel c: v[f, :, place] = B^T d B.

    A window has `over` = r - 1 pixels more than its m outputs, which are the first ones of the
    next tile; the rows of neighbouring tiles share them in `plane`, a slot a row. Those right of
    a row's last tile are kept apart, in `ends`.
    """
    plane, band, ends, end_band, streams, image_line = work
    a, (th, tw) = bt.shape[0], tiles
    x_height, x_width = x.shape[2:]
    pixels = x.reshape(-1)
    over, width, length, pitch = a - m, m * tw, rows * tw, v.shape[1] * BLOCK
    point, hop = v.strides[0] // v.itemsize, v.shape[2] * BLOCK
    line, end_line = band.size // a, ends.size // a
    apart, inside = _whole_blocks(width + over), min(x_width, stride * (width + over) - pad[1])
    image_line[:] = 0
    for phase_y in range(stride):
        slot = -m
        for g in range(rows):
            n, ty = (row0 + g) // th, (row0 + g) % th
            begins = g == 0 or ty == 0
            slot += a if begins and g > 0 else m
            for i in range(0 if begins else over, a):
                y, to = stride * (m * ty + i) + phase_y - pad[0], (slot + i) * stride * apart
                row = ((n * x.shape[1] + c) * x_height + y) * x_width
                if not 0 <= y < x_height:
                    for j in range(np.uintp(stride * apart)):
                        plane[np.uintp(to) + j] = 0
                elif stride == 1:
                    for j in range(np.uintp(inside)):
                        plane[np.uintp(to + pad[1]) + j] = pixels[np.uintp(row) + j]
                else:
                    for j in range(np.uintp(inside)):
                        image_line[np.uintp(pad[1]) + j] = pixels[np.uintp(row) + j]
                    _phases_apart(image_line, plane, to, apart, width + over)
            for phase_x in range(stride):
                start = (slot * stride + phase_x) * apart
                # Whole blocks: what they write too much is the next row's, which comes later.
                to = phase_x * (line // stride) + g * width
                _mix_here(bt, plane, start, stride * apart, BLOCK, band, to, line, BLOCK, width)
                to, start = (phase_x * rows + g) * over, start + width
                for i in range(a):
                    for j in range(over):
                        ends[to + i * end_line + j] = plane[start + i * stride * apart + j]
        _mix(bt, ends, 0, end_line, BLOCK, end_band, 0, end_line, BLOCK, stride * rows * over)
        for i in range(a):
            for phase_x in range(stride):
                _split(m, band, i * line + phase_x * (line // stride), streams, pitch, length)
                last = i * end_line + phase_x * rows * over
                for j in range(over):
                    to, start = np.uintp((m + j) * pitch), np.uintp(j * pitch + 1)
                    for t in range(np.uintp(length - 1)):
                        streams[to + t] = streams[start + t]
                    for g in range(rows):
                        streams[(m + j) * pitch + g * tw + tw - 1] = end_band[last + g * over + j]
                at = place(phase_y * stride + phase_x, stride, c, x.shape[1])
                to = i * a * point + at * BLOCK
                _mix(bt, streams, 0, pitch, BLOCK, v, to, point, hop, length)


@helper
def _points_to_windows(d, c, row0, rows, pad, m, stride, b, tiles, work, out):
    """Add B D B^T of the tiles to out[:, c]: the transpose of `_windows_to_points`."""
    plane, band, ends, end_band, streams, image_line = work
    a, (th, tw) = b.shape[0], tiles
    height, out_width = out.shape[2:]
    pixels = out.reshape(-1)
    over, width, length, pitch = a - m, m * tw, rows * tw, d.shape[1] * BLOCK
    point, hop = d.strides[0] // d.itemsize, d.shape[2] * BLOCK
    line, end_line = band.size // a, ends.size // a
    apart, inside = _whole_blocks(width + over), min(out_width, stride * (width + over) - pad[1])
    shared = aligned_floats(over * apart)
    for phase_y in range(stride):
        for i in range(a):
            for phase_x in range(stride):
                at = place(phase_y * stride + phase_x, stride, c, out.shape[1])
                start = i * a * point + at * BLOCK
                _mix(b, d, start, point, hop, streams, 0, pitch, BLOCK, length)
                last = i * end_line + phase_x * rows * over
                for j in range(over - 1, -1, -1):
                    for g in range(rows):
                        end = (m + j) * pitch + g * tw + tw - 1
                        end_band[last + g * over + j] = streams[end]
                        streams[end] = 0
                    to, begin = np.uintp(j * pitch + 1), np.uintp((m + j) * pitch)
                    for t in range(np.uintp(length - 1)):
                        streams[to + t] += streams[begin + t]
                _interleave(m, streams, pitch, band, i * line + phase_x * (line // stride), length)
        _mix(b, end_band, 0, end_line, BLOCK, ends, 0, end_line, BLOCK, stride * rows * over)
        slot = -m
        for g in range(rows):
            n, ty = (row0 + g) // th, (row0 + g) % th
            begins = g == 0 or ty == 0
            slot += a if begins and g > 0 else m
            for phase_x in range(stride):
                start = (slot * stride + phase_x) * apart
                for i in range(over):
                    for j in range(np.uintp(apart)):
                        shared[np.uintp(i * apart) + j] = plane[
                            np.uintp(start + i * stride * apart) + j
                        ]
                at_band = phase_x * (line // stride) + g * width
                _mix_here(b, band, at_band, line, BLOCK, plane, start, stride * apart, BLOCK, width)
                for i in range(a):
                    for j in range(over):
                        plane[start + i * stride * apart + width + j] = ends[
                            (phase_x * rows + g) * over + i * end_line + j
                        ]
                for i in range(0 if begins else over):
                    for j in range(np.uintp(width + over)):
                        plane[np.uintp(start + i * stride * apart) + j] += shared[
                            np.uintp(i * apart) + j
                        ]
            # The last `over` rows wait for the next tiles of the image.
            complete = m if g + 1 < rows and ty + 1 < th else a
            for i in range(complete):
                y = stride * (m * ty + i) + phase_y - pad[0]
                if 0 <= y < height:
                    row = ((n * out.shape[1] + c) * height + y) * out_width
                    start = (slot + i) * stride * apart
                    if stride == 1:
                        for j in range(np.uintp(inside)):
                            pixels[np.uintp(row) + j] += plane[np.uintp(start + pad[1]) + j]
                    else:
                        _phases_together(plane, start, apart, image_line, width + over)
                        for j in range(np.uintp(inside)):
                            pixels[np.uintp(row) + j] += image_line[np.uintp(pad[1]) + j]


@helper
def _outputs_to_points(grad, k, row0, rows, m, a_matrix, tiles, work, q):
    """The tiles of output channel k: q[f, :, k] = A dy A^T."""
    window, band, _, _, streams, _ = work
    a, (th, tw) = a_matrix.shape[0], tiles
    height, grad_width = grad.shape[2:]
    pixels = grad.reshape(-1)
    width, length, pitch, line = m * tw, rows * tw, q.shape[1] * BLOCK, band.size // a
    point, hop = q.strides[0] // q.itemsize, q.shape[2] * BLOCK
    for g in range(rows):
        n, ty = (row0 + g) // th, (row0 + g) % th
        for i in range(m):
            to, y = i * line + g * width, m * ty + i
            if y < height:
                row = np.uintp(((n * grad.shape[1] + k) * height + y) * grad_width)
                for j in range(np.uintp(grad_width)):
                    window[np.uintp(to) + j] = pixels[row + j]
                for j in range(np.uintp(grad_width), np.uintp(width)):
                    window[np.uintp(to) + j] = 0
            else:
                for j in range(np.uintp(width)):
                    window[np.uintp(to) + j] = 0
    _mix(a_matrix, window, 0, line, BLOCK, band, 0, line, BLOCK, rows * width)
    for i in range(a):
        _split(m, band, i * line, streams, pitch, length)
        to = i * a * point + k * BLOCK
        _mix(a_matrix, streams, 0, pitch, BLOCK, q, to, point, hop, length)


@helper
def _points_to_outputs(products, k, row0, rows, m, at, tiles, bias, slope, work, out):
    """out[:, k] of the tiles = leaky_relu(A^T M A + bias, slope); `at` is A^T."""
    window, band, _, _, streams, _ = work
    a, (th, tw) = at.shape[1], tiles
    height, out_width = out.shape[2:]
    pixels = out.reshape(-1)
    width, length, pitch, line = m * tw, rows * tw, products.shape[1] * BLOCK, band.size // a
    point, hop = products.strides[0] // products.itemsize, products.shape[2] * BLOCK
    for i in range(a):
        start = i * a * point + k * BLOCK
        _mix(at, products, start, point, hop, streams, 0, pitch, BLOCK, length)
        _interleave(m, streams, pitch, band, i * line, length)
    _mix(at, band, 0, line, BLOCK, window, 0, line, BLOCK, rows * width)
    for g in range(rows):
        n, ty = (row0 + g) // th, (row0 + g) % th
        for i in range(min(m, height - m * ty)):
            start = np.uintp(i * line + g * width)
            to = np.uintp(((n * out.shape[1] + k) * height + m * ty + i) * out_width)
            for j in range(np.uintp(out_width)):
                pixels[to + j] = finished(window[start + j], bias[k], slope)


@helper
def _whole_blocks(size):
    return (size + BLOCK - 1) // BLOCK * BLOCK


@helper
def _workspace(a, m, stride, rows, tw):
    """For one channel: a plane of rows, a lines of bands of rows, of their ends, a streams and a
    row of the image. Zeros, because transforms of whole blocks read beyond what is filled."""
    over = a - m
    # A block of more for what the transforms of whole blocks write too much.
    line = stride * (_whole_blocks(rows * m * tw) + BLOCK)
    end_line, apart = _whole_blocks(stride * rows * over), _whole_blocks(m * tw + over)
    plane = aligned_zeros(max(rows * a * stride * apart, a * line))
    band, streams = aligned_zeros(a * line), aligned_zeros(a * _whole_blocks(rows * tw))
    ends, end_band = aligned_zeros(a * end_line), aligned_zeros(a * end_line)
    return plane, band, ends, end_band, streams, aligned_zeros(stride * apart)


@kernel
def _read(chunk, chunks, x, grad, row0, rows, pad, m, stride, bt, a_matrix, tiles, v, q):
    """V of all channels of x and Q of all of grad for some rows of tiles; either may be empty."""
    work, inputs = _workspace(bt.shape[0], m, stride, rows, tiles[1]), x.shape[1]
    units = inputs + grad.shape[1]
    for unit in range(chunk * units // chunks, (chunk + 1) * units // chunks):
        if unit < inputs:
            _windows_to_points(x, unit, row0, rows, pad, m, stride, bt, tiles, work, v)
        else:
            _outputs_to_points(grad, unit - inputs, row0, rows, m, a_matrix, tiles, work, q)


@kernel
def _write_outputs(chunk, chunks, products, row0, rows, m, at, tiles, bias, slope, out):
    work, k = _workspace(at.shape[1], m, 1, rows, tiles[1]), products.shape[2]
    for channel in range(chunk * k // chunks, (chunk + 1) * k // chunks):
        _points_to_outputs(products, channel, row0, rows, m, at, tiles, bias, slope, work, out)


@kernel
def _write_windows(chunk, chunks, d, row0, rows, pad, m, stride, b, tiles, bias, out):
    work, channels = _workspace(b.shape[0], m, stride, rows, tiles[1]), out.shape[1]
    for c in range(chunk * channels // chunks, (chunk + 1) * channels // chunks):
        if row0 == 0:
            out[:, c] = bias[c]
        _points_to_windows(d, c, row0, rows, pad, m, stride, b, tiles, work, out)


class Rows:
    """The tiles of n images, and the blocks of them that are in work at a time."""

    def __init__(
        self, n: int, tiles: Pair, short: Pair, tile: Tile, stride: int, pad: Pair, most: int
    ) -> None:
        self._tiles, self._m, self._stride, self._pad = tiles, tile.outputs, stride, pad
        self._a_matrix, _, self._b = matrices(tile.outputs, tile.taps)
        self._at, self._bt = (np.ascontiguousarray(t.T) for t in (self._a_matrix, self._b))
        rows = n * tiles[0]
        step = max(1, min(rows, most // tiles[1]))
        self.blocks: list[_Block] = [(row, min(step, rows - row)) for row in range(0, rows, step)]

    def columns(self, block: _Block) -> int:
        """How many tiles."""
        return block[1] * self._tiles[1]

    def needed(self, block: _Block) -> Array:
        """[4,2]: blocks of BLOCK tiles, from and to, that planes of each kind need."""
        return everywhere(4, -(-self.columns(block) // BLOCK))

    def read(self, x: Array, grad: Array, block: _Block, v: Array, q: Array) -> None:
        """V of all channels of x and Q of all of grad; either may be empty."""
        units = x.shape[1] + grad.shape[1]
        run(_read, chunks_for(units, 4), x, grad, *block, self._pad, self._m, self._stride,
            self._bt, self._a_matrix, self._tiles, v, q)  # fmt: skip

    def write_outputs(
        self, products: Array, block: _Block, bias: Array, slope: np.float32, out: Array
    ) -> None:
        """leaky_relu(A^T M A + bias, slope) of all channels."""
        run(_write_outputs, chunks_for(out.shape[1], 4), products, *block, self._m,
            self._at, self._tiles, bias, slope, out)  # fmt: skip

    def write_windows(self, d: Array, block: _Block, bias: Array, out: Array) -> None:
        """B D B^T + bias of all channels, added up where windows overlap."""
        run(_write_windows, chunks_for(out.shape[1], 4), d, *block, self._pad, self._m,
            self._stride, self._b, self._tiles, bias, out)  # fmt: skip
