"""Normalisation: the rows or channels are shared among threads, each read from memory once.

A channel of a batch, or a row, is small enough for the cache of a core, so the passes over it
(mean, variance, result) cost little more than one. A leaky ReLU behind the normalisation of a batch
is in its last pass, and the way back through both takes two passes; without one its slope is 1.
Sums are float32 over runs of at most `RUN` elements, which vectorise, and float64 across runs.

Layout: [N,C,P], the P pixels of a channel side by side. Where they are few, or one as in a batch of
vectors, each image would give a sum of a few numbers. There the images are added first, in float64:
the columns of [N,C*P], as many channels side by side as fill vectors.
"""

from __future__ import annotations

import numpy as np

from minigan.backends import reference
from minigan.backends.cpu.arrays import contiguous, empty
from minigan.backends.cpu.finish import finished, through_activation
from minigan.backends.cpu.sums import FEW_PIXELS, RUN, columns_sum, span, sum_of
from minigan.backends.cpu.threads import all_float32, chunks_for, helper, inlined, kernel, run
from minigan.backends.protocol import Array

_SMALLEST = 1 << 15  # elements that are worth a thread
_COLUMNS = 512  # of these at a time: what all images have there stays in the cache of a core


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
def _batch_norm(chunk, chunks, x, weight, bias, eps, slope, n, channels, pixels, y, mean, var):
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
                y[i] = finished((x[i] - m) * scale, shift, slope)


@helper
def _sums_of_gradients(grad, x, y, mean, slope, start, end):
    """Of g, the gradient before the activation, and of g * (x - mean)."""
    total, products = np.float64(0), np.float64(0)
    for first in range(start, end, RUN):
        part, product = np.float32(0), np.float32(0)
        for i in span(first, min(first + RUN, end)):
            g = through_activation(grad[i], y[i], slope)
            part += g
            product += g * (x[i] - mean)
        total += part
        products += product
    return total, products


