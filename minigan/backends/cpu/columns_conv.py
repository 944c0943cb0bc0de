"""Convolutions of few pixels and many weights: all windows at once, then one matrix product.

The inner layers of a U-Net, and a generator's first layer, have up to 16 million weights for a
handful of pixels. Reading the weights once is then the whole cost, so nothing here copies or
reorders them: with P = N * OH * OW pixels, columns [C*T, P] of all windows (T taps each) and the
weight as it lies in memory, W [K, C*T],

    y = W columns,   columns of dx = W^T dy,   dW = dy columns^T

and the columns of dx are added up where their windows overlap, tap by tap in a fixed order. The
products are cut along the weights, which `direct_conv.py` would cut along the pixels.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.arrays import contiguous, empty
from minigan.backends.cpu.linalg import matmul
from minigan.backends.cpu.threads import chunks_for, kernel, run
from minigan.backends.protocol import Array, Pair

_MOST_PIXELS = 128
_FEWEST_WEIGHTS = 1 << 16
_SMALLEST = 1 << 14  # elements of the columns that are worth a thread


def suits(pixels: int, weights: int) -> bool:
    """Whether a layer with so many output pixels (of all images) and weights belongs here.

    Measured on the layers of DCGAN and pix2pix: the weights must outnumber the pixels by far, or
    the columns are no longer the small part of the work, and from 256 pixels on a direct
    convolution has weights in its cache for long enough.
    """
    return pixels <= _MOST_PIXELS and weights >= max(_FEWEST_WEIGHTS, 256 * pixels)


@kernel
def _gather(chunk, chunks, x, taps, step_h, step_w, height, width, columns):
    """columns [C, T, N, height, width] of the windows of x; 0 outside the image."""
    batch, channels, x_height, x_width = x.shape
    for c in range(chunk * channels // chunks, (chunk + 1) * channels // chunks):
        for t in range(taps.shape[0]):
            for n in range(batch):
                for i in range(height):
                    y = i * step_h + taps[t, 0]
                    for j in range(width):
                        z = j * step_w + taps[t, 1]
                        inside = 0 <= y < x_height and 0 <= z < x_width
                        columns[c, t, n, i, j] = x[n, c, y, z] if inside else np.float32(0)


@kernel
def _scatter(chunk, chunks, columns, taps, step_h, step_w, bias, out):
    """The transpose: each column's values are added to the pixels that its window covers."""
    batch, channels, out_height, out_width = out.shape
    height, width = columns.shape[3:]
    for c in range(chunk * channels // chunks, (chunk + 1) * channels // chunks):
        for n in range(batch):
            out[n, c] = bias[c]
            for t in range(taps.shape[0]):
                for i in range(height):
                    y = i * step_h + taps[t, 0]
                    if 0 <= y < out_height:
                        for j in range(width):
                            z = j * step_w + taps[t, 1]
                            if 0 <= z < out_width:
                                out[n, c, y, z] += columns[c, t, n, i, j]


def _columns(x: Array, taps: Array, stride: Pair, size: Pair) -> Array:
    """[C*T, N*OH*OW]"""
    n, c = x.shape[:2]
    columns = empty((c, len(taps), n, *size), x.dtype)
    chunks = min(c, chunks_for(columns.size, _SMALLEST))
    run(_gather, chunks, contiguous(x), taps, *stride, *size, columns)
    return columns.reshape(c * len(taps), -1)


def _pixels_last(grad: Array) -> Array:
    """[N,K,OH,OW] -> [K, N*OH*OW]"""
    return contiguous(grad.transpose(1, 0, 2, 3)).reshape(grad.shape[1], -1)


def conv2d(x: Array, weight: Array, bias: Array | None, taps: Array, stride: Pair, size: Pair
           ) -> Array:  # fmt: skip
    """x [N,C,H,W], weight [K,C,KH,KW], taps [T,2] as in `conv_maps.py` -> [N,K,*size]."""
    (n, k), columns = (x.shape[0], weight.shape[0]), _columns(x, taps, stride, size)
    out = matmul(contiguous(weight).reshape(k, -1), columns).reshape(k, n, *size)
    if bias is not None:
        out += bias[:, None, None, None]
    return contiguous(out.transpose(1, 0, 2, 3))


def conv2d_input_grad(
    grad: Array, weight: Array, bias: Array | None, taps: Array, stride: Pair, input_hw: Pair
) -> Array:
    """grad [N,K,OH,OW], weight [K,C,KH,KW], bias [C] -> [N,C,*input_hw]."""
    (n, k, *size), c = grad.shape, weight.shape[1]
    columns = matmul(contiguous(weight).reshape(k, -1).T, _pixels_last(grad))
    out = empty((n, c, *input_hw), grad.dtype)
    start = np.zeros(c, grad.dtype) if bias is None else contiguous(bias)
    chunks = min(c, chunks_for(columns.size, _SMALLEST))
    columns = columns.reshape(c, len(taps), n, *size)
    run(_scatter, chunks, columns, taps, *stride, start, out)
    return out


def conv2d_weight_grad(x: Array, grad: Array, taps: Array, stride: Pair, kernel_hw: Pair) -> Array:
    """x [N,C,H,W], grad [N,K,OH,OW] -> [K,C,*kernel_hw]."""
    (_, k, *size), c = grad.shape, x.shape[1]
    columns = _columns(x, taps, stride, (size[0], size[1]))
    return matmul(_pixels_last(grad), columns.T).reshape(k, c, *kernel_hw)
