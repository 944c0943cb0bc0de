"""Launches of the convolution kernels. Layout is NCHW; fp32 throughout."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backends import reference
from minigan.backends.cuda.launch import covered, launcher, pointer
from minigan.backends.protocol import Array, Pair

_TILE = 64  # gemm_tile.cuh: TILE
_THREADS = 256
_BLOCKS = 2 * 132  # enough to keep every multiprocessor of the largest GPUs busy
_SIZES = np.dtype([(field, np.int32) for field in (
    "N", "C", "H", "W", "K", "R", "S", "P", "Q", "stride_h", "stride_w", "pad_h", "pad_w",
    "dilation_h", "dilation_w", "groups",
)])  # fmt: skip  # conv.cuh: Conv


def _sizes(
    x_shape: tuple[int, ...],
    k: int,
    kernel: Pair,
    output: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Any:
    values = (*x_shape, k, *kernel, *output, *stride, *padding, *dilation, groups)
    return np.array(values, dtype=_SIZES)[()]


def _tiles(n: int) -> int:
    return -(-n // _TILE)


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Array:
    """See `protocol.py`."""
    if not covered(x, weight, bias):
        return reference.conv2d(x, weight, bias, stride, padding, dilation, groups)
    to, xp = launcher(), launcher().xp
    (n, _, *hw), (k, _, *kernel) = x.shape, weight.shape
    p, q = (
        (hw[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        for i in (0, 1)
    )
    y = xp.empty((n, k, p, q), dtype=np.float32)
    if y.size == 0:
        return y
    x, weight = xp.ascontiguousarray(x), xp.ascontiguousarray(weight)
    bias = None if bias is None else xp.ascontiguousarray(bias)
    sizes = _sizes(x.shape, k, tuple(kernel), (p, q), stride, padding, dilation, groups)
    grid = (_tiles(n * p * q), _tiles(k // groups), groups)
    to.launch("conv_forward.cu", "conv_forward", grid, _THREADS,
              (x, weight, pointer(bias), y, sizes))  # fmt: skip
    return y


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
    """See `protocol.py`."""
    if not covered(grad, weight, bias):
        return reference.conv2d_input_grad(
            grad, weight, bias, input_hw, stride, padding, dilation, groups
        )
    to, xp = launcher(), launcher().xp
    (n, k, p, q), (_, c, *kernel) = grad.shape, weight.shape
    dx = xp.empty((n, c * groups, *input_hw), dtype=np.float32)
    if dx.size == 0:
        return dx
    grad, weight = xp.ascontiguousarray(grad), xp.ascontiguousarray(weight)
    bias = None if bias is None else xp.ascontiguousarray(bias)
    sizes = _sizes(dx.shape, k, tuple(kernel), (p, q), stride, padding, dilation, groups)
    largest = n * -(-input_hw[0] // stride[0]) * -(-input_hw[1] // stride[1])
    grid = (_tiles(largest), _tiles(c), groups * stride[0] * stride[1])
    to.launch("conv_input_grad.cu", "conv_input_grad", grid, _THREADS,
              (grad, weight, pointer(bias), dx, sizes))  # fmt: skip
    return dx


def conv2d_weight_grad(
    x: Array,
    grad: Array,
    kernel_hw: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Array:
    """See `protocol.py`."""
    if not covered(x, grad):
        return reference.conv2d_weight_grad(x, grad, kernel_hw, stride, padding, dilation, groups)
    to, xp = launcher(), launcher().xp
    (n, k, p, q), c = grad.shape, x.shape[1] // groups
    weight_grad = xp.zeros((k, c, *kernel_hw), dtype=np.float32)
    if grad.size == 0 or weight_grad.size == 0:
        return weight_grad
    x, grad = xp.ascontiguousarray(x), xp.ascontiguousarray(grad)
    tiles = (_tiles(c * kernel_hw[0] * kernel_hw[1]), _tiles(k // groups))
    # More pieces than slices of 16 pixels would be empty.
    splits = max(1, min(_BLOCKS // (tiles[0] * tiles[1] * groups), -(-n * p * q // 16)))
    partial = xp.empty((splits, *weight_grad.shape), dtype=np.float32)
    sizes = _sizes(x.shape, k, kernel_hw, (p, q), stride, padding, dilation, groups)
    to.launch("conv_weight_grad.cu", "conv_weight_grad", (*tiles, groups * splits), _THREADS,
              (x, grad, partial, sizes, np.int32(splits)))  # fmt: skip
    size = weight_grad.size
    to.launch("conv_weight_grad.cu", "sum_splits", (-(-size // 256),), 256,
              (partial, weight_grad, np.int32(size), np.int32(splits)))  # fmt: skip
    return weight_grad
