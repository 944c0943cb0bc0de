"""The sum of each channel of a batch, which is the gradient of a bias, and the sum of all numbers.

As in `norm.py`, sums over pixels are float32 over short runs, which vectorise, and float64 across
runs; those over few pixels or vectors are float64, over the images first. NumPy's own sums go image
by image, and on one thread.
"""

from __future__ import annotations

import math

import numpy as np

from minigan.backends import reference
from minigan.backends.cpu.arrays import contiguous, empty
from minigan.backends.cpu.threads import all_float32, chunks_for, helper, kernel, run
from minigan.backends.protocol import Array

RUN = 1024  # elements that are summed up in float32
FEW_PIXELS = 64  # of a channel, whose sums are taken over images first
_SMALLEST = 1 << 15  # elements that are worth a thread


@helper
def span(start, end):
    """Positions start to end; unsigned, which spares the check for negative ones."""
    return range(np.uintp(start), np.uintp(end))


@helper
def sum_of(values, start, end):
    """Of values[start:end], flat float32 -> float64."""
    total = np.float64(0)
    for first in range(start, end, RUN):
        part = np.float32(0)
        for i in span(first, min(first + RUN, end)):
            part += values[i]
        total += part
    return total


@kernel
def _channel_sums(chunk, chunks, x, n, channels, pixels, out):
    for c in range(chunk * channels // chunks, (chunk + 1) * channels // chunks):
        total = 0.0
        for b in range(n):
            start = (b * channels + c) * pixels
            total += sum_of(x, start, start + pixels)
        out[c] = total


@kernel
def _parts_of_all(chunk, chunks, x, parts):
    parts[chunk] = sum_of(x, chunk * x.size // chunks, (chunk + 1) * x.size // chunks)


@kernel
def add_scaled(chunk, chunks, parts, scale, out):
    """out[0] = the sum of the parts times scale."""
    total = np.float64(0)
    for part in parts:
        total += part
    out[0] = total * scale


@helper
def columns_sum(total, c, pixels):
    """Of a channel's columns."""
    columns = np.float64(0)
    for j in span(c * pixels, (c + 1) * pixels):
        columns += total[j]
    return columns


@kernel
def _column_sums(chunk, chunks, x, pixels, out):
    """Of x [N,C*P]."""
    first, end = chunk * out.size // chunks, (chunk + 1) * out.size // chunks
    at, total = np.uintp(first * pixels), np.zeros((end - first) * pixels, np.float64)
    for i in range(x.shape[0]):
        for j in span(0, total.size):
            total[j] += x[i, at + j]
    for c in range(end - first):
        out[first + c] = columns_sum(total, c, pixels)


def sum(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """numpy.sum; here only of float32, where it leaves the channels of x [N,C,H,W] or [N,C], or
    nothing."""
    if 0 < x.ndim == len(axes) and all_float32(x):
        out = empty((1,) * x.ndim if keepdims else (), np.float32)
        parts = empty(chunks_for(x.size, _SMALLEST), np.float64)
        run(_parts_of_all, parts.size, contiguous(x).reshape(-1), parts)
        run(add_scaled, 1, parts, 1.0, out.reshape(-1))
        return out
    if (x.ndim, axes) not in ((2, (0,)), (4, (0, 2, 3))) or not all_float32(x):
        return reference.sum(x, axes, keepdims)
    n, channels = x.shape[:2]
    pixels = math.prod(x.shape[2:])
    out = empty((1, channels) + (1,) * (x.ndim - 2) if keepdims else channels, np.float32)
    flat, chunks = out.reshape(-1), min(chunks_for(x.size, _SMALLEST), max(channels, 1))
    if pixels <= FEW_PIXELS:
        run(_column_sums, chunks, contiguous(x).reshape(n, channels * pixels), pixels, flat)
    else:
        run(_channel_sums, chunks, contiguous(x).reshape(-1), n, channels, pixels, flat)
    return out
