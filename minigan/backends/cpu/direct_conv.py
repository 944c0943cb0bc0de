"""Convolution as a matrix product that reads its windows in place.

The lanes of a vector are output channels. A register block of some pixels p (`pixel_block.py`) adds

    block[p] += source[bases[p] + offsets[r]] * matrix[r]

for every r, a pair of a tap and an input channel: one number of the source, spread over the lanes,
times a row of the weights. So windows are never gathered into columns; only the tile of the image
that is in work is copied (`conv_tiles.py`), and the copy stays in the cache. Strides and taps
are numbers in `bases` and `offsets`, so every convolution and every map of an input gradient
(`conv_maps.py`) runs through the same few instructions. Taps are in order of rows, so
those that would only read zeros above or below the image are the first or the last, and are left
out. The weight gradient is the same block with exchanged roles: 8 pairs of an input channel and a
tap, channels of `grad` in the lanes, and a sum over pixels.

The sums are plain float32 sums, in pieces for less rounding error and because a piece of the matrix
stays in the first-level cache while all pixels meet it, in an order that depends on sizes alone.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.aligned import aligned_empty, aligned_floats, aligned_zeros
from minigan.backends.cpu.arrays import cleared, contiguous, empty
from minigan.backends.cpu.conv_maps import Maps, forward_maps, input_grad_maps
from minigan.backends.cpu.conv_tiles import copy_tile, list_pixels, tiling
from minigan.backends.cpu.lanes import (
    LANES,
    add,
    leaky,
    load,
    load_eights,
    store,
    store_eights,
    zeros,
)
from minigan.backends.cpu.pixel_block import (
    BLOCK,
    TOGETHER,
    by_lanes,
    by_pixels,
    multiply_both,
    plus,
)
from minigan.backends.cpu.threads import MAX_CHUNKS, chunks_for, inlined, kernel, run
from minigan.backends.cpu.turn import turn
from minigan.backends.protocol import Array, Pair

_LONGEST_SUM = 256 // TOGETHER  # products; of so many rows the weights stay near
_TILE_PIXELS = 1024
_SMALLEST = 1 << 19  # products that are worth a thread
_SMALLEST_PACK = 1 << 13  # numbers of a matrix of weights
_GRAD_TILE_PIXELS = 512  # whose `grad`, LANES channels of it, is about the first-level cache
_GRAD_CHUNKS = 8
_SUMS_LIMIT = 1 << 23  # elements of all partial weight gradients: 32 MiB


@kernel
def _pack(chunk, chunks, weight, step_k, step_c, picks, table, k, channels, matrix):
    """matrix [maps, K/LANES, T, C, LANES] of the picked taps of a flat weight; 0 in spare lanes."""
    groups = (k + LANES - 1) // LANES
    units = groups * channels
    for unit in range(chunk * units // chunks, (chunk + 1) * units // chunks):
        q, c = unit // channels, unit % channels
        lanes = np.uintp(min(LANES, k - q * LANES))
        for m in range(table.shape[0]):
            tap0, tap1 = table[m, 0], table[m, 1]
            for t in range(tap0, tap1):
                row = (tap0 * groups + q * (tap1 - tap0) + t - tap0) * channels + c
                to = np.uintp(row * LANES)
                start = np.uintp(q * LANES * step_k + c * step_c + picks[t])
                for lane in range(lanes):
                    matrix[to + lane] = weight[start + lane * np.uintp(step_k)]
                for lane in range(lanes, np.uintp(LANES)):
                    matrix[to + lane] = 0


@inlined
def _groups_of(part, parts, groups):
    """Vectors of output channels from, to, of one of `parts` parts: whole blocks of TOGETHER."""
    blocks = (groups + TOGETHER - 1) // TOGETHER
    first, last = part * blocks // parts * TOGETHER, (part + 1) * blocks // parts * TOGETHER
    return first, min(last, groups)


@inlined
def _halves(q, second):
    """How many vectors of channels there are of those that go together."""
    return 1 if TOGETHER == 1 else 1 + second - q


@inlined
def _activated(block, slope):
    # Asked once for all, instead of for each vector.
    zero = np.float32(0)
    return _leaky(block, zero) if slope == zero else _leaky(block, slope)


@inlined
def _leaky(block, slope):
    a0, a1, a2, a3, a4, a5, a6, a7 = block
    return (
        leaky(a0, slope), leaky(a1, slope), leaky(a2, slope), leaky(a3, slope), leaky(a4, slope),
        leaky(a5, slope), leaky(a6, slope), leaky(a7, slope),
    )  # fmt: skip


@inlined
def _write(block, out, start, plane, lanes, places, p, live, side_by_side, values):
    """The 8 pixels of a block -> out[start + lane * plane + places[p..]]."""
    block = by_lanes(block)
    if side_by_side and lanes == LANES:
        to = np.uintp(start + places[np.uintp(p)])
        for i in range(8):
            store_eights(out, to, np.uintp(plane), block[i])
            to += np.uintp(LANES // 8 * plane)
    else:
        for i in range(8):
            store(values, np.uintp(i * LANES), block[i])
        to = np.uintp(start)
        for lane in range(np.uintp(lanes)):
            for j in range(np.uintp(live)):
                place = np.uintp(places[np.uintp(p) + j])
                out[to + place] = values[lane * np.uintp(BLOCK) + j]
            to += np.uintp(plane)


@kernel
def _map(
    chunk, chunks, x, matrix, taps, table, strides, bias, slope, out, steps, images, rows, parts,
    window,
):  # fmt: skip
    """Every map of the table, through a leaky ReLU unless its slope is 1.

    A unit of work is a tile of `images` images and `rows` rows, and one of `parts` parts of the
    output channels.
    """
    batch, channels, x_height = x.shape[:3]
    k, out_height, out_width = out.shape[1:]
    top, left, height, width = window
    plane, groups, maps = out_height * out_width, (k + LANES - 1) // LANES, table.shape[0]
    bands = (table[0, 4] + rows - 1) // rows  # the first map has the most rows
    units = (batch + images - 1) // images * bands * parts
    most = images * rows * table[0, 5] + BLOCK
    bases, places = np.empty(maps * most, np.uintp), np.empty(maps * most, np.int64)
    blocks = np.empty((maps, most // BLOCK, 5), np.int64)
    counts = np.empty(maps, np.int64)
    offsets = np.empty(channels * taps.shape[0], np.uintp)
    for t in range(taps.shape[0]):
        for c in range(channels):
            at = (c * height + taps[t, 0] - top) * width + taps[t, 1] - left
            offsets[t * channels + c] = at
    tile = np.zeros(images * channels * height * width, x.dtype)
    values, flat = aligned_floats(BLOCK * LANES), out.ravel()
    partial = aligned_floats(TOGETHER * most * LANES)
    copied, listed = -1, (-1, -1, -1)
    for unit in range(chunk * units // chunks, (chunk + 1) * units // chunks):
        part, index = unit % parts, unit // parts
        n0, r0 = index // bands * images, index % bands * rows
        b = min(images, batch - n0)
        if index != copied:
            copied = index
            copy_tile(
                x, n0, b, np.int64(0), channels, r0 * steps[0] + top, left, bands == 1, tile,
                height, width,
            )  # fmt: skip
        most_rows, fewest_rows = min(rows, table[0, 4] - r0), min(rows, table[maps - 1, 4] - r0)
        if listed != (b, most_rows, fewest_rows):
            listed = (b, most_rows, fewest_rows)
            for m in range(maps):
                counts[m] = list_pixels(
                    taps,
                    table[m],
                    strides,
                    b,
                    min(rows, table[m, 4] - r0),
                    steps,
                    bands == 1,
                    x_height,
                    (channels, height, width),
                    (k, out_height, out_width),
                    bases[m * most : (m + 1) * most],
                    places[m * most : (m + 1) * most],
                    blocks[m],
                )
        for m in range(maps):
            tap0, tap1, corner_y, corner_x = table[m, :4]
            corner = n0 * k * plane + (r0 * strides[0] + corner_y) * out_width + corner_x
            q0, q1 = _groups_of(part, parts, groups)
            for q in range(q0, q1, TOGETHER):
                second = min(q + TOGETHER, q1) - 1
                row = (tap0 * groups + q * (tap1 - tap0) - tap0) * channels
                apart = (second - q) * (tap1 - tap0) * channels * LANES
                # All pixels meet some rows of the weights, near in the cache, before the next.
                for r in range(tap0 * channels, tap1 * channels, _LONGEST_SUM):
                    begins, r1 = r == tap0 * channels, min(r + _LONGEST_SUM, tap1 * channels)
                    ends = r1 == tap1 * channels
                    starts = load(bias, np.uintp(q * LANES)), load(bias, np.uintp(second * LANES))
                    if not begins:
                        starts = zeros(), zeros()
                    for i in range(counts[m]):
                        live, side_by_side = blocks[m, i, 1], blocks[m, i, 4]
                        t0, t1 = blocks[m, i, 2], blocks[m, i, 3]
                        p, first = blocks[m, i, 0] + m * most, max(r, t0 * channels)
                        both = multiply_both(
                            tile, bases, p, offsets, first, max(0, min(r1, t1 * channels) - first),
                            matrix, (row + first) * LANES, apart, LANES, starts,
                        )  # fmt: skip
                        for half in range(_halves(q, second)):
                            sums = both[0] if TOGETHER == 1 or half == 0 else both[1]
                            at = np.uintp((i * TOGETHER + half) * BLOCK * LANES)
                            if not begins:
                                sums = plus(sums, partial, at)
                            if ends:
                                if slope != 1:
                                    sums = _activated(sums, slope)
                                lanes, to = min(LANES, k - (q + half) * LANES), corner
                                to += (q + half) * LANES * plane
                                _write(
                                    sums, flat, to, plane, lanes, places, p, live, side_by_side,
                                    values,
                                )  # fmt: skip
                            else:
                                for j in range(BLOCK):
                                    store(partial, at + np.uintp(j * LANES), sums[j])


@inlined
def _read(grad, start, plane, lanes, places, blocks, count, matrix):
    """matrix [pixels, LANES] of the pixels of `blocks` in some channels of grad."""
    for i in range(count):
        p, live, side_by_side = blocks[i, 0], blocks[i, 1], blocks[i, 4]
        at, to = np.uintp(start + places[p]), np.uintp(p * LANES)
        if side_by_side and lanes == LANES:
            step, far = np.uintp(plane), np.uintp(LANES // 8 * plane)
            a0 = load_eights(grad, at, step)
            a1 = load_eights(grad, at + far, step)
            a2 = load_eights(grad, at + np.uintp(2) * far, step)
            a3 = load_eights(grad, at + np.uintp(3) * far, step)
            a4 = load_eights(grad, at + np.uintp(4) * far, step)
            a5 = load_eights(grad, at + np.uintp(5) * far, step)
            a6 = load_eights(grad, at + np.uintp(6) * far, step)
            a7 = load_eights(grad, at + np.uintp(7) * far, step)
            block = by_pixels((a0, a1, a2, a3, a4, a5, a6, a7))
            for j in range(8):
                store(matrix, to + np.uintp(j * LANES), block[j])
        else:
            for j in range(p, p + live):
                at, to = np.uintp(start + places[j]), np.uintp(j * LANES)
                for lane in range(np.uintp(lanes)):
                    matrix[to + lane] = grad[at + lane * np.uintp(plane)]


@kernel
def _weight_grad(
    chunk, chunks, x, grad, taps, table, strides, sums, steps, images, rows, split, window
):
    """sums[part, K/LANES, C*T, LANES] of one of `split` parts of the tiles, the input channels and
    the groups of output channels."""
    (batch, channels, x_height), t = x.shape[:3], taps.shape[0]
    k, out_height, out_width = grad.shape[1:]
    top, left, height, width = window
    parts, parts_c, parts_q = split
    plane, groups = out_height * out_width, (k + LANES - 1) // LANES
    part, part_c, part_q = chunk % parts, chunk // parts % parts_c, chunk // parts // parts_c
    c0, c1 = part_c * channels // parts_c, (part_c + 1) * channels // parts_c
    q0, q1 = _groups_of(part_q, parts_q, groups)
    depth = (c1 - c0) * t
    padded = (depth + BLOCK - 1) // BLOCK * BLOCK
    bases = np.zeros(padded, np.uintp)
    for c in range(c1 - c0):
        for i in range(t):
            bases[c * t + i] = (c * height + taps[i, 0] - top) * width + taps[i, 1] - left
    bands = (out_height + rows - 1) // rows
    tiles = (batch + images - 1) // images * bands
    most = images * rows * out_width + BLOCK
    offsets, places = np.empty(most, np.uintp), np.empty(most, np.int64)
    blocks = np.empty((most // BLOCK, 5), np.int64)
    tile = np.zeros(images * (c1 - c0) * height * width, x.dtype)
    matrix, flat = aligned_zeros(TOGETHER * most * LANES), grad.ravel()
    total = aligned_zeros((q1 - q0) * padded * LANES)
    listed, count, pixels = (-1, -1), 0, 0
    for index in range(part * tiles // parts, (part + 1) * tiles // parts):
        n0, r0 = index // bands * images, index % bands * rows
        b = min(images, batch - n0)
        copy_tile(x, n0, b, c0, c1 - c0, r0 * steps[0] + top, left, bands == 1, tile, height, width)
        r = min(rows, out_height - r0)
        if listed != (b, r):
            listed, pixels = (b, r), b * r * out_width
            count = list_pixels(
                taps,
                table[0],
                strides,
                b,
                r,
                steps,
                bands == 1,
                x_height,
                (c1 - c0, height, width),
                (k, out_height, out_width),
                offsets,
                places,
                blocks,
            )
        for q in range(q0, q1, TOGETHER):
            second = min(q + TOGETHER, q1) - 1
            for half in range(_halves(q, second)):
                start = n0 * k * plane + r0 * out_width + (q + half) * LANES * plane
                lanes, into = min(LANES, k - (q + half) * LANES), matrix[half * most * LANES :]
                _read(flat, start, plane, lanes, places, blocks, count, into)
            apart = (second - q) * most * LANES
            for r in range(0, pixels, _LONGEST_SUM):
                for d in range(0, padded, BLOCK):
                    both = multiply_both(
                        tile, bases, d, offsets, r, min(pixels - r, _LONGEST_SUM), matrix,
                        r * LANES, apart, LANES, (zeros(), zeros()),
                    )  # fmt: skip
                    for half in range(_halves(q, second)):
                        to = np.uintp(((q - q0 + half) * padded + d) * LANES)
                        block = both[0] if TOGETHER == 1 or half == 0 else both[1]
                        block = plus(block, total, to)
                        for i in range(BLOCK):
                            store(total, to + np.uintp(i * LANES), block[i])
    for q in range(q0, q1):
        for d in range(depth):
            for lane in range(LANES):
                at = ((q - q0) * padded + d) * LANES + lane
                sums[part, q, c0 * t + d, lane] = total[at]


@kernel
def _add_parts(chunk, chunks, sums, out):
    """sums [parts, K/LANES, D, LANES] -> out [K,D], always in the order of the parts."""
    (parts, groups), (k, depth) = sums.shape[:2], out.shape
    flat, part_size = sums.reshape(-1), np.uintp(groups * depth * LANES)
    square, whole = aligned_floats(8 * LANES), np.uintp(LANES)
    runs = (depth + 7) // 8
    for unit in range(chunk * groups * runs // chunks, (chunk + 1) * groups * runs // chunks):
        q, d = unit // runs * LANES, unit % runs * 8
        rows = min(8, depth - d)
        for r in range(rows):
            at = np.uintp(q * depth + (d + r) * LANES)
            total = load(flat, at)
            for part in range(1, parts):
                total = add(total, load(flat, at + np.uintp(part) * part_size))
            store(square, np.uintp(r) * whole, total)
        if rows == 8 and q + LANES <= k:
            turn(square, np.uintp(0), whole, out.reshape(-1), q * depth + d, np.uintp(depth))
        else:
            for lane in range(min(LANES, k - q)):
                for r in range(rows):
                    out[q + lane, d + r] = square[r * LANES + lane]


def _run_maps(
    x: Array, weight: Array, outputs: int, maps: Maps, bias: Array | None, out: Array, steps: Pair,
    slope: float = 1.0,
) -> Array:  # fmt: skip
    """weight [K,C,KH,KW], whose axis `outputs` are the channels of `out`. The activation is not for
    maps without taps, which have no input."""
    (n, k), c = out.shape[:2], x.shape[1]
    fill = 0 if bias is None else bias[:, None, None]
    if x.size == 0:
        out[:] = fill
        return out
    for top, left in maps.bare:
        out[:, :, top :: maps.strides[0], left :: maps.strides[1]] = fill
    if out.size == 0 or maps.taps.size == 0:
        return out
    groups, taps = -(-k // LANES), len(maps.taps)
    distances = weight[0].size, weight[0, 0].size
    matrix = aligned_empty(groups * LANES * c * taps)
    start = cleared(groups * LANES, np.float32)
    if bias is not None:
        start[:k] = bias
    run(
        _pack,
        min(groups * c, chunks_for(matrix.size, _SMALLEST_PACK)),
        contiguous(weight).reshape(-1),
        distances[outputs],
        distances[1 - outputs],
        maps.picks,
        maps.table,
        k,
        c,
        matrix,
    )
    hw = int(maps.table[0, 4]), int(maps.table[0, 5])
    images, rows, window = tiling(n, c, hw, maps.bounds, steps, _TILE_PIXELS)
    tiles = -(-n // images) * -(-hw[0] // rows)
    parts = min(-(-groups // TOGETHER), -(-MAX_CHUNKS // tiles))
    chunks = chunks_for(out.size * c * taps // len(maps.table), _SMALLEST)
    run(
        _map,
        min(tiles * parts, chunks),
        contiguous(x),
        matrix,
        maps.taps,
        maps.table,
        maps.strides,
        start,
        np.float32(slope),
        out,
        steps,
        images,
        rows,
        parts,
        window,
    )
    return out


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    out_hw: Pair,
    slope: float = 1.0,
) -> Array:
    """x [N,C,H,W], weight [K,C,KH,KW], bias [K] -> leaky_relu(y, slope), y [N,K,OH,OW]."""
    maps = forward_maps(weight.shape[2:], padding, dilation, out_hw)
    out = empty((x.shape[0], weight.shape[0], *out_hw), x.dtype)
    return _run_maps(x, weight, 0, maps, bias, out, stride, slope)


def conv2d_input_grad(
    grad: Array,
    weight: Array,
    bias: Array | None,
    input_hw: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> Array:
    """grad [N,K,OH,OW], weight [K,C,KH,KW], bias [C] -> [N,C,H,W]."""
    maps = input_grad_maps(weight.shape[2:], stride, padding, dilation, input_hw)
    out = empty((grad.shape[0], weight.shape[1], *input_hw), grad.dtype)
    return _run_maps(grad, weight, 1, maps, bias, out, (1, 1))


def conv2d_weight_grad(
    x: Array, grad: Array, kernel_hw: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """x [N,C,H,W], grad [N,K,OH,OW] -> [K,C,KH,KW]."""
    (k, *hw), c, t = grad.shape[1:], x.shape[1], kernel_hw[0] * kernel_hw[1]
    maps = forward_maps(kernel_hw, padding, dilation, (hw[0], hw[1]))
    if grad.size == 0 or x.size == 0:
        return np.zeros((k, c, *kernel_hw), np.float32)
    if stride == (1, 1) and _work(c, k, t, x) < _work(k, c, t, grad):
        # The sum over p of grad[k, p] x[c, p + tap] is one of x[c, q] grad[k, q - tap] too: the
        # same with exchanged roles, and fewer spare lanes.
        turned = _weight_products(grad, x, -maps.taps, stride)
        return contiguous(turned.reshape(c, k, *kernel_hw).swapaxes(0, 1))
    return _weight_products(x, grad, maps.taps, stride).reshape(k, c, *kernel_hw)


def _work(k: int, c: int, taps: int, grad: Array) -> int:
    """Products of a weight gradient, those of spare lanes and of padded blocks included."""
    return -(-k // LANES) * LANES * -(-c * taps // BLOCK) * BLOCK * grad[:, 0].size


def _weight_products(x: Array, grad: Array, taps: Array, stride: Pair) -> Array:
    """sum over n, i, j of grad[n,k,i,j] * x[n, c, i*sh + dy[t], j*sw + dx[t]] -> [K, C*T]."""
    (n, k, height, width), c = grad.shape, x.shape[1]
    depth, groups = c * len(taps), -(-k // LANES)
    blocks = -(-groups // TOGETHER)
    # Each part of the pixels has sums of its own, each part of the channels copies all pixels.
    parts_c, parts_q = min(c, 2), min(blocks, 2)
    parts = min(_GRAD_CHUNKS // (parts_c * parts_q), _SUMS_LIMIT // (groups * LANES * depth))
    parts = max(1, min(parts, n * height))
    parts_q = min(blocks, _GRAD_CHUNKS // (parts_c * parts))
    (top, left), (bottom, right) = taps.min(axis=0).tolist(), taps.max(axis=0).tolist()
    bounds, channels = ((top, left), (bottom, right)), -(-c // parts_c)
    hw = height, width
    images, rows, window = tiling(n, channels, hw, bounds, stride, _GRAD_TILE_PIXELS)
    sums = empty((parts, groups, depth, LANES), np.float32)
    run(
        _weight_grad,
        parts * parts_c * parts_q,
        contiguous(x),
        contiguous(grad),
        taps,
        np.array([(0, len(taps), 0, 0, height, width)]),
        (1, 1),
        sums,
        stride,
        images,
        rows,
        (parts, parts_c, parts_q),
        window,
    )
    out = empty((k, depth), np.float32)
    run(_add_parts, chunks_for(sums.size, 1 << 16), sums, out)
    return out
