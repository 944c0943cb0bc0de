"""Launches of nearest upsampling and its adjoint, and of the convolution behind it."""

from __future__ import annotations

import math

import numpy as np

from minigan.backends import reference
from minigan.backends.cuda.conv import conv2d, conv2d_input_grad, conv2d_weight_grad
from minigan.backends.cuda.launch import covered, launcher
from minigan.backends.protocol import Array, Pair

_THREADS = 256
_THREE_BY_THREE = ((1, 1), (1, 1), (1, 1), 1)  # stride, padding, dilation, groups


def upsample_nearest(x: Array, scale: Pair) -> Array:
    """See `protocol.py`."""
    (n, c, h, w), (sh, sw) = x.shape, scale
    shape = (n, c, h * sh, w * sw)
    if not covered(x) or math.prod(shape) >= 1 << 31:
        return reference.upsample_nearest(x, scale)
    return _launched("upsample_nearest", x, shape, w, scale)


def block_sum(x: Array, scale: Pair) -> Array:
    """See `protocol.py`."""
    if not covered(x):
        return reference.block_sum(x, scale)
    (n, c, h, w), (sh, sw) = x.shape, scale
    return _launched("block_sum", x, (n, c, h // sh, w // sw), w // sw, scale)


def _launched(kernel: str, x: Array, shape: tuple[int, ...], width: int, scale: Pair) -> Array:
    """`width` is that of the small side."""
    to, xp = launcher(), launcher().xp
    y = xp.empty(shape, dtype=np.float32)
    if y.size:
        sizes = map(np.uint32, (y.size, width, *scale))
        args = (xp.ascontiguousarray(x), y, *sizes)
        to.launch("resample.cu", kernel, (-(-y.size // _THREADS),), _THREADS, args)
    return y


def upsample_conv2d(x: Array, weight: Array, bias: Array | None) -> Array:
    """See `protocol.py`."""
    return conv2d(upsample_nearest(x, (2, 2)), weight, bias, *_THREE_BY_THREE)


def upsample_conv2d_input_grad(grad: Array, weight: Array) -> Array:
    """See `protocol.py`."""
    upsampled = conv2d_input_grad(grad, weight, None, grad.shape[2:], *_THREE_BY_THREE)
    return block_sum(upsampled, (2, 2))


def upsample_conv2d_weight_grad(x: Array, grad: Array) -> Array:
    """See `protocol.py`."""
    return conv2d_weight_grad(upsample_nearest(x, (2, 2)), grad, (3, 3), *_THREE_BY_THREE)
