"""Normalisation: the rows or channels are shared among threads, each read from memory once.

A channel of a batch, or a row, is small enough for the cache of a core, so the passes over it
(mean, variance, result) cost little more than one. Sums are float32 over runs of at most
`RUN` elements, which vectorise, and float64 across runs. Layout: [N,C,P], the P pixels of a
channel side by side. A batch of vectors (P = 1) has its channels side by side instead: kernels of
their own go through it row by row, with a float64 sum for each channel.
"""

from __future__ import annotations

import numpy as np

from minigan.backends import reference
from minigan.backends.cpu.arrays import contiguous, empty
from minigan.backends.cpu.channel_sums import RUN, span, sum_of
from minigan.backends.cpu.threads import all_float32, chunks_for, helper, kernel, run
from minigan.backends.protocol import Array

_SMALLEST = 1 << 15  # elements that are worth a thread


@helper
def _sum_squares(values, mean, start, end):
    total = np.float64(0)
    for first in range(start, end, RUN):
        part = np.float32(0)
        for i in span(first, min(first + RUN, end)):
            part += (values[i] - mean) * (values[i] - mean)
        total += part
    return total


@helper
def _sum_products(a, b, mean, start, end):
    """sum of a * (b - mean)."""
    total = np.float64(0)
    for first in range(start, end, RUN):
        part = np.float32(0)
        for i in span(first, min(first + RUN, end)):
            part += a[i] * (b[i] - mean)
        total += part
    return total


