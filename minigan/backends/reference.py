"""Every kernel in plain array code: the oracle of the other backends, and their fallback.

One file although it is long: it is read against `protocol.py`, in the same order. Each kernel is
the shortest vectorised form of its definition; speed is the business of `cpu/` and `cuda/`.
The array namespace comes from the argument, so CuPy arrays run the same lines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigan.backends.protocol import Array, Pair
from minigan.device import gpu_index


def _namespace(array: Array) -> Any:
    """numpy for arrays on the host, else cupy, which is imported only then."""
    if isinstance(array, np.ndarray | np.generic) or gpu_index(array) is None:
        return np
    from minigan.backends.cuda.launch import launcher

    return launcher().xp


def _array(value: Any) -> Array:
    """An array: NumPy's functions of a 0-d array return scalars."""
    return np.asarray(value) if isinstance(value, np.generic) else value


# --- convolution ---


def _pad(x: Array, padding: Pair) -> Array:
    (ph, pw) = padding
    if ph == pw == 0:
        return x
    return _namespace(x).pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))


def _windows(x: Array, kernel: Pair, stride: Pair, dilation: Pair, output_hw: Pair) -> Array:
    """A read-only view [N,C,OH,OW,KH,KW] of a padded x: the pixels under each kernel tap."""
    n, c = x.shape[:2]
    sn, sc, sh, sw = x.strides
    return _namespace(x).lib.stride_tricks.as_strided(
        x,
        shape=(n, c, *output_hw, *kernel),
        strides=(sn, sc, sh * stride[0], sw * stride[1], sh * dilation[0], sw * dilation[1]),
    )


