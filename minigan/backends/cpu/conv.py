"""Convolution, its input gradient and its weight gradient as tiles of windows times a matrix.

All three gather the same thing. A *map* reads a source image at a list of taps (dy, dx):

    out[n, k, i, j] = sum over c, t of  weight[k, c, t] * x[n, c, i*sy + dy[t], j*sx + dx[t]]

with 0 outside the image. The forward convolution is one map: dy = kh * dilation - padding. The
input gradient with strides (sh, sw) is sh * sw maps with source stride 1, one for each residue of
the output position, each with the taps that reach it; no tap is multiplied by a zero between
pixels, and no two threads add to one pixel. So a transposed 4x4 stride-2 convolution runs as four
2x2 ones.

A tile is a run of output rows, over image borders if rows are short. Its windows are gathered
into columns [C*T, pixels], while they fit in cache, and multiplied by [K, C*T] with a one-thread
BLAS call. With few output channels that product would be all gather and no arithmetic, so those
maps multiply first, [K*T, C] times a whole image [C, H*W], and add the T results, each shifted
by its tap. The weight gradient multiplies [K, pixels] by the same columns transposed; each part
of the tiles has its own sum, and the sums are added in order.

One file although it is long: the three gradients of one map share its gather, and numba compiles
anew only when the file of a kernel changes, not the files of its helpers.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from minigan.backends import reference
from minigan.backends.cpu import columns_conv, direct_conv, winograd
from minigan.backends.cpu.threads import all_float32, chunks_for, helper, kernel, run
from minigan.backends.protocol import Array, Pair

_TILE_ELEMENTS = 1 << 18  # columns of one tile: 1 MiB
_FEW_CHANNELS = 3
_SHORT_ROW = 16  # pixels
_WEIGHT_GRAD_CHUNKS = 8
_SUMS_LIMIT = 1 << 23  # elements of all partial weight gradients: 32 MiB


@helper
def _first_inside(offset, step):
    """The first j >= 0 with j * step + offset >= 0."""
    return (-offset + step - 1) // step if offset < 0 else 0


@helper
def _end_inside(offset, step, size, count):
    """The end of the j < count with j * step + offset < size."""
    return max(0, min(count, (size - offset + step - 1) // step))


@helper
def _gather_rows(x, c0, channels, taps, step_h, step_w, height, width, row0, rows, columns):
    """columns [channels*T, rows*width] of the output rows row0.. (image-major) of a map."""
    x_channels, x_height, x_width = x.shape[1:]
    pixels, flat = x.ravel(), columns.ravel()
    for c in range(channels):
        for t in range(taps.shape[0]):
            dy, dx = taps[t, 0], taps[t, 1]
            first = min(_first_inside(dx, step_w), width)
            end = max(first, _end_inside(dx, step_w, x_width, width))
            to = np.uintp((c * taps.shape[0] + t) * rows * width)
            n, i = row0 // height, row0 % height
            for _ in range(rows):
                y = i * step_h + dy
                if y < 0 or y >= x_height:
                    for j in range(np.uintp(width)):
                        flat[to + j] = 0
                else:
                    row = ((n * x_channels + c0 + c) * x_height + y) * x_width + dx
                    for j in range(np.uintp(first)):
                        flat[to + j] = 0
                    # Unsigned positions spare the check for negative ones, so this vectorises.
                    start, skip = np.uintp(row + first * step_w), to + np.uintp(first)
                    if step_w == 1:
                        for j in range(np.uintp(end - first)):
                            flat[skip + j] = pixels[start + j]
                    else:
                        for j in range(np.uintp(end - first)):
                            flat[skip + j] = pixels[start + j * np.uintp(step_w)]
                    for j in range(np.uintp(end), np.uintp(width)):
                        flat[to + j] = 0
                to += np.uintp(width)
                i += 1
                if i == height:
                    n, i = n + 1, 0


@helper
def _gather_pixels(x, c0, channels, taps, step_h, step_w, height, width, row0, rows, columns):
    """The same by a list of positions, which suits short rows."""
    x_channels, x_height, x_width = x.shape[1:]
    pixels, flat = x.ravel(), columns.ravel()
    positions = np.empty(rows * width, np.int64)
    for t in range(taps.shape[0]):
        for r in range(rows):
            n, y = (row0 + r) // height, (row0 + r) % height * step_h + taps[t, 0]
            for j in range(width):
                z = j * step_w + taps[t, 1]
                inside = 0 <= y < x_height and 0 <= z < x_width
                at = ((n * x_channels + c0) * x_height + y) * x_width + z
                positions[r * width + j] = at if inside else -1
        for c in range(channels):
            to, plane = (c * taps.shape[0] + t) * rows * width, c * x_height * x_width
            for p in range(rows * width):
                at = positions[p]
                value = pixels[np.uintp(plane + max(at, 0))]
                flat[np.uintp(to + p)] = value if at >= 0 else np.float32(0)


@helper
def _gather(x, c0, channels, taps, step_h, step_w, height, width, row0, rows, columns):
    if width <= _SHORT_ROW and channels > _FEW_CHANNELS:
        _gather_pixels(x, c0, channels, taps, step_h, step_w, height, width, row0, rows, columns)
    else:
        _gather_rows(x, c0, channels, taps, step_h, step_w, height, width, row0, rows, columns)


@helper
def _product(a, b, out):
    np.dot(a, b, out)


@kernel
def _map_by_products(chunk, chunks, x, weights, taps, maps, bias, out, step_h, step_w, limit):
    """Every map of `maps`, a row each: taps from, to, weights from, first row and column of the
    output, and height and width of the map. Its pixels lie (out_h, out_w) apart in the output."""
    batch, channels, k = x.shape[0], x.shape[1], out.shape[1]
    out_h, out_w = maps[0, 7], maps[0, 8]
    for m in range(maps.shape[0]):
        tap0, tap1, weight0, top, left, height, width = maps[m, :7]
        depth = channels * (tap1 - tap0)
        weight = weights[weight0 : weight0 + k * depth].reshape(k, depth)
        rows = max(1, min(batch * height, limit // max(depth * width, 1)))
        tiles = (batch * height + rows - 1) // rows
        column_buffer = np.empty(depth * rows * width, x.dtype)
        value_buffer = np.empty(k * rows * width, x.dtype)
        for tile in range(chunk * tiles // chunks, (chunk + 1) * tiles // chunks):
            row0 = tile * rows
            r = min(rows, batch * height - row0)
            columns = column_buffer[: depth * r * width].reshape(depth, r * width)
            values = value_buffer[: k * r * width].reshape(k, r * width)
            _gather(
                x, 0, channels, taps[tap0:tap1], step_h, step_w, height, width, row0, r, columns
            )
            _product(weight, columns, values)
            for q in range(k):
                n, y = row0 // height, row0 % height
                for i in range(r):
                    for j in range(width):
                        value = values[q, i * width + j] + bias[q]
                        out[n, q, y * out_h + top, left + j * out_w] = value
                    y += 1
                    if y == height:
                        n, y = n + 1, 0


@kernel
def _map_by_shifts(chunk, chunks, x, weights, taps, maps, bias, out, step_h, step_w, limit):
    """The same maps, products first, for few output channels: [K*T, C] times the pixels [C, H*W]
    of an image, then the sum of the T results, each shifted by its tap."""
    (batch, channels, x_height, x_width), k = x.shape, out.shape[1]
    out_h, out_w = maps[0, 7], maps[0, 8]
    for m in range(maps.shape[0]):
        tap0, tap1, weight0, top, left, height, width = maps[m, :7]
        count = tap1 - tap0
        rows_of = weights[weight0 : weight0 + k * channels * count].reshape(k, channels, count)
        weight = np.empty((k * count, channels), x.dtype)
        for q in range(k):
            for c in range(channels):
                for t in range(count):
                    weight[q * count + t, c] = rows_of[q, c, t]
        values = np.empty((k * count, x_height * x_width), x.dtype)
        flat, total = values.ravel(), np.empty(width, x.dtype)
        for n in range(chunk * batch // chunks, (chunk + 1) * batch // chunks):
            _product(weight, x[n].reshape(channels, x_height * x_width), values)
            for q in range(k):
                for i in range(height):
                    total[:] = bias[q]
                    for t in range(count):
                        y, dx = i * step_h + taps[tap0 + t, 0], taps[tap0 + t, 1]
                        if 0 <= y < x_height:
                            first = min(_first_inside(dx, step_w), width)
                            end = max(first, _end_inside(dx, step_w, x_width, width))
                            row = (q * count + t) * x_height * x_width + y * x_width + dx
                            start, to = np.uintp(row + first * step_w), np.uintp(first)
                            for j in range(np.uintp(end - first)):
                                total[to + j] += flat[start + j * np.uintp(step_w)]
                    for j in range(width):
                        out[n, q, i * out_h + top, left + j * out_w] = total[j]


@kernel
def _weight_grad(chunk, chunks, x, grad, taps, sums, step_h, step_w, limit):
    """sums[part, K, block] of one of the parts of the rows and blocks of the channels."""
    (batch, channels), (k, height, width) = x.shape[:2], grad.shape[1:]
    parts, t = sums.shape[0], taps.shape[0]
    part, block, blocks = chunk % parts, chunk // parts, chunks // parts
    c0, c1 = block * channels // blocks, (block + 1) * channels // blocks
    depth = (c1 - c0) * t
    rows = max(1, min(batch * height, limit // max(depth * width, 1)))
    tiles = (batch * height + rows - 1) // rows
    column_buffer = np.empty(depth * rows * width, x.dtype)
    grad_buffer = np.empty(k * rows * width, x.dtype)
    product = np.empty((k, depth), x.dtype)
    sums[part, :, c0 * t : c1 * t] = 0
    for tile in range(part * tiles // parts, (part + 1) * tiles // parts):
        row0 = tile * rows
        r = min(rows, batch * height - row0)
        columns = column_buffer[: depth * r * width].reshape(depth, r * width)
        grads = grad_buffer[: k * r * width].reshape(k, r * width)
        _gather(x, c0, c1 - c0, taps, step_h, step_w, height, width, row0, r, columns)
        for q in range(k):
            n, y = row0 // height, row0 % height
            for i in range(r):
                for j in range(width):
                    grads[q, i * width + j] = grad[n, q, y, j]
                y += 1
                if y == height:
                    n, y = n + 1, 0
        _product(grads, columns.T, product)
        for q in range(k):
            for d in range(depth):
                sums[part, q, c0 * t + d] += product[q, d]


@kernel
def _add_parts(chunk, chunks, sums, out):
    """sums [parts, M] -> out [M], always in the order of the parts."""
    size = out.shape[0]
    for i in range(chunk * size // chunks, (chunk + 1) * size // chunks):
        out[i] = 0
    for part in range(sums.shape[0]):
        for i in range(chunk * size // chunks, (chunk + 1) * size // chunks):
            out[i] += sums[part, i]


def _taps(kernel_hw: Pair, padding: Pair, dilation: Pair) -> Array:
    """Where the taps of a forward convolution read, relative to i * stride: int64 [KH*KW, 2]."""
    rows, columns = (np.arange(kernel_hw[i]) * dilation[i] - padding[i] for i in (0, 1))
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


def _run_maps(
    x: Array,
    weights: list[Array],
    taps: list[Array],
    corners: list[Pair],
    strides: Pair,
    bias: Array | None,
    out: Array,
    step: Pair,
) -> Array:
    """Run the maps with these weights [K, C*T] and taps [T,2]; map m's pixels start at corner m."""
    (n, k, height, width) = out.shape
    maps, tap, position = [], 0, 0
    for w, t, (top, left) in zip(weights, taps, corners, strict=True):
        size = (-(-(height - top) // strides[0]), -(-(width - left) // strides[1]))
        maps.append((tap, tap + len(t), position, top, left, *size, *strides))
        tap, position = tap + len(t), position + w.size
    run(
        _map_by_shifts if k <= _FEW_CHANNELS else _map_by_products,
        chunks_for(out.size, 1 << 12),
        np.ascontiguousarray(x),
        np.concatenate([w.reshape(-1) for w in weights]),
        np.concatenate(taps),
        np.array(maps),
        np.zeros(k, x.dtype) if bias is None else np.ascontiguousarray(bias),
        out,
        *step,
        _TILE_ELEMENTS,
    )
    return out


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Array:
    """x [N,C,H,W], weight [K,C,KH,KW], bias [K] -> [N,K,OH,OW]."""
    if groups != 1 or not all_float32(x, weight, bias):
        return reference.conv2d(x, weight, bias, stride, padding, dilation, groups)
    k, c, *kernel_hw = weight.shape
    oh, ow = (
        (x.shape[2 + i] + 2 * padding[i] - dilation[i] * (kernel_hw[i] - 1) - 1) // stride[i] + 1
        for i in (0, 1)
    )
    taps = _taps((kernel_hw[0], kernel_hw[1]), padding, dilation)
    if columns_conv.suits(x.shape[0] * oh * ow, weight.size):
        return columns_conv.conv2d(x, weight, bias, taps, stride, (oh, ow))
    pixels = x.shape[0] * oh * ow
    if winograd.suits(x.shape[0], c, weight.shape, stride, dilation, (oh, ow), pixels):
        return winograd.conv2d(x, weight, bias, stride[0], padding, (oh, ow))
    if direct_conv.suits(k, c):
        return direct_conv.conv2d(x, weight, bias, stride, padding, dilation, (oh, ow))
    out = np.empty((x.shape[0], k, oh, ow), x.dtype)
    return _run_maps(x, [weight], [taps], [(0, 0)], (1, 1), bias, out, stride)


def conv2d_input_grad(
    grad: Array,
    weight: Array,
    bias: Array | None,
    input_hw: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Array:
    """grad [N,K,OH,OW], weight [K,C,KH,KW], bias [C] -> [N,C,H,W], also a transposed conv2d."""
    if groups != 1 or not all_float32(grad, weight, bias):
        return reference.conv2d_input_grad(
            grad, weight, bias, input_hw, stride, padding, dilation, groups
        )
    k, c, kh, kw = weight.shape
    taps_read = _taps((kh, kw), padding, dilation)
    if columns_conv.suits(grad[:, 0].size, weight.size):
        return columns_conv.conv2d_input_grad(grad, weight, bias, taps_read, stride, input_hw)
    n, _, *size = grad.shape
    pixels = n * input_hw[0] * input_hw[1] // (stride[0] * stride[1])
    if winograd.suits(n, c, weight.shape, stride, dilation, (size[0], size[1]), pixels):
        return winograd.conv2d_input_grad(grad, weight, bias, stride[0], padding, input_hw)
    if direct_conv.suits(c, k):
        geometry = input_hw, stride, padding, dilation
        return direct_conv.conv2d_input_grad(grad, weight, bias, *geometry)
    out = np.empty((grad.shape[0], c, *input_hw), grad.dtype)
    # Input row y met output row i at tap h when y = i * stride + h * dilation - padding; for the
    # rows y = q * stride + top that is i = q + (top + padding - h * dilation) / stride.
    weights, taps, corners = [], [], []
    for corner in product(*(range(min(s, size)) for s, size in zip(stride, input_hw, strict=True))):
        distance = np.array(corner) - taps_read
        reaching = np.flatnonzero((distance % stride == 0).all(axis=1))
        if reaching.size == 0:
            fill = 0 if bias is None else bias[:, None, None]
            out[:, :, corner[0] :: stride[0], corner[1] :: stride[1]] = fill
            continue
        taps.append(distance[reaching] // stride)
        weights.append(weight.reshape(k, c, -1)[:, :, reaching].transpose(1, 0, 2))
        corners.append((corner[0], corner[1]))
    if not corners:
        return out
    return _run_maps(grad, weights, taps, corners, stride, bias, out, (1, 1))


def conv2d_weight_grad(
    x: Array,
    grad: Array,
    kernel_hw: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Array:
    """x [N,C,H,W], grad [N,K,OH,OW] -> [K,C,KH,KW]."""
    if groups != 1 or not all_float32(x, grad):
        return reference.conv2d_weight_grad(x, grad, kernel_hw, stride, padding, dilation, groups)
    k, c = grad.shape[1], x.shape[1]
    taps = _taps(kernel_hw, padding, dilation)
    if columns_conv.suits(grad[:, 0].size, k * c * len(taps)):
        return columns_conv.conv2d_weight_grad(x, grad, taps, stride, kernel_hw)
    (n, _, *size), shape = grad.shape, (k, c, *kernel_hw)
    pixels = n * size[0] * size[1]
    if winograd.suits(n, c, shape, stride, dilation, (size[0], size[1]), pixels):
        return winograd.conv2d_weight_grad(x, grad, stride[0], padding, kernel_hw)
    return direct_conv.conv2d_weight_grad(x, grad, kernel_hw, stride, padding, dilation)
    if tuple(stride) == (1, 1) and k < c:
        # The sum over p of grad[k, p] x[c, p + tap] is one of x[c, q] grad[k, q - tap] too: the
        # same with exchanged roles, and fewer channels to gather.
        swapped = _weight_products(grad, x, -taps, stride)
        return np.ascontiguousarray(swapped.reshape(c, k, *kernel_hw).swapaxes(0, 1))
    return _weight_products(x, grad, taps, stride).reshape(k, c, *kernel_hw)


def _weight_products(x: Array, grad: Array, taps: Array, stride: Pair) -> Array:
    """sum over n, i, j of grad[n,k,i,j] * x[n, c, i*sh + dy[t], j*sw + dx[t]] -> [K*C*T]."""
    (n, k, height, _), c = grad.shape, x.shape[1]
    size = k * c * len(taps)
    # Wide layers have big sums, so they are cut by input channel instead, which needs none.
    parts = max(1, min(_WEIGHT_GRAD_CHUNKS, _SUMS_LIMIT // max(size, 1), n * height))
    blocks = max(1, min(c, _WEIGHT_GRAD_CHUNKS // parts))
    sums = np.empty((parts, k, c * len(taps)), x.dtype)
    arrays = np.ascontiguousarray(x), np.ascontiguousarray(grad), taps, sums
    run(_weight_grad, parts * blocks, *arrays, *stride, _TILE_ELEMENTS)
    out = np.empty(size, x.dtype)
    run(_add_parts, chunks_for(size, 1 << 14), sums.reshape(parts, -1), out)
    return out
