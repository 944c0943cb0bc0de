"""Nearest upsampling by 2 and a 3x3 convolution as one map, with 9 products a pixel, not 36.

In one dimension, an input x upsampled by 2 and convolved with (w0, w1, w2) gives

    y[2i]   = w0 x[i-1] + (w1 + w2) x[i]   = s x[i] - w0 d[i]
    y[2i+1] = (w0 + w1) x[i] + w2 x[i+1]   = s x[i] + w2 d[i+1]

with s = w0 + w1 + w2 and the differences d[i] = x[i] - x[i-1], x being 0 outside. That is three
products for two outputs (four after merging equal inputs, six directly). In two dimensions each
axis takes (s, -w0, w2) on its own, so the map is nine matrix products [K,C] x [C,pixels] with no
copies of windows, grouped by which difference they read:

    part 0   x                      1 matrix     [C, H * W]
    part 1   differences along W    2 matrices   [C, H * (W+1)]
    part 2   differences along H    2 matrices   [C, (H+1) * W]
    part 3   differences along both 4 matrices   [C, (H+1) * (W+1)]

The gradients are the transposes of the same steps. Work is cut into tiles of whole images, or of
bands of rows where an image is large; pixels of a tile are ordered image, row, column.

One file although it is long: each step stands beside its transpose, and numba compiles anew only
when the file of a kernel changes, not the files of its helpers.
"""

from __future__ import annotations

import numpy as np

from minigan.backends import reference
from minigan.backends.cpu import winograd_upsample
from minigan.backends.cpu.arrays import contiguous, empty
from minigan.backends.cpu.matrix_product import multiply_tile, work_space
from minigan.backends.cpu.register_block import COLUMNS
from minigan.backends.cpu.threads import all_float32, chunks_for, helper, kernel, run
from minigan.backends.protocol import Array

_TILE_PIXELS = 256  # a tile's inputs and products then stay in the second-level cache
_WEIGHT_GRAD_TILE_PIXELS = 512  # more, because each tile also goes through 9*K*C sums
_WEIGHT_GRAD_CHUNKS = 8