def _output_hw(
    input_hw: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> tuple[int, int]:
    height, width = (
        (input_hw[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        for i in (0, 1)
    )
    return height, width


def _group_slices(channels: int, groups: int) -> list[slice]:
    size = channels // groups
    return [slice(g * size, (g + 1) * size) for g in range(groups)]


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Array:
    """Windows [N,C,OH,OW,KH,KW] against weights [K,C,KH,KW], contracted over C, KH and KW."""
    xp = _namespace(x)
    out_channels, _, *kernel = weight.shape
    oh, ow = _output_hw(x.shape[2:], tuple(kernel), stride, padding, dilation)
    windows = _windows(_pad(x, padding), tuple(kernel), stride, dilation, (oh, ow))
    out = xp.empty((x.shape[0], out_channels, oh, ow), dtype=x.dtype)
    c_slices, k_slices = _group_slices(x.shape[1], groups), _group_slices(out_channels, groups)
    for c, k in zip(c_slices, k_slices, strict=True):
        # [N,c,OH,OW,KH,KW] . [k,c,KH,KW] -> [N,OH,OW,k]
        product = xp.tensordot(windows[:, c], weight[k], axes=((1, 4, 5), (1, 2, 3)))
        out[:, k] = product.transpose(0, 3, 1, 2)
    if bias is not None:
        out += bias[:, None, None].astype(x.dtype, copy=False)
    return out


def conv2d_activation(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    slope: float,
) -> Array:
    """The definition: convolve, then activate."""
    return _activated(conv2d(x, weight, bias, stride, padding, dilation, groups), slope)


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
    """Each kernel tap sends its share of the gradient back to the pixels that it read."""
    xp = _namespace(grad)
    (n, out_channels, oh, ow), (kh, kw) = grad.shape, weight.shape[2:]
    in_channels = weight.shape[1] * groups
    (h, w), (ph, pw), (sh, sw), (dh, dw) = input_hw, padding, stride, dilation
    padded = xp.zeros((n, in_channels, h + 2 * ph, w + 2 * pw), dtype=grad.dtype)
    c_slices, k_slices = _group_slices(in_channels, groups), _group_slices(out_channels, groups)
    for c, k in zip(c_slices, k_slices, strict=True):
        # [k,c,KH,KW] . [N,k,OH,OW] -> [c,KH,KW,N,OH,OW]
        shares = xp.tensordot(weight[k], grad[:, k], axes=((0,), (1,)))
        for i in range(kh):
            rows = slice(i * dh, i * dh + (oh - 1) * sh + 1, sh)
            for j in range(kw):
                columns = slice(j * dw, j * dw + (ow - 1) * sw + 1, sw)
                padded[:, c, rows, columns] += shares[:, i, j].transpose(1, 0, 2, 3)
    out = xp.ascontiguousarray(padded[:, :, ph : ph + h, pw : pw + w])
    if bias is not None:
        out += bias[:, None, None].astype(grad.dtype, copy=False)
    return out


def conv2d_weight_grad(
    x: Array,
    grad: Array,
    kernel_hw: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Array:
    """Windows [N,C,OH,OW,KH,KW] against grad [N,K,OH,OW], contracted over N, OH and OW."""
    xp = _namespace(x)
    in_channels, out_channels = x.shape[1], grad.shape[1]
    windows = _windows(_pad(x, padding), kernel_hw, stride, dilation, grad.shape[2:])
    out = xp.empty((out_channels, in_channels // groups, *kernel_hw), dtype=x.dtype)
    c_slices, k_slices = _group_slices(in_channels, groups), _group_slices(out_channels, groups)
    for c, k in zip(c_slices, k_slices, strict=True):
        # [N,k,OH,OW] . [N,c,OH,OW,KH,KW] -> [k,c,KH,KW]
        out[k] = xp.tensordot(grad[:, k], windows[:, c], axes=((0, 2, 3), (0, 2, 3)))
    return out


# --- nearest upsampling by 2 before a 3x3 convolution ---


def upsample_conv2d(x: Array, weight: Array, bias: Array | None) -> Array:
    """The definition: upsample, then convolve."""
    return conv2d(upsample_nearest(x, (2, 2)), weight, bias, (1, 1), (1, 1), (1, 1), 1)


def upsample_conv2d_input_grad(grad: Array, weight: Array) -> Array:
    """Back through the convolution, then the sum of each 2x2 block."""
    hw = grad.shape[2:]
    upsampled = conv2d_input_grad(grad, weight, None, hw, (1, 1), (1, 1), (1, 1), 1)
    return block_sum(upsampled, (2, 2))


def upsample_conv2d_weight_grad(x: Array, grad: Array) -> Array:
    """The convolution's weight gradient at the upsampled input."""
    upsampled = upsample_nearest(x, (2, 2))
    return conv2d_weight_grad(upsampled, grad, (3, 3), (1, 1), (1, 1), (1, 1), 1)


# --- sums ---


def sum(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """numpy.sum."""
    return _array(x.sum(axis=axes, keepdims=keepdims))


# --- linear algebra ---


def matmul(a: Array, b: Array) -> Array:
    """numpy.matmul."""
    return _array(_namespace(a).matmul(a, b))


def add_matmul(total: Array, a: Array, b: Array) -> None:
    """total += a @ b, in place."""
    total += matmul(a, b)


def linear_activation(x: Array, weight: Array, bias: Array | None, slope: float) -> Array:
    """The definition: multiply, add, activate."""
    z = matmul(x, weight.T)
    return _activated(z if bias is None else z + bias, slope)


def _activated(z: Array, slope: float) -> Array:
    if slope == 1:
        return z
    return leaky_relu(z, slope) if slope else relu(z)


def bias_activation_backward(grad: Array, y: Array, slope: float) -> tuple[Array, Array]:
    """Back through the activation; the bias is added to every pixel of every row."""
    through = _through_activation(grad, y, slope)
    return through, sum(through, _all_but_channels(grad), False)


def _through_activation(grad: Array, y: Array, slope: float) -> Array:
    """By the sign of the activation's result, for slopes that are not negative."""
    if slope == 1:
        return grad
    return leaky_relu_backward(grad, y, slope) if slope else relu_backward(grad, y)


# --- normalisation ---


def _mean(x: Array, axes: tuple[int, ...]) -> Array:
    """Mean over `axes`, kept as axes of length 1; summed in float64; 0 where there is nothing."""
    count = math.prod(x.shape[axis] for axis in axes)
    total = x.sum(axis=axes, keepdims=True, dtype="float64")
    return (total / max(count, 1)).astype(x.dtype)


def _standardise(x: Array, axes: tuple[int, ...], eps: float) -> tuple[Array, Array, Array]:
    mean = _mean(x, axes)
    centred = x - mean
    var = _mean(centred * centred, axes)
    return centred / _namespace(x).sqrt(var + eps), mean, var


def _standardise_backward(grad: Array, xhat: Array, std: Array, axes: tuple[int, ...]) -> Array:
    return (grad - _mean(grad, axes) - xhat * _mean(grad * xhat, axes)) / std


def _per_channel(values: Array, ndim: int) -> Array:
    return values.reshape((1, -1) + (1,) * (ndim - 2))


def _all_but_channels(x: Array) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def batch_norm(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """y = (x - mean) / sqrt(var + eps) * weight + bias, channel by channel."""
    y, mean, var = _standardise(x, _all_but_channels(x), eps)
    if weight is not None:
        y = y * _per_channel(weight, x.ndim)
    if bias is not None:
        y = y + _per_channel(bias, x.ndim)
    return y, mean.reshape(-1), var.reshape(-1)


def batch_norm_backward(
    grad: Array, x: Array, weight: Array | None, mean: Array, var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """With g = grad * weight: grad_x = (g - mean(g) - xhat * mean(g * xhat)) / std."""
    axes = _all_but_channels(x)
    std = _namespace(x).sqrt(_per_channel(var, x.ndim) + eps)
    xhat = (x - _per_channel(mean, x.ndim)) / std
    grad_weight = (grad * xhat).sum(axis=axes, dtype="float64").astype(grad.dtype)
    grad_bias = grad.sum(axis=axes, dtype="float64").astype(grad.dtype)
    scaled = grad if weight is None else grad * _per_channel(weight, x.ndim)
    return _standardise_backward(scaled, xhat, std, axes), grad_weight, grad_bias


def row_norm(x: Array, eps: float) -> tuple[Array, Array, Array]:
    """xhat = (x - mean) / sqrt(var + eps), row by row."""
    xhat, mean, var = _standardise(x, (1,), eps)
    return xhat, mean.reshape(-1), var.reshape(-1)


def row_norm_backward(grad: Array, xhat: Array, var: Array, eps: float) -> Array:
    """grad_x = (grad - mean(grad) - xhat * mean(grad * xhat)) / std."""
    return _standardise_backward(grad, xhat, _namespace(grad).sqrt(var + eps)[:, None], (1,))


def batch_norm_activation(
    x: Array, weight: Array | None, bias: Array | None, eps: float, slope: float
) -> tuple[Array, Array, Array]:
    """The definition: normalise, then activate."""
    z, mean, var = batch_norm(x, weight, bias, eps)
    return _activated(z, slope), mean, var


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
    """Back through the activation, then through the normalisation."""
    through = _through_activation(grad, y, slope)
    return batch_norm_backward(through, x, weight, mean, var, eps)


def move_running(
    running_mean: Array,
    running_var: Array,
    mean: Array,
    var: Array,
    momentum: float,
    unbiased: float,
) -> None:
    """r = (1 - momentum) r + momentum value, in place."""
    running_mean[...] = (1 - momentum) * running_mean + momentum * mean
    running_var[...] = (1 - momentum) * running_var + momentum * unbiased * var


# --- sums and limits, element by element ---


def add(a: Array, b: Array) -> Array:
    """a + b."""
    return _array(a + b)


def clip_to(x: Array, low: float | None, high: float | None) -> None:
    """x limited to [low, high], in place."""
    x.clip(low, high, out=x)


def add_to(total: Array, values: Array) -> None:
    """total += values, in place."""
    total += values


# --- dropout ---


def apply_mask(x: Array, mask: Array) -> Array:
    """x * mask, which broadcasts along the last axes."""
    return _array(x * mask)


# --- activations ---


def relu(x: Array) -> Array:
    """max(x, 0); NaN stays NaN."""
    return _array(_namespace(x).maximum(x, 0))


def relu_backward(grad: Array, y: Array) -> Array:
    """grad where y > 0, else 0."""
    return _namespace(grad).where(y > 0, grad, grad.dtype.type(0))


def leaky_relu(x: Array, slope: float) -> Array:
    """x where x > 0, else slope * x."""
    return _namespace(x).where(x > 0, x, x * float(slope))


def leaky_relu_backward(grad: Array, x: Array, slope: float) -> Array:
    """grad where x > 0, else slope * grad."""
    return _namespace(grad).where(x > 0, grad, grad * float(slope))


def tanh(x: Array) -> Array:
    """Hyperbolic tangent."""
    return _array(_namespace(x).tanh(x))


def tanh_backward(grad: Array, y: Array) -> Array:
    """grad * (1 - y*y)."""
    return _array(grad * (1 - y * y))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)); the exponent is never positive, so it cannot overflow."""
    xp = _namespace(x)
    decay = xp.exp(-abs(x))
    return xp.where(x >= 0, 1 / (1 + decay), decay / (1 + decay))


def sigmoid_backward(grad: Array, y: Array) -> Array:
    """grad * y * (1 - y)."""
    return _array(grad * y * (1 - y))


def softplus(x: Array, beta: float) -> Array:
    """max(z, 0) + ln(1 + exp(-|z|)), z = beta x, divided by beta."""
    xp, z = _namespace(x), x * beta
    return _array((xp.maximum(z, 0) + xp.log1p(xp.exp(-xp.abs(z)))) / beta)


def softplus_backward(grad: Array, x: Array, beta: float) -> Array:
    """grad * sigmoid(beta x)."""
    return _array(grad * sigmoid(x * beta))


def log_softmax(x: Array, axis: int) -> Array:
    """x - ln sum exp(x), shifted by the maximum."""
    xp = _namespace(x)
    shifted = x - x.max(axis=axis, keepdims=True)
    return _array(shifted - xp.log(xp.exp(shifted).sum(axis=axis, keepdims=True)))


def log_softmax_backward(grad: Array, y: Array, axis: int) -> Array:
    """grad - exp(y) sum(grad)."""
    xp = _namespace(grad)
    return _array(grad - xp.exp(y) * grad.sum(axis=axis, keepdims=True))


def pair_loss(kind: str, x: Array, target: Array, scale: float) -> Array:
    """The loss of each element, summed, times scale."""
    xp = _namespace(x)
    if kind == "bce":
        loss = softplus(x, 1.0) - target * x
    else:
        difference = x - target
        loss = xp.abs(difference) if kind == "l1" else difference * difference
    return _array(loss.sum() * scale)


def pair_loss_backward(kind: str, grad: Array, x: Array, target: Array, scale: float) -> Array:
    """The slope of each element's loss, times grad and scale."""
    xp = _namespace(x)
    if kind == "bce":
        slope = sigmoid(x) - target
    else:
        slope = xp.sign(x - target) if kind == "l1" else 2 * (x - target)
    return _array(grad * scale * slope)


def cross_entropy(x: Array, labels: Array, ignored: int) -> Array:
    """The negative log-probability of each label that is not ignored."""
    kept = labels != ignored
    picked = _namespace(x).take_along_axis(log_softmax(x, 1), (labels * kept)[:, None], 1)[:, 0]
    return picked * -kept.astype(x.dtype)


def cross_entropy_backward(grad: Array, x: Array, labels: Array, ignored: int) -> Array:
    """grad (softmax(x) - [k = label])."""
    xp, kept = _namespace(x), labels != ignored
    hot = labels[:, None] == xp.arange(x.shape[1])
    return (xp.exp(log_softmax(x, 1)) - hot) * (grad * kept)[:, None]


# --- resampling ---


def upsample_nearest(x: Array, scale: Pair) -> Array:
    """Each pixel repeated."""
    n, c, h, w = x.shape
    sh, sw = scale
    blocks = _namespace(x).broadcast_to(x[:, :, :, None, :, None], (n, c, h, sh, w, sw))
    return blocks.reshape(n, c, h * sh, w * sw)


def block_sum(x: Array, scale: Pair) -> Array:
    """The sum of each block."""
    n, c, h, w = x.shape
    sh, sw = scale
    return x.reshape(n, c, h // sh, sh, w // sw, sw).sum(axis=(3, 5))


def padded_from(length: int, before: int, after: int, mode: str) -> np.ndarray:
    """For each position of a padded axis, the position from which it is copied."""
    at = np.arange(-before, length + after)
    if mode == "reflect":
        return (length - 1) - np.abs((length - 1) - np.abs(at))
    return np.clip(at, 0, length - 1) if mode == "replicate" else at % length


def pad2d(x: Array, widths: tuple[int, int, int, int], mode: str) -> Array:
    """Rows and columns gathered."""
    (left, right, top, bottom), (h, w) = widths, x.shape[2:]
    rows, columns = padded_from(h, top, bottom, mode), padded_from(w, left, right, mode)
    xp = _namespace(x)
    return x[:, :, xp.asarray(rows)[:, None], xp.asarray(columns)]


def pad2d_adjoint(
    grad: Array, input_hw: Pair, widths: tuple[int, int, int, int], mode: str
) -> Array:
    """Rows added up, then columns: a border at a time, from before to after."""
    left, right, top, bottom = widths
    rows = _folded(grad, 2, input_hw[0], top, bottom, mode)
    return _folded(rows, 3, input_hw[1], left, right, mode)


def _folded(x: Array, axis: int, length: int, before: int, after: int, mode: str) -> Array:
    """The borders of an axis added to the lines that they were copied from."""

    def line(i: int) -> tuple[Any, ...]:
        return (slice(None),) * axis + (i,)

    inside = (slice(None),) * axis + (slice(before, before + length),)
    out = _namespace(x).array(x[inside], order="C")
    source = padded_from(length, before, after, mode)
    for i in (*range(before), *range(before + length, before + length + after)):
        out[line(source[i])] += x[line(i)]
    return out


def max_pool2d_indices(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, output_hw: Pair
) -> Array:
    """Flat position of each window's maximum; every window must hold a pixel of the image."""
    xp = _namespace(x)
    n, c, h, w = x.shape
    # Rounding the output size up makes the last windows reach past the symmetric padding.
    after = [
        max((output_hw[i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 - size, 0)
        for i, size in enumerate((h + padding[0], w + padding[1]))
    ]
    margins = ((0, 0), (0, 0), (padding[0], after[0]), (padding[1], after[1]))
    position = xp.arange(h * w).reshape(1, 1, h, w)

    def taps(image: Array, fill: float) -> Array:
        padded = xp.pad(image, margins, constant_values=fill)
        windows = _windows(padded, kernel, stride, dilation, output_hw)
        return windows.reshape(*windows.shape[:4], kernel[0] * kernel[1])

    positions = taps(position, -1)  # [1,1,OH,OW,KH*KW]
    inside = positions >= 0
    best = taps(x, -xp.inf).argmax(axis=-1)  # [N,C,OH,OW]; argmax takes the first, and NaN first
    # Padding is -inf: it is chosen only before pixels which are -inf too, and must not be.
    best = xp.where(
        xp.take_along_axis(inside, best[..., None], -1)[..., 0], best, inside.argmax(-1)
    )
    return xp.take_along_axis(positions, best[..., None], axis=-1)[..., 0].astype("int64")


def gather_last(values: Array, index: Array) -> Array:
    """out[m, l] = values[m, index[m, l]]."""
    return _namespace(values).take_along_axis(values, index, -1)


def scatter_add_last(values: Array, index: Array, size: int) -> Array:
    """out[m, index[m, l]] += values[m, l], in the order of l."""
    xp = _namespace(values)
    out = xp.zeros((values.shape[0], size), dtype=values.dtype)
    xp.add.at(out, (xp.arange(values.shape[0])[:, None], index), values)
    return out


def scatter_add_rows(values: Array, index: Array, size: int) -> Array:
    """out[index[l]] += values[l], in the order of l."""
    xp = _namespace(values)
    out = xp.zeros((size, values.shape[1]), dtype=values.dtype)
    xp.add.at(out, index, values)
    return out


# --- random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers", 2011) ---

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)  # golden ratio, sqrt(3) - 1
_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)


def philox_blocks(counter: Array, key: tuple[int, int]) -> Array:
    """Ten rounds: counter, uint32 [M,4], and two key words -> uint32 [M,4]."""
    c0, c1, c2, c3 = (counter[:, lane].astype(np.uint64) for lane in range(4))
    for rnd in range(10):
        k0, k1 = (
            np.uint64((word + rnd * step) & 0xFFFFFFFF)
            for word, step in zip(key, _KEY_STEPS, strict=True)
        )
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (product1 >> _WORD) ^ c1 ^ k0,
            product1 & _LOW,
            (product0 >> _WORD) ^ c3 ^ k1,
            product0 & _LOW,
        )
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def philox(seed: int, offset: int, n: int) -> Array:
    """uint32 [n], four words a block; block b has the counter offset + b."""
    low64 = np.arange(-(-n // 4), dtype=np.uint64) + np.uint64(offset & 0xFFFFFFFFFFFFFFFF)
    counter = np.zeros((len(low64), 4), dtype=np.uint32)
    counter[:, 0] = low64 & _LOW
    counter[:, 1] = low64 >> _WORD
    return philox_blocks(counter, (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF)).reshape(-1)[:n]


def philox_uniform(seed: int, offset: int, n: int) -> Array:
    """float32 [n] in [0, 1), from the 24 high bits of each word."""
    return (philox(seed, offset, n) >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def philox_mask(seed: int, offset: int, n: int, p: float) -> Array:
    """float32 [n]: 0 with probability p, else 1 / (1 - p)."""
    kept = philox_uniform(seed, offset, n) >= np.float32(p)
    return kept.astype(np.float32) * np.float32(1 / (1 - p))


def philox_normal(seed: int, offset: int, n: int) -> Array:
    """float32 [n], Box-Muller on pairs of words; u is never 0, so the logarithm is finite."""
    words = philox(seed, offset, n + n % 2).reshape(-1, 2) >> np.uint32(8)
    radius = np.sqrt(-2 * np.log((words[:, 0] + 1.0) * 2**-24))
    angle = 2 * np.pi * (words[:, 1] * 2**-24)
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return pairs.astype(np.float32).reshape(-1)[:n]


# --- optimisers ---


def sgd_step(
    param: Array,
    grad: Array,
    momentum_buffer: Array | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first: bool,
) -> None:
    """torch.optim.SGD, in place."""
    if weight_decay != 0:
        grad = grad + weight_decay * param
    if momentum != 0 and momentum_buffer is not None:
        if first:
            momentum_buffer[...] = grad
        else:
            momentum_buffer *= momentum
            momentum_buffer += (1 - dampening) * grad
        grad = grad + momentum * momentum_buffer if nesterov else momentum_buffer
    param -= lr * grad


def adam_step(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: int,
) -> None:
    """torch.optim.Adam, or AdamW when decoupled, in place."""
    if decoupled:
        param *= 1 - lr * weight_decay
    elif weight_decay != 0:
        grad = grad + weight_decay * param
    exp_avg += (1 - beta1) * (grad - exp_avg)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * (grad * grad)
    denominator = _namespace(param).sqrt(exp_avg_sq) / math.sqrt(1 - beta2**step) + eps
    param -= lr / (1 - beta1**step) * (exp_avg / denominator)


def rmsprop_step(
    param: Array,
    grad: Array,
    square_avg: Array,
    momentum_buffer: Array | None,
    grad_avg: Array | None,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
) -> None:
    """torch.optim.RMSprop, centered when grad_avg is given, in place."""
    xp = _namespace(param)
    if weight_decay != 0:
        grad = grad + weight_decay * param
    square_avg *= alpha
    square_avg += (1 - alpha) * (grad * grad)
    variance = square_avg
    if grad_avg is not None:
        grad_avg += (1 - alpha) * (grad - grad_avg)
        # A variance, so never negative, but rounding may say otherwise.
        variance = xp.maximum(square_avg - grad_avg * grad_avg, 0)
    update = grad / (xp.sqrt(variance) + eps)
    if momentum > 0 and momentum_buffer is not None:
        momentum_buffer *= momentum
        momentum_buffer += update
        update = momentum_buffer
    param -= lr * update


def sgd_steps(
    params: Sequence[Array],
    grads: Sequence[Array],
    momentum_buffers: Sequence[Array | None],
    clock: Array,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first: bool,
    one: Callable[..., None] = sgd_step,
) -> None:
    """One by one; `one` is the backend's step of a single parameter."""
    rest = (float(clock[0]), momentum, dampening, weight_decay, nesterov, first)
    for arrays in zip(params, grads, momentum_buffers, strict=True):
        one(*arrays, *rest)


def adam_steps(
    params: Sequence[Array],
    grads: Sequence[Array],
    exp_avgs: Sequence[Array],
    exp_avg_sqs: Sequence[Array],
    clock: Array,
    rows: Sequence[int],
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    one: Callable[..., None] = adam_step,
) -> None:
    """One by one; `one` is the backend's step of a single parameter."""
    rest = (float(clock[0]), beta1, beta2, eps, weight_decay, decoupled)
    for row, *arrays in zip(rows, params, grads, exp_avgs, exp_avg_sqs, strict=True):
        clock[1 + row] += 1
        one(*arrays, *rest, int(clock[1 + row]))


def rmsprop_steps(
    params: Sequence[Array],
    grads: Sequence[Array],
    square_avgs: Sequence[Array],
    momentum_buffers: Sequence[Array | None],
    grad_avgs: Sequence[Array | None],
    clock: Array,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    one: Callable[..., None] = rmsprop_step,
) -> None:
    """One by one; `one` is the backend's step of a single parameter."""
    rest = (float(clock[0]), alpha, eps, weight_decay, momentum)
    for arrays in zip(params, grads, square_avgs, momentum_buffers, grad_avgs, strict=True):
        one(*arrays, *rest)
