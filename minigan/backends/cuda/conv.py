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
        depth = _padded(conv.c)
        packed = xp.empty((k, conv.taps, depth), dtype=np.float32)
        to.launch("conv_pack.cu", "pack_forward", (-(-depth // 64), k), 256,
                  (weight, packed, sizes, np.int32(depth), _rounded(plan)))  # fmt: skip
        grid = (*_grid(plan, k, conv.pixels), plan.splits)
        _in_parts(to, plan.splits, bias, y, lambda bias, y: to.launch(
            "conv_forward_tf32.cu", _entry("conv_forward", plan), grid, 128,
            (x, packed, bias, y, sizes, np.int32(depth), np.int32(plan.splits)),
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
        depth = _padded(k)
        packed = xp.empty((conv.phases, c, conv.phase_taps, depth), dtype=np.float32)
        lengths = np.int32(depth), np.int32(packed[0].size)
        to.launch("conv_pack.cu", "pack_input_grad", (-(-depth // 64), c), 256,
                  (weight, packed, sizes, *lengths, _rounded(plan)))  # fmt: skip
        grid = (*tiles, conv.phases * plan.splits)
        _in_parts(to, plan.splits, bias, dx, lambda bias, dx: to.launch(
            "conv_input_grad_tf32.cu", _entry("conv_input_grad", plan), grid, 128,
            (grad, packed, bias, dx, sizes, *lengths, np.int32(plan.splits)),
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
    sizes, splits = _sizes(conv), np.int32(plan.splits)
    grid: tuple[int, ...]
    if plan.kernel in ("tf32", "3xtf32"):
        depth = _padded(c)
        partial = xp.empty((plan.splits, k, conv.taps, depth), dtype=np.float32)
        lengths = np.int32(depth), splits
        grid = (*_grid(plan, k, conv.taps * depth), plan.splits)
        to.launch("conv_weight_grad_tf32.cu", _entry("conv_weight_grad", plan), grid, 128,
                  (x, grad, partial, sizes, *lengths))  # fmt: skip
        to.launch("conv_weight_grad_tf32.cu", "sum_weight_grad", (-(-c // 64), k), 256,
                  (partial, weight_grad, sizes, *lengths))  # fmt: skip
        return weight_grad
    if plan.kernel == "few_filters":
        file, entry = "conv_weight_grad_direct.cu", "conv_weight_grad_few_filters"
        grid = (-(-c * groups * kernel_hw[0] // 8), plan.splits)
    else:
        file, entry = "conv_weight_grad.cu", "conv_weight_grad"
        grid = (*_grid(plan, k // groups, c * conv.taps), groups * plan.splits)
    _in_parts(to, plan.splits, None, weight_grad, lambda _, partial: to.launch(
        file, entry, grid, 256, (x, grad, partial, sizes, splits),
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


def _padded(channels: int) -> int:
    """The channels of a sum in packed weights: whole slices of 16."""
    return -(-channels // 16) * 16


def _rounded(plan: Plan) -> Any:
    """Whether the packed weights are TF32; 3xtf32 splits them itself."""
    return np.int32(plan.kernel == "tf32")


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