@kernel
def _split_weight(chunk, chunks, weight, part0, part1, part2, part3):
    """weight [K,C,3,3] -> the matrices [1,K,C], [2,K,C], [2,K,C], [4,K,C]."""
    filters = weight.shape[0]
    for k in range(chunk * filters // chunks, (chunk + 1) * filters // chunks):
        for c in range(weight.shape[1]):
            top = weight[k, c, 0, 0] + weight[k, c, 0, 1] + weight[k, c, 0, 2]
            middle = weight[k, c, 1, 0] + weight[k, c, 1, 1] + weight[k, c, 1, 2]
            bottom = weight[k, c, 2, 0] + weight[k, c, 2, 1] + weight[k, c, 2, 2]
            part0[0, k, c] = top + middle + bottom
            part1[0, k, c] = -(weight[k, c, 0, 0] + weight[k, c, 1, 0] + weight[k, c, 2, 0])
            part1[1, k, c] = weight[k, c, 0, 2] + weight[k, c, 1, 2] + weight[k, c, 2, 2]
            part2[0, k, c] = -top
            part2[1, k, c] = bottom
            part3[0, k, c] = weight[k, c, 0, 0]
            part3[1, k, c] = -weight[k, c, 0, 2]
            part3[2, k, c] = -weight[k, c, 2, 0]
            part3[3, k, c] = weight[k, c, 2, 2]


@helper
def _differences(x, n0, images, r0, rows, border, part0, part1, part2, part3):
    """Fill the four inputs of a tile, each [C, images, rows (+1), W (+1)]; border is scratch."""
    channels, height, width = x.shape[1:]
    border[:, :] = 0
    for c in range(channels):
        for b in range(images):
            for i in range(max(0, 1 - r0), min(rows + 2, height + 1 - r0)):
                for j in range(width):
                    border[i, j + 1] = x[n0 + b, c, r0 - 1 + i, j]
            for i in range(rows):
                for j in range(width):
                    part0[c, b, i, j] = border[i + 1, j + 1]
                for j in range(width + 1):
                    part1[c, b, i, j] = border[i + 1, j + 1] - border[i + 1, j]
            for i in range(rows + 1):
                for j in range(width):
                    part2[c, b, i, j] = border[i + 1, j + 1] - border[i, j + 1]
                for j in range(width + 1):
                    part3[c, b, i, j] = (border[i + 1, j + 1] - border[i, j + 1]) - (
                        border[i + 1, j] - border[i, j]
                    )


@helper
def _blocks(grad, n0, images, r0, rows, halo, border, part0, part1, part2, part3):
    """Fill the gradients [m,K,...] that a tile's four parts receive; the transpose of `_combine`.

    Neighbouring bands share a row of differences: with `halo` each sees the whole gradient of
    it, without it each counts only what its own rows of grad bring.
    """
    channels, height, width = grad.shape[1], grad.shape[2] // 2, grad.shape[3] // 2
    border[:, :] = 0
    first, last = 1, 2 * rows + 1
    if halo:
        first, last = max(0, 1 - 2 * r0), min(2 * rows + 2, 2 * (height - r0) + 1)
    for k in range(channels):
        for b in range(images):
            for i in range(first, last):
                for j in range(2 * width):
                    border[i, j + 1] = grad[n0 + b, k, 2 * r0 - 1 + i, j]
            for i in range(rows):
                for j in range(width):
                    part0[0, k, b, i, j] = (
                        border[2 * i + 1, 2 * j + 1] + border[2 * i + 1, 2 * j + 2]
                    ) + (border[2 * i + 2, 2 * j + 1] + border[2 * i + 2, 2 * j + 2])
                for j in range(width + 1):
                    part1[0, k, b, i, j] = (
                        border[2 * i + 1, 2 * j + 1] + border[2 * i + 2, 2 * j + 1]
                    )
                    part1[1, k, b, i, j] = border[2 * i + 1, 2 * j] + border[2 * i + 2, 2 * j]
            for i in range(rows + 1):
                for j in range(width):
                    part2[0, k, b, i, j] = (
                        border[2 * i + 1, 2 * j + 1] + border[2 * i + 1, 2 * j + 2]
                    )
                    part2[1, k, b, i, j] = border[2 * i, 2 * j + 1] + border[2 * i, 2 * j + 2]
                for j in range(width + 1):
                    part3[0, k, b, i, j] = border[2 * i + 1, 2 * j + 1]
                    part3[1, k, b, i, j] = border[2 * i + 1, 2 * j]
                    part3[2, k, b, i, j] = border[2 * i, 2 * j + 1]
                    part3[3, k, b, i, j] = border[2 * i, 2 * j]


@helper
def _tile_of(tile, n, height, images, rows):
    """First image, number of images, first row and number of rows of a tile."""
    bands = (height + rows - 1) // rows
    n0, r0 = tile // bands * images, tile % bands * rows
    return n0, min(images, n - n0), r0, min(rows, height - r0)


@helper
def _image(buffer, channels, images, height, width):
    return buffer[: channels * images * height * width].reshape(channels, images, height, width)


@helper
def _images(buffer, parts, channels, images, height, width):
    size = parts * channels * images * height * width
    return buffer[:size].reshape(parts, channels, images, height, width)


@helper
def _matrix(buffer, rows, pixels):
    return buffer[: rows * pixels].reshape(rows, pixels)


@helper
def _product(a, b, out, space):
    (m, n), (packed, block) = out.shape, space
    terms = 0, a.shape[1]
    multiply_tile((0, m), (0, n), terms, a, False, b, False, out, packed, block, True)


@helper
def _add_product(a, b, out, space):
    """out [M,N] += a [M,P] b [N,P]^T."""
    (m, n), (packed, block) = out.shape, space
    terms = 0, a.shape[1]
    multiply_tile((0, m), (0, n), terms, a, False, b, True, out, packed, block, False)


@kernel
def _forward(chunk, chunks, x, weights, bias, out, images, rows):
    (n, channels, height, width), k = x.shape, out.shape[1]
    tiles = (n + images - 1) // images * ((height + rows - 1) // rows)
    largest = images * (rows + 1) * (width + 1)
    border = np.empty((rows + 2, width + 2), x.dtype)
    in0 = np.empty(channels * largest, x.dtype)
    in1, in2, in3 = np.empty_like(in0), np.empty_like(in0), np.empty_like(in0)
    out0, out1 = np.empty(k * largest, x.dtype), np.empty(2 * k * largest, x.dtype)
    out2, out3 = np.empty_like(out1), np.empty(4 * k * largest, x.dtype)
    space = work_space(-(-largest // COLUMNS))
    for tile in range(chunk * tiles // chunks, (chunk + 1) * tiles // chunks):
        n0, b, r0, r = _tile_of(tile, n, height, images, rows)
        _differences(
            x,
            n0,
            b,
            r0,
            r,
            border,
            _image(in0, channels, b, r, width),
            _image(in1, channels, b, r, width + 1),
            _image(in2, channels, b, r + 1, width),
            _image(in3, channels, b, r + 1, width + 1),
        )
        p0, p1 = b * r * width, b * r * (width + 1)
        p2, p3 = b * (r + 1) * width, b * (r + 1) * (width + 1)
        _product(weights[0], _matrix(in0, channels, p0), _matrix(out0, k, p0), space)
        _product(weights[1], _matrix(in1, channels, p1), _matrix(out1, 2 * k, p1), space)
        _product(weights[2], _matrix(in2, channels, p2), _matrix(out2, 2 * k, p2), space)
        _product(weights[3], _matrix(in3, channels, p3), _matrix(out3, 4 * k, p3), space)
        _combine(
            _images(out0, 1, k, b, r, width),
            _images(out1, 2, k, b, r, width + 1),
            _images(out2, 2, k, b, r + 1, width),
            _images(out3, 4, k, b, r + 1, width + 1),
            bias,
            out,
            n0,
            r0,
        )


@helper
def _combine(part0, part1, part2, part3, bias, out, n0, r0):
    """out[.., 2i+a, 2j+b] from the products of parts [m,K,images,rows (+1),W (+1)]."""
    channels, images, rows, width = part0.shape[1:]
    for b in range(images):
        for k in range(channels):
            for i in range(rows):
                for a in range(2):
                    for j in range(width):
                        both = part0[0, k, b, i, j] + part2[a, k, b, i + a, j] + bias[k]
                        left = part1[0, k, b, i, j] + part3[2 * a, k, b, i + a, j]
                        right = part1[1, k, b, i, j + 1] + part3[2 * a + 1, k, b, i + a, j + 1]
                        out[n0 + b, k, 2 * (r0 + i) + a, 2 * j] = both + left
                        out[n0 + b, k, 2 * (r0 + i) + a, 2 * j + 1] = both + right


@kernel
def _input_grad(chunk, chunks, grad, weights, out, images, rows):
    (n, channels, height, width), k = out.shape, grad.shape[1]
    tiles = (n + images - 1) // images * ((height + rows - 1) // rows)
    largest = images * (rows + 1) * (width + 1)
    border = np.empty((2 * rows + 2, 2 * width + 2), grad.dtype)
    in0, in1 = np.empty(k * largest, grad.dtype), np.empty(2 * k * largest, grad.dtype)
    in2, in3 = np.empty_like(in1), np.empty(4 * k * largest, grad.dtype)
    out0 = np.empty(channels * largest, grad.dtype)
    out1, out2, out3 = np.empty_like(out0), np.empty_like(out0), np.empty_like(out0)
    space = work_space(-(-largest // COLUMNS))
    for tile in range(chunk * tiles // chunks, (chunk + 1) * tiles // chunks):
        n0, b, r0, r = _tile_of(tile, n, height, images, rows)
        _blocks(
            grad,
            n0,
            b,
            r0,
            r,
            True,
            border,
            _images(in0, 1, k, b, r, width),
            _images(in1, 2, k, b, r, width + 1),
            _images(in2, 2, k, b, r + 1, width),
            _images(in3, 4, k, b, r + 1, width + 1),
        )
        p0, p1 = b * r * width, b * r * (width + 1)
        p2, p3 = b * (r + 1) * width, b * (r + 1) * (width + 1)
        _product(weights[0], _matrix(in0, k, p0), _matrix(out0, channels, p0), space)
        _product(weights[1], _matrix(in1, 2 * k, p1), _matrix(out1, channels, p1), space)
        _product(weights[2], _matrix(in2, 2 * k, p2), _matrix(out2, channels, p2), space)
        _product(weights[3], _matrix(in3, 4 * k, p3), _matrix(out3, channels, p3), space)
        _undo_differences(
            _image(out0, channels, b, r, width),
            _image(out1, channels, b, r, width + 1),
            _image(out2, channels, b, r + 1, width),
            _image(out3, channels, b, r + 1, width + 1),
            out,
            n0,
            r0,
        )


@helper
def _undo_differences(part0, part1, part2, part3, out, n0, r0):
    """The transpose of `_differences`: what each pixel contributed to the four parts."""
    channels, images, rows, width = part0.shape
    for b in range(images):
        for c in range(channels):
            for i in range(rows):
                for j in range(width):
                    out[n0 + b, c, r0 + i, j] = (
                        part0[c, b, i, j]
                        + (part1[c, b, i, j] - part1[c, b, i, j + 1])
                        + (part2[c, b, i, j] - part2[c, b, i + 1, j])
                        + (part3[c, b, i, j] - part3[c, b, i, j + 1])
                        - (part3[c, b, i + 1, j] - part3[c, b, i + 1, j + 1])
                    )


@kernel
def _weight_grad(chunk, chunks, x, grad, sums, images, rows):
    """Chunk's share of the nine products [9K,C] of grads and differences, into sums[chunk]."""
    (n, channels, height, width), k = x.shape, grad.shape[1]
    tiles = (n + images - 1) // images * ((height + rows - 1) // rows)
    largest = images * (rows + 1) * (width + 1)
    x_border = np.empty((rows + 2, width + 2), x.dtype)
    g_border = np.empty((2 * rows + 2, 2 * width + 2), x.dtype)
    x0, g0 = np.empty(channels * largest, x.dtype), np.empty(k * largest, x.dtype)
    x1, x2, x3 = np.empty_like(x0), np.empty_like(x0), np.empty_like(x0)
    g1, g2 = np.empty(2 * k * largest, x.dtype), np.empty(2 * k * largest, x.dtype)
    g3 = np.empty(4 * k * largest, x.dtype)
    space = work_space(-(-channels // COLUMNS))
    total = sums[chunk]
    total[:, :] = 0
    for tile in range(chunk * tiles // chunks, (chunk + 1) * tiles // chunks):
        n0, b, r0, r = _tile_of(tile, n, height, images, rows)
        _differences(
            x,
            n0,
            b,
            r0,
            r,
            x_border,
            _image(x0, channels, b, r, width),
            _image(x1, channels, b, r, width + 1),
            _image(x2, channels, b, r + 1, width),
            _image(x3, channels, b, r + 1, width + 1),
        )
        _blocks(
            grad,
            n0,
            b,
            r0,
            r,
            False,
            g_border,
            _images(g0, 1, k, b, r, width),
            _images(g1, 2, k, b, r, width + 1),
            _images(g2, 2, k, b, r + 1, width),
            _images(g3, 4, k, b, r + 1, width + 1),
        )
        p0, p1 = b * r * width, b * r * (width + 1)
        p2, p3 = b * (r + 1) * width, b * (r + 1) * (width + 1)
        _add_product(_matrix(g0, k, p0), _matrix(x0, channels, p0), total[:k], space)
        _add_product(_matrix(g1, 2 * k, p1), _matrix(x1, channels, p1), total[k : 3 * k], space)
        _add_product(_matrix(g2, 2 * k, p2), _matrix(x2, channels, p2), total[3 * k : 5 * k], space)
        _add_product(_matrix(g3, 4 * k, p3), _matrix(x3, channels, p3), total[5 * k :], space)


@kernel
def _merge_weight_grad(chunk, chunks, sums, out):
    """Add the chunks in order, then undo `_split_weight`: sums [chunks,9K,C] -> [K,C,3,3]."""
    k, channels = out.shape[:2]
    v = np.empty((9, channels), sums.dtype)
    for q in range(chunk * k // chunks, (chunk + 1) * k // chunks):
        v[:, :] = 0
        for part in range(sums.shape[0]):
            for m in range(9):
                for c in range(channels):
                    v[m, c] += sums[part, m * k + q, c]
        for c in range(channels):
            out[q, c, 0, 0] = v[0, c] - v[1, c] - v[3, c] + v[5, c]
            out[q, c, 0, 1] = v[0, c] - v[3, c]
            out[q, c, 0, 2] = v[0, c] + v[2, c] - v[3, c] - v[6, c]
            out[q, c, 1, 0] = v[0, c] - v[1, c]
            out[q, c, 1, 1] = v[0, c]
            out[q, c, 1, 2] = v[0, c] + v[2, c]
            out[q, c, 2, 0] = v[0, c] - v[1, c] + v[4, c] - v[7, c]
            out[q, c, 2, 1] = v[0, c] + v[4, c]
            out[q, c, 2, 2] = v[0, c] + v[2, c] + v[4, c] + v[8, c]


def _tile(n: int, height: int, width: int, pixels: int) -> tuple[int, int, int]:
    """(images, rows, tiles): tiles of whole small images, or bands of rows of large ones."""
    images = max(1, min(n, pixels // (height * width)))
    rows = min(height, max(1, pixels // width))
    return images, rows, -(-n // images) * -(-height // rows)


def _matrices(weight: Array) -> tuple[Array, ...]:
    k, c = weight.shape[:2]
    parts = tuple(empty((m, k, c), weight.dtype) for m in (1, 2, 2, 4))
    run(_split_weight, 1, weight, *parts)
    return tuple(part.reshape(-1, c) for part in parts)


def upsample_conv2d(x: Array, weight: Array, bias: Array | None) -> Array:
    """conv2d(upsample_nearest(x, 2), weight, padding 1) from x [N,C,H,W], weight [K,C,3,3]."""
    if not all_float32(x, weight, bias):
        return reference.upsample_conv2d(x, weight, bias)
    (n, c, height, width), k = x.shape, weight.shape[0]
    if winograd_upsample.suits(n, c, k, (height, width)):
        return winograd_upsample.upsample_conv2d(x, weight, bias)
    x, weight = contiguous(x), contiguous(weight)
    bias = np.zeros(k, x.dtype) if bias is None else contiguous(bias)
    out = empty((n, k, 2 * height, 2 * width), x.dtype)
    images, rows, tiles = _tile(n, height, width, _TILE_PIXELS)
    run(_forward, chunks_for(tiles, 1), x, _matrices(weight), bias, out, images, rows)
    return out


def upsample_conv2d_input_grad(grad: Array, weight: Array) -> Array:
    """grad [N,K,2H,2W] -> [N,C,H,W]."""
    if not all_float32(grad, weight):
        return reference.upsample_conv2d_input_grad(grad, weight)
    n, height, width = grad.shape[0], grad.shape[2] // 2, grad.shape[3] // 2
    if winograd_upsample.suits(n, weight.shape[1], grad.shape[1], (height, width)):
        return winograd_upsample.upsample_conv2d_input_grad(grad, weight)
    grad, weight = contiguous(grad), contiguous(weight)
    out = empty((n, weight.shape[1], height, width), grad.dtype)
    images, rows, tiles = _tile(n, height, width, _TILE_PIXELS)
    transposed = tuple(contiguous(part.T) for part in _matrices(weight))
    run(_input_grad, chunks_for(tiles, 1), grad, transposed, out, images, rows)
    return out


def upsample_conv2d_weight_grad(x: Array, grad: Array) -> Array:
    """x [N,C,H,W], grad [N,K,2H,2W] -> [K,C,3,3]."""
    if not all_float32(x, grad):
        return reference.upsample_conv2d_weight_grad(x, grad)
    (n, c, height, width), k = x.shape, grad.shape[1]
    if winograd_upsample.suits(n, c, k, (height, width)):
        return winograd_upsample.upsample_conv2d_weight_grad(x, grad)
    x, grad = contiguous(x), contiguous(grad)
    images, rows, tiles = _tile(n, height, width, _WEIGHT_GRAD_TILE_PIXELS)
    sums = empty((min(_WEIGHT_GRAD_CHUNKS, max(tiles, 1)), 9 * k, c), x.dtype)
    run(_weight_grad, len(sums), x, grad, sums, images, rows)
    out = empty((k, c, 3, 3), x.dtype)
    run(_merge_weight_grad, chunks_for(k * c, 4096), sums, out)
    return out