@kernel
def _batch_norm(chunk, chunks, x, weight, bias, eps, n, channels, pixels, y, mean, var):
    """Flat x and y [N*C*P]; weight, bias, mean, var [C]."""
    count = max(n * pixels, 1)
    for c in range(chunk * channels // chunks, (chunk + 1) * channels // chunks):
        total = 0.0
        for b in range(n):
            start = (b * channels + c) * pixels
            total += sum_of(x, start, start + pixels)
        mean[c] = total / count
        total = 0.0
        for b in range(n):
            start = (b * channels + c) * pixels
            total += _sum_squares(x, mean[c], start, start + pixels)
        var[c] = total / count
        scale = np.float32(weight[c] / np.sqrt(var[c] + eps))
        m, shift = mean[c], bias[c]
        for b in range(n):
            start = (b * channels + c) * pixels
            for i in span(start, start + pixels):
                y[i] = (x[i] - m) * scale + shift


@kernel
def _batch_norm_backward(
    chunk,
    chunks,
    grad,
    x,
    weight,
    mean,
    var,
    eps,
    n,
    channels,
    pixels,
    grad_x,
    grad_weight,
    grad_bias,
):
    """grad_x = weight / std * (grad - mean(grad) - xhat * mean(grad * xhat))."""
    count = max(n * pixels, 1)
    for c in range(chunk * channels // chunks, (chunk + 1) * channels // chunks):
        m, inverse_std = mean[c], 1.0 / np.sqrt(var[c] + eps)
        total, products = 0.0, 0.0
        for b in range(n):
            start = (b * channels + c) * pixels
            total += sum_of(grad, start, start + pixels)
            products += _sum_products(grad, x, m, start, start + pixels)
        grad_bias[c] = total
        grad_weight[c] = products * inverse_std
        scale = np.float32(weight[c] * inverse_std)
        average = np.float32(total / count)
        slope = np.float32(products * inverse_std * inverse_std / count)
        for b in range(n):
            start = (b * channels + c) * pixels
            for i in span(start, start + pixels):
                grad_x[i] = scale * (grad[i] - average - (x[i] - m) * slope)


@kernel
def _vectors_norm(chunk, chunks, x, weight, bias, eps, y, mean, var):
    """x and y [N,C]; weight, bias, mean, var [C]."""
    n, channels = x.shape
    first, end = chunk * channels // chunks, (chunk + 1) * channels // chunks
    total = np.zeros(channels, np.float64)
    for b in range(n):
        for c in span(first, end):
            total[c] += x[b, c]
    for c in span(first, end):
        mean[c] = total[c] / max(n, 1)
        total[c] = 0.0
    for b in range(n):
        for c in span(first, end):
            centred = x[b, c] - mean[c]
            total[c] += centred * centred
    scale = np.empty(channels, np.float32)
    for c in span(first, end):
        var[c] = total[c] / max(n, 1)
        scale[c] = weight[c] / np.sqrt(var[c] + eps)
    for b in range(n):
        for c in span(first, end):
            y[b, c] = (x[b, c] - mean[c]) * scale[c] + bias[c]


@kernel
def _vectors_norm_backward(
    chunk, chunks, grad, x, weight, mean, var, eps, grad_x, grad_weight, grad_bias
):
    """`_batch_norm_backward` for x [N,C]."""
    n, channels = x.shape
    first, end = chunk * channels // chunks, (chunk + 1) * channels // chunks
    total, products = np.zeros(channels, np.float64), np.zeros(channels, np.float64)
    for b in range(n):
        for c in span(first, end):
            total[c] += grad[b, c]
            products[c] += grad[b, c] * (x[b, c] - mean[c])
    average, slope = np.empty(channels, np.float32), np.empty(channels, np.float32)
    scale = np.empty(channels, np.float32)
    for c in span(first, end):
        inverse_std = 1.0 / np.sqrt(var[c] + eps)
        grad_bias[c] = total[c]
        grad_weight[c] = products[c] * inverse_std
        average[c] = total[c] / max(n, 1)
        slope[c] = products[c] * inverse_std * inverse_std / max(n, 1)
        scale[c] = weight[c] * inverse_std
    for b in range(n):
        for c in span(first, end):
            grad_x[b, c] = scale[c] * (grad[b, c] - average[c] - (x[b, c] - mean[c]) * slope[c])


@kernel
def _row_norm(chunk, chunks, x, eps, length, xhat, mean, var):
    """Flat x and xhat [M*K]; mean, var [M]."""
    rows, count = mean.size, max(length, 1)
    for row in range(chunk * rows // chunks, (chunk + 1) * rows // chunks):
        start, end = row * length, (row + 1) * length
        mean[row] = sum_of(x, start, end) / count
        var[row] = _sum_squares(x, mean[row], start, end) / count
        m, scale = mean[row], np.float32(1.0 / np.sqrt(var[row] + eps))
        for i in span(start, end):
            xhat[i] = (x[i] - m) * scale


@kernel
def _row_norm_backward(chunk, chunks, grad, xhat, var, eps, length, out):
    """Flat grad, xhat and out [M*K]; var [M]."""
    rows, count = var.size, max(length, 1)
    for row in range(chunk * rows // chunks, (chunk + 1) * rows // chunks):
        start, end = row * length, (row + 1) * length
        average = np.float32(sum_of(grad, start, end) / count)
        slope = np.float32(_sum_products(grad, xhat, np.float32(0), start, end) / count)
        scale = np.float32(1.0 / np.sqrt(var[row] + eps))
        for i in span(start, end):
            out[i] = scale * (grad[i] - average - xhat[i] * slope)


def _flat(array: Array) -> Array:
    return contiguous(array).reshape(-1)


def _shape(x: Array) -> tuple[int, int, int]:
    """(N, C, P)."""
    n, channels = x.shape[:2]
    return n, channels, int(np.prod(x.shape[2:], dtype=np.int64))


def batch_norm(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """x [N,C,...] -> (y, mean [C], var [C])."""
    n, channels, pixels = _shape(x)
    if not all_float32(x, weight, bias):
        return reference.batch_norm(x, weight, bias, eps)
    y = empty(x.shape, x.dtype)
    mean, var = empty(channels, x.dtype), empty(channels, x.dtype)
    weight = np.ones(channels, x.dtype) if weight is None else _flat(weight)
    bias = np.zeros(channels, x.dtype) if bias is None else _flat(bias)
    chunks = min(chunks_for(x.size, _SMALLEST), max(channels, 1))
    if pixels == 1:
        rows = (contiguous(x).reshape(n, channels), y.reshape(n, channels))
        run(_vectors_norm, chunks, rows[0], weight, bias, float(eps), rows[1], mean, var)
        return y, mean, var
    args = (_flat(x), weight, bias, float(eps), n, channels, pixels, y.reshape(-1), mean, var)
    run(_batch_norm, chunks, *args)
    return y, mean, var


def batch_norm_backward(
    grad: Array, x: Array, weight: Array | None, mean: Array, var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """-> (grad_x like x, grad_weight [C], grad_bias [C])."""
    n, channels, pixels = _shape(x)
    if not all_float32(grad, x, weight, mean, var):
        return reference.batch_norm_backward(grad, x, weight, mean, var, eps)
    grad_x = empty(x.shape, x.dtype)
    grad_weight, grad_bias = empty(channels, x.dtype), empty(channels, x.dtype)
    weight = np.ones(channels, x.dtype) if weight is None else _flat(weight)
    chunks = min(chunks_for(x.size, _SMALLEST), max(channels, 1))
    statistics = (weight, _flat(mean), _flat(var), float(eps))
    if pixels == 1:
        rows = [contiguous(v).reshape(n, channels) for v in (grad, x)]
        found = (grad_x.reshape(n, channels), grad_weight, grad_bias)
        run(_vectors_norm_backward, chunks, *rows, *statistics, *found)
        return grad_x, grad_weight, grad_bias
    sizes, outputs = (n, channels, pixels), (grad_x.reshape(-1), grad_weight, grad_bias)
    run(_batch_norm_backward, chunks, _flat(grad), _flat(x), *statistics, *sizes, *outputs)
    return grad_x, grad_weight, grad_bias


def row_norm(x: Array, eps: float) -> tuple[Array, Array, Array]:
    """x [M,K] -> (xhat, mean [M], var [M])."""
    if not all_float32(x):
        return reference.row_norm(x, eps)
    rows, length = x.shape
    xhat = empty(x.shape, x.dtype)
    mean, var = empty(rows, x.dtype), empty(rows, x.dtype)
    chunks = min(chunks_for(x.size, _SMALLEST), max(rows, 1))
    run(_row_norm, chunks, _flat(x), float(eps), length, xhat.reshape(-1), mean, var)
    return xhat, mean, var


def row_norm_backward(grad: Array, xhat: Array, var: Array, eps: float) -> Array:
    """-> grad_x [M,K]."""
    if not all_float32(grad, xhat, var):
        return reference.row_norm_backward(grad, xhat, var, eps)
    rows, length = grad.shape
    out = empty(grad.shape, grad.dtype)
    chunks = min(chunks_for(grad.size, _SMALLEST), max(rows, 1))
    args = (_flat(grad), _flat(xhat), _flat(var), float(eps), length, out.reshape(-1))
    run(_row_norm_backward, chunks, *args)
    return out
