"""Convolution to few output channels: products first, then sums of shifted images.

With K output channels and T taps, and few of the first, a vector of output channels would be
mostly spare lanes, and one of pixels would be read anew for every tap. So pixels are lanes, and
pairs (k, t) are what a register block has eight of:

    values[k, t, q] = sum over c of weight[k, c, t] * x[c, q]         each pixel q is read once
    out[k, p]       = bias[k] + sum over t of values[k, t, p + tap t]

A map's step is 1, as it is in every input gradient. Work is cut into bands of output rows, as many
as have their values in the second-level cache; the rows that their windows share with the
neighbours are computed by both.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.aligned import aligned_floats, aligned_zeros
from minigan.backends.cpu.arrays import contiguous, empty
from minigan.backends.cpu.conv_maps import Maps, forward_maps, input_grad_maps
from minigan.backends.cpu.lanes import LANES, store, zeros
from minigan.backends.cpu.pixel_block import BLOCK, TOGETHER, multiply_both
from minigan.backends.cpu.threads import MAX_CHUNKS, chunks_for, helper, inlined, kernel, run
from minigan.backends.protocol import Array, Pair

_FEW = 3  # channels
_VALUES = 1 << 17  # elements: 512 KiB
_RUN = 4 * LANES  # pixels whose channels are copied side by side
_SMALLEST = 1 << 18  # products that are worth a thread


def suits(outputs: int, inputs: int) -> bool:
    """Whether maps of step 1 with so many output and input channels belong here; measured on the
    first and last layers of the models."""
    return outputs <= _FEW < inputs


@helper
def _multiply(weight, bases, offsets, x, start, plane, pixels, columns, values, step):
    """values [rows, step] of pixels that begin at x[start] in the first channel."""
    for p0 in range(0, pixels, _RUN):
        count = min(_RUN, pixels - p0)
        for c in range(offsets.shape[0]):
            at, to = np.uintp(start + c * plane + p0), np.uintp(c * _RUN)
            for j in range(np.uintp(count)):
                columns[to + j] = x[at + j]
        for p in range(0, count, TOGETHER * LANES):
            for row in range(0, bases.shape[0], BLOCK):
                both = multiply_both(
                    weight, bases, row, offsets, 0, offsets.shape[0], columns, p,
                    (TOGETHER - 1) * LANES, _RUN, (zeros(), zeros()),
                )  # fmt: skip
                for half in range(TOGETHER):
                    sums = both[0] if TOGETHER == 1 or half == 0 else both[1]
                    to = (row * step) + p0 + p + half * LANES
                    for i in range(8 if p + half * LANES < count else 0):
                        store(values, np.uintp(to + i * step), sums[i])


@inlined
def _add_shifted(values, start, step, y0, height, width, taps, tap0, tap1, i, bias, total):
    """total [columns] = bias + the sum over the taps of row i + dy, shifted by dx; a tap's values
    lie `step` apart and have rows y0.. of `height` rows of `width`."""
    columns = total.shape[0]
    total[:] = bias
    for t in range(tap0, tap1):
        y, dx = i + taps[t, 0], taps[t, 1]
        if 0 <= y < height:
            first = min(max(0, -dx), columns)
            end = max(first, min(columns, width - dx))
            at = np.uintp(start + (t - tap0) * step + (y - y0) * width + dx + first)
            to = np.uintp(first)
            for j in range(np.uintp(end - first)):
                total[to + j] += values[at + j]


@kernel
def _map(
    chunk, chunks, x, weight, step_k, step_c, picks, taps, table, strides, bounds, bias, out, rows
):
    """Every map of the table. A unit of work is an image and `rows` rows of the maps; bounds
    are the first and last row of all taps."""
    batch, channels, height, width = x.shape
    k, out_height, out_width = out.shape[1:]
    count, plane = taps.shape[0], height * width
    lowest, highest = bounds
    bases = np.zeros((k * count + BLOCK - 1) // BLOCK * BLOCK, np.uintp)
    for q in range(k):
        for t in range(count):
            bases[q * count + t] = q * step_k + picks[t]
    offsets = np.empty(channels, np.uintp)
    for c in range(channels):
        offsets[c] = c * step_c
    bands = (table[0, 4] + rows - 1) // rows  # the first map has the most rows
    # The step must not be a multiple of 4 KiB, or all rows share a few lines of the cache.
    step = (min(height, rows + highest - lowest) * width // LANES + 2) * LANES
    step += step % 256 == 0
    values, total = aligned_floats(bases.size * step), aligned_floats(table[0, 5])
    buffer = aligned_zeros(channels * _RUN)
    pixels, flat = x.ravel(), out.ravel()
    for unit in range(chunk * batch * bands // chunks, (chunk + 1) * batch * bands // chunks):
        n, r0 = unit // bands, unit % bands * rows
        y0, y1 = max(0, r0 + lowest), min(height, r0 + rows + highest)
        start = n * channels * plane + y0 * width
        area = (y1 - y0) * width
        _multiply(weight, bases, offsets, pixels, start, plane, area, buffer, values, step)
        for m in range(table.shape[0]):
            tap0, tap1, top, left, map_rows, columns = table[m]
            for q in range(k):
                for i in range(r0, min(r0 + rows, map_rows)):
                    row = total[:columns]
                    at = (q * count + tap0) * step
                    _add_shifted(
                        values, at, step, y0, height, width, taps, tap0, tap1, i, bias[q], row
                    )
                    to = ((n * k + q) * out_height + i * strides[0] + top) * out_width + left
                    for j in range(np.uintp(columns)):
                        flat[np.uintp(to) + j * np.uintp(strides[1])] = row[j]


def _run_maps(
    x: Array, weight: Array, outputs: int, maps: Maps, bias: Array | None, out: Array
) -> Array:
    """weight [K,C,KH,KW], whose axis `outputs` are the channels of `out`."""
    fill = 0 if bias is None else bias[:, None, None]
    if x.size == 0:
        out[:] = fill
        return out
    for top, left in maps.bare:
        out[:, :, top :: maps.strides[0], left :: maps.strides[1]] = fill
    if out.size == 0 or maps.taps.size == 0:
        return out
    (n, k), (c, _, width), taps = out.shape[:2], x.shape[1:], len(maps.taps)
    distances = weight[0].size, weight[0, 0].size
    span, map_rows = maps.bounds[1][0] - maps.bounds[0][0] + 1, int(maps.table[0, 4])
    fitting = _VALUES // (-(-k * taps // BLOCK) * BLOCK * width) - span + 1
    sharing = -(-n * map_rows // MAX_CHUNKS)
    # Rows that two bands share are computed twice: at most a half of those of a band.
    rows = min(map_rows, max(2 * span, min(fitting, sharing)))
    bands = -(-map_rows // rows)
    run(
        _map,
        min(n * bands, chunks_for(out.size * c * taps // len(maps.table), _SMALLEST)),
        contiguous(x),
        contiguous(weight).reshape(-1),
        distances[outputs],
        distances[1 - outputs],
        maps.picks,
        maps.taps,
        maps.table,
        maps.strides,
        (maps.bounds[0][0], maps.bounds[1][0]),
        np.zeros(k, np.float32) if bias is None else contiguous(bias),
        out,
        -(-map_rows // bands),
    )
    return out


def conv2d(
    x: Array, weight: Array, bias: Array | None, padding: Pair, dilation: Pair, out_hw: Pair
) -> Array:
    """x [N,C,H,W], weight [K,C,KH,KW], bias [K] -> [N,K,OH,OW], with stride 1."""
    maps = forward_maps(weight.shape[2:], padding, dilation, out_hw)
    out = empty((x.shape[0], weight.shape[0], *out_hw), x.dtype)
    return _run_maps(x, weight, 0, maps, bias, out)


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
    return _run_maps(grad, weight, 1, maps, bias, out)
