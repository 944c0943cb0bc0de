"""Launches of the convolution kernels, as `conv_plan.py` says. Layout is NCHW, results are fp32."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backends import reference
from minigan.backends.cuda import conv_plan
from minigan.backends.cuda.conv_plan import Conv, Plan
from minigan.backends.cuda.launch import covered, launcher
from minigan.backends.cuda.linalg import matmul
from minigan.backends.cuda.parts import in_parts
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
    plan = plan or conv_plan.forward(conv, get_precision(), to)
    if plan.kernel == "matmul":
        y = matmul(x.reshape(n, -1), weight.reshape(k, -1).T).reshape(y.shape)
        return y if bias is None else y + bias[:, None, None]
    x, weight = xp.ascontiguousarray(x), xp.ascontiguousarray(weight)
    file, entry = _kernel("forward", plan)
    sizes = _sizes(conv)
    extra: tuple[Any, ...] = ()
    if plan.kernel in conv_plan.ASYNC:
        depth = _whole_slices(conv.c)
        extra = (np.int32(depth),)
        packed = xp.empty((k, conv.taps, depth), dtype=np.float32)
        to.launch("conv_pack.cu", "pack_forward", (-(-depth // 64), k), 256,
                  (weight, packed, sizes, *extra, _rounded(plan)))  # fmt: skip
        weight = packed
    if plan.kernel != "few_inputs":
        extra += (np.int32(plan.splits),)
    grid = (*_grid(plan, k // groups, conv.pixels), groups * plan.splits)
    in_parts(to, plan.splits, bias, y, lambda bias, y: to.launch(
        file, entry, grid, plan.threads, (x, weight, bias, y, sizes, *extra),
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
    plan = plan or conv_plan.input_grad(conv, get_precision(), to)
    if plan.kernel == "matmul":
        dx = matmul(grad.reshape(n, -1), weight.reshape(k, -1)).reshape(dx.shape)
        return dx if bias is None else dx + bias[:, None, None]
    grad, weight = xp.ascontiguousarray(grad), xp.ascontiguousarray(weight)
    file, entry = _kernel("input_grad", plan)
    sizes = _sizes(conv)
    extra: tuple[Any, ...] = ()
    if plan.kernel in conv_plan.ASYNC:
        depth = _whole_slices(k)
        packed = xp.empty((conv.phases, c, conv.phase_taps, depth), dtype=np.float32)
        extra = (np.int32(depth), np.int32(packed[0].size))
        to.launch("conv_pack.cu", "pack_input_grad", (-(-depth // 64), c), 256,
                  (weight, packed, sizes, *extra, _rounded(plan)))  # fmt: skip
        weight = packed
    if plan.kernel != "few_inputs":
        extra += (np.int32(plan.splits),)
    tiles = _grid(plan, c, conv.phase_pixels)
    grid = (*tiles, groups * conv.phases * plan.splits)
    in_parts(to, plan.splits, bias, dx, lambda bias, dx: to.launch(
        file, entry, grid, plan.threads, (grad, weight, bias, dx, sizes, *extra),
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
    (n, k, p, q), c = grad.shape, x.shape[1] // groups
    weight_grad = (xp.empty if grad.size else xp.zeros)((k, c, *kernel_hw), dtype=np.float32)
    if grad.size == 0 or weight_grad.size == 0:
        return weight_grad
    conv = _conv(x.shape, k, kernel_hw, (p, q), stride, padding, dilation, groups)
    plan = plan or conv_plan.weight_grad(conv, get_precision(), to)
    if plan.kernel == "matmul":
        return matmul(grad.reshape(n, -1).T, x.reshape(n, -1)).reshape(weight_grad.shape)
    x, grad = xp.ascontiguousarray(x), xp.ascontiguousarray(grad)
    sizes, splits = _sizes(conv), np.int32(plan.splits)
    if plan.kernel in conv_plan.ASYNC:
        depth = _whole_slices(c)
        parts = xp.empty((plan.splits, k, conv.taps, depth), dtype=np.float32)
        args = (sizes, np.int32(depth), splits)
        tiles = _grid(plan, k, conv.taps * depth)
        file, entry = _kernel("weight_grad", plan)
        to.launch(file, entry, (*tiles, plan.splits), plan.threads, (x, grad, parts, *args))
        to.launch(file, "sum_weight_grad", (-(-c // 64), k), 256, (parts, weight_grad, *args))
        return weight_grad
    if plan.kernel == "few_filters":
        file, entry = "conv_weight_grad_direct.cu", "conv_weight_grad_few_filters"
        grid: tuple[int, ...] = (-(-c * groups * kernel_hw[0] // 8), plan.splits)
    else:
        file, entry = _kernel("weight_grad", plan)
        grid = (*_grid(plan, k // groups, c * conv.taps), groups * plan.splits)
    in_parts(to, plan.splits, None, weight_grad, lambda _, parts: to.launch(
        file, entry, grid, plan.threads, (x, grad, parts, sizes, splits),
    ))  # fmt: skip
    return weight_grad


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


def _kernel(operation: str, plan: Plan) -> tuple[str, str]:
    """A kernel's file and name."""
    if plan.kernel == "simt":
        return f"conv_{operation}.cu", f"conv_{operation}"
    if plan.kernel in conv_plan.ASYNC:
        tile = f"{plan.tile[0]}x{plan.tile[1]}"
        return f"conv_{operation}_async.cu", f"conv_{operation}_{plan.kernel}_{tile}"
    return "conv_direct.cu", f"conv_{operation}_{plan.kernel}"


def _grid(plan: Plan, channels: int, pixels: int) -> Pair:
    """Tiles along the pixels, and along the channels."""
    return -(-pixels // plan.tile[1]), -(-channels // plan.tile[0])


def _whole_slices(channels: int) -> int:
    """The channels of a sum, filled up to whole slices of 16."""
    return -(-channels // 16) * 16


def _rounded(plan: Plan) -> Any:
    """Whether packed weights are rounded to TF32; 3xtf32 splits them itself."""
    return np.int32(plan.kernel == "tf32")
