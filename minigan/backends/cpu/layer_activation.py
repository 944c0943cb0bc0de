"""A linear layer with its bias and activation, and the way back through these, or a convolution's.

The activation and the sum that is the bias's gradient are one pass. As in `sums.py`, the columns of
few pixels are summed over images first.
"""

from __future__ import annotations

import math

import numpy as np

from minigan.backends import reference
from minigan.backends.cpu import sums
from minigan.backends.cpu.arrays import contiguous, empty
from minigan.backends.cpu.finish import through_activation
from minigan.backends.cpu.linalg import product
from minigan.backends.cpu.sums import FEW_PIXELS, RUN, columns_sum, span
from minigan.backends.cpu.threads import all_float32, chunks_for, kernel, run
from minigan.backends.protocol import Array

_SMALLEST = 1 << 15  # elements that are worth a thread


def linear_activation(x: Array, weight: Array, bias: Array | None, slope: float) -> Array:
    """leaky_relu(x weight^T + bias, slope), of float32; others in the reference."""
    if not all_float32(x, weight, bias) or 0 in (*x.shape, *weight.shape):
        return reference.linear_activation(x, weight, bias, slope)
    return product(x, weight.T, bias, slope)


@kernel
def _columns_backward(chunk, chunks, grad, y, slope, pixels, through, grad_bias):
    """Of grad, y and through [N,C*P]."""
    channels = grad_bias.size
    first, end = chunk * channels // chunks, (chunk + 1) * channels // chunks
    at, total = np.uintp(first * pixels), np.zeros((end - first) * pixels, np.float64)
    for i in range(grad.shape[0]):
        for j in span(0, total.size):
            g = through_activation(grad[i, at + j], y[i, at + j], slope)
            through[i, at + j] = g
            total[j] += g
    for c in range(end - first):
        grad_bias[first + c] = columns_sum(total, c, pixels)


@kernel
def _backward(chunk, chunks, grad, y, slope, n, pixels, through, grad_bias):
    """Of flat grad, y and through [N*C*P]."""
    channels = grad_bias.size
    for c in range(chunk * channels // chunks, (chunk + 1) * channels // chunks):
        total = np.float64(0)
        for b in range(n):
            start = (b * channels + c) * pixels
            for first in range(start, start + pixels, RUN):
                part = np.float32(0)
                for i in span(first, min(first + RUN, start + pixels)):
                    g = through_activation(grad[i], y[i], slope)
                    through[i] = g
                    part += g
                total += part
        grad_bias[c] = total


def bias_activation_backward(grad: Array, y: Array, slope: float) -> tuple[Array, Array]:
    """-> (the gradient of what was activated [N,C,...], that of a bias [C])."""
    if slope == 1:
        return grad, sums.sum(grad, (0, *range(2, grad.ndim)), False)
    if not all_float32(grad, y):
        return reference.bias_activation_backward(grad, y, slope)
    n, channels = grad.shape[:2]
    pixels = math.prod(grad.shape[2:])
    through, grad_bias = empty(grad.shape, np.float32), empty(channels, np.float32)
    chunks = min(chunks_for(grad.size, _SMALLEST), max(channels, 1))
    arrays = contiguous(grad), contiguous(y), through
    if pixels <= FEW_PIXELS:
        rows = [array.reshape(n, channels * pixels) for array in arrays]
        run(_columns_backward, chunks, *rows[:2], np.float32(slope), pixels, rows[2], grad_bias)
    else:
        flat = [array.reshape(-1) for array in arrays]
        run(_backward, chunks, *flat[:2], np.float32(slope), n, pixels, flat[2], grad_bias)
    return through, grad_bias