@kernel
def _batch_norm_backward(
    chunk,
    chunks,
    grad,
    x,
    y,
    weight,
    mean,
    var,
    eps,
    slope,
    n,
    channels,
    pixels,
    grad_x,
    grad_weight,
    grad_bias,
):
    """grad_x = weight / std * (g - mean(g) - xhat * mean(g * xhat)), g before the activation."""
    count = max(n * pixels, 1)
    for c in range(chunk * channels // chunks, (chunk + 1) * channels // chunks):
        m, inverse_std = mean[c], 1.0 / np.sqrt(var[c] + eps)
        total, products = 0.0, 0.0
        for b in range(n):
            start = (b * channels + c) * pixels
            of_image = _sums_of_gradients(grad, x, y, m, slope, start, start + pixels)
            total += of_image[0]
            products += of_image[1]
        grad_bias[c] = total
        grad_weight[c] = products * inverse_std
        scale = np.float32(weight[c] * inverse_std)
        average = np.float32(total / count)
        along = np.float32(products * inverse_std * inverse_std / count)
        for b in range(n):
            start = (b * channels + c) * pixels
            for i in span(start, start + pixels):
                g = through_activation(grad[i], y[i], slope)
                grad_x[i] = scale * (g - average - (x[i] - m) * along)


@inlined
def _fill(columns, c, pixels, value):
    """Of a channel."""
    for j in span(c * pixels, (c + 1) * pixels):
        columns[j] = value


@kernel
def _columns_norm(chunk, chunks, x, weight, bias, eps, slope, pixels, y, mean, var):
    """`_batch_norm` where x and y are [N,C*P], some whole channels at a time."""
    n, channels = x.shape[0], mean.size
    count, together = max(n * pixels, 1), max(1, _COLUMNS // pixels)
    total = np.empty(together * pixels, np.float64)
    means, scales, shifts = (
        np.empty(total.size, np.float32),
        np.empty(total.size, np.float32),
        np.empty(total.size, np.float32),
    )
    end = (chunk + 1) * channels // chunks
    for first in range(chunk * channels // chunks, end, together):
        held = min(together, end - first)
        at, size = np.uintp(first * pixels), held * pixels
        total[:] = 0.0
        for b in range(n):
            for j in span(0, size):
                total[j] += x[b, at + j]
        for c in range(held):
            mean[first + c] = columns_sum(total, c, pixels) / count
            _fill(means, c, pixels, mean[first + c])
        total[:] = 0.0
        for b in range(n):
            for j in span(0, size):
                centred = x[b, at + j] - means[j]
                total[j] += centred * centred
        for c in range(held):
            var[first + c] = columns_sum(total, c, pixels) / count
            scale = np.float32(weight[first + c] / np.sqrt(var[first + c] + eps))
            _fill(scales, c, pixels, scale)
            _fill(shifts, c, pixels, bias[first + c])
        for b in range(n):
            for j in span(0, size):
                y[b, at + j] = finished((x[b, at + j] - means[j]) * scales[j], shifts[j], slope)


@kernel
def _columns_norm_backward(
    chunk, chunks, grad, x, y, weight, mean, var, eps, slope, pixels, grad_x, grad_weight, grad_bias
):
    """`_batch_norm_backward` where grad, x, y and grad_x are [N,C*P]."""
    n, channels = x.shape[0], mean.size
    count, together = max(n * pixels, 1), max(1, _COLUMNS // pixels)
    total, products = np.empty(together * pixels, np.float64), np.empty(together * pixels)
    means, averages, alongs, scales = (
        np.empty(total.size, np.float32),
        np.empty(total.size, np.float32),
        np.empty(total.size, np.float32),
        np.empty(total.size, np.float32),
    )
    end = (chunk + 1) * channels // chunks
    for first in range(chunk * channels // chunks, end, together):
        held = min(together, end - first)
        at, size = np.uintp(first * pixels), held * pixels
        for c in range(held):
            _fill(means, c, pixels, mean[first + c])
        total[:], products[:] = 0.0, 0.0
        for b in range(n):
            for j in span(0, size):
                g = through_activation(grad[b, at + j], y[b, at + j], slope)
                total[j] += g
                products[j] += g * (x[b, at + j] - means[j])
        for c in range(held):
            inverse_std = 1.0 / np.sqrt(var[first + c] + eps)
            of_channel = columns_sum(total, c, pixels), columns_sum(products, c, pixels)
            grad_bias[first + c] = of_channel[0]
            grad_weight[first + c] = of_channel[1] * inverse_std
            average = np.float32(of_channel[0] / count)
            along = np.float32(of_channel[1] * inverse_std * inverse_std / count)
            _fill(averages, c, pixels, average)
            _fill(alongs, c, pixels, along)
            _fill(scales, c, pixels, np.float32(weight[first + c] * inverse_std))
        for b in range(n):
            for j in span(0, size):
                g = through_activation(grad[b, at + j], y[b, at + j], slope)
                centred = x[b, at + j] - means[j]
                grad_x[b, at + j] = scales[j] * (g - averages[j] - centred * alongs[j])


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
    return batch_norm_activation(x, weight, bias, eps, 1.0)


def batch_norm_activation(
    x: Array, weight: Array | None, bias: Array | None, eps: float, slope: float
) -> tuple[Array, Array, Array]:
    """(leaky_relu(batch_norm(x), slope), mean [C], var [C])."""
    n, channels, pixels = _shape(x)
    if not all_float32(x, weight, bias):
        return reference.batch_norm_activation(x, weight, bias, eps, slope)
    y = empty(x.shape, x.dtype)
    mean, var = empty(channels, x.dtype), empty(channels, x.dtype)
    weight = np.ones(channels, x.dtype) if weight is None else _flat(weight)
    bias = np.zeros(channels, x.dtype) if bias is None else _flat(bias)
    chunks = min(chunks_for(x.size, _SMALLEST), max(channels, 1))
    how = weight, bias, float(eps), np.float32(slope)
    if pixels <= FEW_PIXELS:
        rows = [v.reshape(n, channels * pixels) for v in (contiguous(x), y)]
        run(_columns_norm, chunks, rows[0], *how, pixels, rows[1], mean, var)
        return y, mean, var
    run(_batch_norm, chunks, _flat(x), *how, n, channels, pixels, y.reshape(-1), mean, var)
    return y, mean, var


def batch_norm_backward(
    grad: Array, x: Array, weight: Array | None, mean: Array, var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """-> (grad_x like x, grad_weight [C], grad_bias [C])."""
    # Without an activation the signs that x stands for here mean nothing.
    return batch_norm_activation_backward(grad, x, x, weight, None, mean, var, eps, 1.0)


def batch_norm_activation_backward(
    grad: Array,
    x: Array,
    y: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    var: Array,
    eps: float,
    slope: float,
) -> tuple[Array, Array, Array]:
    """-> (grad_x like x, grad_weight [C], grad_bias [C]); y is what batch_norm_activation gave."""
    n, channels, pixels = _shape(x)
    if not all_float32(grad, x, y, weight, mean, var):
        args = grad, x, y, weight, bias, mean, var, eps, slope
        return reference.batch_norm_activation_backward(*args)
    grad_x = empty(x.shape, x.dtype)
    grad_weight, grad_bias = empty(channels, x.dtype), empty(channels, x.dtype)
    weight = np.ones(channels, x.dtype) if weight is None else _flat(weight)
    chunks = min(chunks_for(x.size, _SMALLEST), max(channels, 1))
    how = weight, _flat(mean), _flat(var), float(eps), np.float32(slope)
    if pixels <= FEW_PIXELS:
        rows = [contiguous(v).reshape(n, channels * pixels) for v in (grad, x, y, grad_x)]
        run(
            _columns_norm_backward, chunks, *rows[:3], *how, pixels, rows[3], grad_weight, grad_bias
        )
        return grad_x, grad_weight, grad_bias
    sizes, outputs = (n, channels, pixels), (grad_x.reshape(-1), grad_weight, grad_bias)
    run(_batch_norm_backward, chunks, _flat(grad), _flat(x), _flat(y), *how, *sizes, *outputs)
    return grad_x, grad_weight, grad_bias


@kernel
def _move_running(chunk, chunks, running_mean, running_var, mean, var, momentum, unbiased):
    for c in span(chunk * mean.size // chunks, (chunk + 1) * mean.size // chunks):
        running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean[c]
        running_var[c] = (1 - momentum) * running_var[c] + momentum * unbiased * var[c]


def move_running(
    running_mean: Array,
    running_var: Array,
    mean: Array,
    var: Array,
    momentum: float,
    unbiased: float,
) -> None:
    """r = (1 - momentum) r + momentum value, in place, in float64."""
    arrays = running_mean, running_var, mean, var
    if not (all_float32(*arrays) and all([array.flags.c_contiguous for array in arrays])):
        reference.move_running(*arrays, momentum, unbiased)
        return
    run(_move_running, 1, *arrays, float(momentum), float(unbiased))  # too few to be shared


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
