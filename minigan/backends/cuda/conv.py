"""Launches of the convolution kernels, as `conv_plan.py` says. Layout is NCHW, results are fp32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.backends import reference
from minigan.backends.cuda import conv_plan
from minigan.backends.cuda.conv_plan import Conv, Plan
from minigan.backends.cuda.launch import NULL, Launcher, covered, launcher, pointer
from minigan.backends.cuda.precision import get_precision
from minigan.backends.protocol import Array, Pair

_SIZES = np.dtype([(field, np.int32) for field in (
    "N", "C", "H", "W", "K", "R", "S", "P", "Q", "stride_h", "stride_w", "pad_h", "pad_w",
    "dilation_h", "dilation_w", "groups",
)])  # fmt: skip  # conv.cuh: Conv


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    plan: Plan | None = None,
) -> Array:
    """See `protocol.py`. `plan` takes the place of the rule's choice."""
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
    conv = _conv(x.shape, k, kernel, (p, q), stride, padding, dilation, groups)
    plan = plan or conv_plan.forward(conv, get_precision(), gpu(to))
    x, weight = xp.ascontiguousarray(x), xp.ascontiguousarray(weight)
    sizes = _sizes(conv)
    if plan.kernel == "simt":
        grid = (*_grid(plan, k // groups, conv.pixels), groups)
        to.launch("conv_forward.cu", "conv_forward", grid, 256,
                  (x, weight, _bias(xp, bias), y, sizes))  # fmt: skip
    elif plan.kernel == "few_inputs":
        grid = (*_grid(plan, k // groups, conv.pixels), groups)
        to.launch("conv_direct.cu", "conv_forward_few_inputs", grid, 256,
                  (x, weight, _bias(xp, bias), y, sizes))  # fmt: skip
    elif plan.kernel == "few_outputs":
        grid = (*_grid(plan, k // groups, conv.pixels), groups * plan.splits)
        _in_parts(to, plan.splits, bias, y, lambda bias, y: to.launch(
            "conv_direct.cu", "conv_forward_few_outputs", grid, 256,
            (x, weight, bias, y, sizes, np.int32(plan.splits)),
        ))  # fmt: skip
    else:
        grid = (*_grid(plan, k, conv.pixels), plan.splits)
        _in_parts(to, plan.splits, bias, y, lambda bias, y: to.launch(
            "conv_forward_tf32.cu", _entry("conv_forward", plan), grid, 128,
            (x, weight, bias, y, sizes, np.int32(plan.splits)),
        ))  # fmt: skip
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
    plan: Plan | None = None,
) -> Array:
    """See `protocol.py`. `plan` takes the place of the rule's choice."""
    if not covered(grad, weight, bias):
        return reference.conv2d_input_grad(
            grad, weight, bias, input_hw, stride, padding, dilation, groups
        )
    to, xp = launcher(), launcher().xp
    (n, k, p, q), (_, c, *kernel) = grad.shape, weight.shape
    dx = xp.empty((n, c * groups, *input_hw), dtype=np.float32)
    if dx.size == 0:
        return dx
    conv = _conv(dx.shape, k, kernel, (p, q), stride, padding, dilation, groups)
    plan = plan or conv_plan.input_grad(conv, get_precision(), gpu(to))
    grad, weight = xp.ascontiguousarray(grad), xp.ascontiguousarray(weight)
    sizes, tiles = _sizes(conv), _grid(plan, c, conv.phase_pixels)
    if plan.kernel == "simt":
        to.launch("conv_input_grad.cu", "conv_input_grad", (*tiles, groups * conv.phases), 256,
                  (grad, weight, _bias(xp, bias), dx, sizes))  # fmt: skip
    elif plan.kernel == "few_inputs":
        to.launch("conv_direct.cu", "conv_input_grad_few_inputs", (*tiles, groups * conv.phases),
                  256, (grad, weight, _bias(xp, bias), dx, sizes))  # fmt: skip
    elif plan.kernel == "few_outputs":
        grid = (*tiles, groups * conv.phases * plan.splits)
        _in_parts(to, plan.splits, bias, dx, lambda bias, dx: to.launch(
            "conv_direct.cu", "conv_input_grad_few_outputs", grid, 256,
            (grad, weight, bias, dx, sizes, np.int32(plan.splits)),
        ))  # fmt: skip
    else:
        # Each phase's weights, in the order in which the kernel multiplies them.
        phase_size = k * c * conv.phase_taps
        packed = xp.empty((conv.phases, phase_size), dtype=np.float32)
        to.launch("conv_input_grad_tf32.cu", "pack_weights", (-(-phase_size // 256), conv.phases),
                  256, (weight, packed, sizes, np.int32(phase_size)))  # fmt: skip
        grid = (*tiles, conv.phases * plan.splits)
        _in_parts(to, plan.splits, bias, dx, lambda bias, dx: to.launch(
            "conv_input_grad_tf32.cu", _entry("conv_input_grad", plan), grid, 128,
            (grad, packed, bias, dx, sizes, np.int32(phase_size), np.int32(plan.splits)),
        ))  # fmt: skip
    return dx


def conv2d_weight_grad(
    x: Array,
    grad: Array,
    kernel_hw: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    plan: Plan | None = None,
) -> Array:
    """See `protocol.py`. `plan` takes the place of the rule's choice."""
    if not covered(x, grad):
        return reference.conv2d_weight_grad(x, grad, kernel_hw, stride, padding, dilation, groups)
    to, xp = launcher(), launcher().xp
    (_, k, p, q), c = grad.shape, x.shape[1] // groups
    weight_grad = xp.zeros((k, c, *kernel_hw), dtype=np.float32)
    if grad.size == 0 or weight_grad.size == 0:
        return weight_grad
    conv = _conv(x.shape, k, kernel_hw, (p, q), stride, padding, dilation, groups)
    plan = plan or conv_plan.weight_grad(conv, get_precision(), gpu(to))
    x, grad = xp.ascontiguousarray(x), xp.ascontiguousarray(grad)
    if plan.kernel == "few_filters":
        file, entry, block = "conv_weight_grad_direct.cu", "conv_weight_grad_few_filters", 256
        grid: tuple[int, ...] = (-(-c * groups * kernel_hw[0] // 8), plan.splits)
    elif plan.kernel == "simt":
        file, entry, block = "conv_weight_grad.cu", "conv_weight_grad", 256
        grid = (*_grid(plan, k // groups, c * conv.taps), groups * plan.splits)
    else:
        file, entry, block = "conv_weight_grad_tf32.cu", _entry("conv_weight_grad", plan), 128
        grid = (*_grid(plan, k, c * conv.taps), plan.splits)
    sizes, splits = _sizes(conv), np.int32(plan.splits)
    _in_parts(to, plan.splits, None, weight_grad, lambda _, partial: to.launch(
        file, entry, grid, block, (x, grad, partial, sizes, splits),
    ))  # fmt: skip
    return weight_grad


def gpu(to: Launcher) -> conv_plan.Gpu:
    """What the rules ask of the GPU in use."""
    return conv_plan.Gpu(to.capability, to.multiprocessors)


def _conv(
    x_shape: tuple[int, ...], k: int, kernel: Any, output: Pair, stride: Pair, padding: Pair,
    dilation: Pair, groups: int,
) -> Conv:  # fmt: skip
    n, c, h, w = x_shape
    return Conv(n, c, (h, w), k, tuple(kernel), output, stride, padding, dilation, groups)


def _sizes(conv: Conv) -> Any:
    values = (conv.n, conv.c, *conv.image, conv.k, *conv.kernel, *conv.output, *conv.stride,
              *conv.padding, *conv.dilation, conv.groups)  # fmt: skip
    return np.array(values, dtype=_SIZES)[()]


def _entry(operation: str, plan: Plan) -> str:
    return f"{operation}_{plan.kernel}_{plan.tile[0]}x{plan.tile[1]}"


def _grid(plan: Plan, channels: int, pixels: int) -> Pair:
    """Tiles along the pixels, and along the channels."""
    return -(-pixels // plan.tile[1]), -(-channels // plan.tile[0])


def _bias(xp: Any, bias: Array | None) -> Array:
    return pointer(None if bias is None else xp.ascontiguousarray(bias))


def _in_parts(
    to: Launcher, splits: int, bias: Array | None, out: Array, run: Callable[[Array, Array], None]
) -> None:
    """`run(bias, out)`, or run(no bias, parts) and their sum; bias is of axis 1."""
    if splits == 1:
        run(_bias(to.xp, bias), out)
        return
    partial = to.xp.empty((splits, *out.shape), dtype=np.float32)
    run(NULL, partial)
    sum_splits(to, partial, bias, out)


def sum_splits(to: Launcher, partial: Array, bias: Array | None, out: Array) -> None:
    """out = partial.sum(0) + bias, in a fixed order; bias is of axis 1 of out."""
    plane, channels = int(np.prod(out.shape[2:], dtype=int)), out.shape[1]
    to.launch("split_sum.cu", "sum_splits", (-(-out.size // 256),), 256, (
        partial, _bias(to.xp, bias), out,
        *map(np.int32, (out.size, len(partial), plane, channels)),
    ))  # fmt: skip
