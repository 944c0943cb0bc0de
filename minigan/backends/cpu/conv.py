"""The three maps of a convolution: which kernels suit a layer.

`columns_conv.py` where weights outnumber pixels, `winograd.py` where fewer multiplications save
time, `shifted_conv.py` for a map to few channels, `direct_conv.py` for all others. Each module
says what it does, and its `suits` when; the rules were measured, and look at sizes alone.
"""

from __future__ import annotations

from minigan.backends import reference
from minigan.backends.cpu import columns_conv, direct_conv, shifted_conv, winograd
from minigan.backends.cpu.conv_maps import kernel_taps
from minigan.backends.cpu.pointwise import leaky_relu, relu
from minigan.backends.cpu.threads import all_float32
from minigan.backends.protocol import Array, Pair


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
    return conv2d_activation(x, weight, bias, stride, padding, dilation, groups, 1.0)


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
    """leaky_relu(conv2d(...), slope)."""
    if groups != 1 or x.size == 0 or not all_float32(x, weight, bias):
        args = x, weight, bias, stride, padding, dilation, groups, slope
        return reference.conv2d_activation(*args)
    k, c, *kernel_hw = weight.shape
    oh, ow = (
        (x.shape[2 + i] + 2 * padding[i] - dilation[i] * (kernel_hw[i] - 1) - 1) // stride[i] + 1
        for i in (0, 1)
    )
    taps = kernel_taps((kernel_hw[0], kernel_hw[1]), padding, dilation)
    if columns_conv.suits(x.shape[0] * oh * ow, weight.size):
        return _activated(columns_conv.conv2d(x, weight, bias, taps, stride, (oh, ow)), slope)
    pixels = x.shape[0] * oh * ow
    if winograd.suits(x.shape[0], c, weight.shape, stride, dilation, (oh, ow), pixels):
        return winograd.conv2d(x, weight, bias, stride[0], padding, (oh, ow), slope)
    if stride == (1, 1) and shifted_conv.suits(k, c):
        y = shifted_conv.conv2d(x, weight, bias, padding, dilation, (oh, ow))
        return _activated(y, slope)
    return direct_conv.conv2d(x, weight, bias, stride, padding, dilation, (oh, ow), slope)


def _activated(y: Array, slope: float) -> Array:
    """In a pass of its own, after the kernels that take no activation: they write little."""
    if slope == 1:
        return y
    return leaky_relu(y, slope) if slope else relu(y)


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
    taps = kernel_taps((kh, kw), padding, dilation)
    if columns_conv.suits(grad[:, 0].size, weight.size):
        return columns_conv.conv2d_input_grad(grad, weight, bias, taps, stride, input_hw)
    n, _, *size = grad.shape
    pixels = n * input_hw[0] * input_hw[1] // (stride[0] * stride[1])
    if winograd.suits(n, c, weight.shape, stride, dilation, (size[0], size[1]), pixels):
        return winograd.conv2d_input_grad(grad, weight, bias, stride[0], padding, input_hw)
    direct = shifted_conv if shifted_conv.suits(c, k) else direct_conv
    return direct.conv2d_input_grad(grad, weight, bias, input_hw, stride, padding, dilation)


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
    taps = kernel_taps(kernel_hw, padding, dilation)
    if columns_conv.suits(grad[:, 0].size, k * c * len(taps)):
        return columns_conv.conv2d_weight_grad(x, grad, taps, stride, kernel_hw)
    (n, _, *size), shape = grad.shape, (k, c, *kernel_hw)
    pixels = n * size[0] * size[1]
    if winograd.suits(n, c, shape, stride, dilation, (size[0], size[1]), pixels):
        return winograd.conv2d_weight_grad(x, grad, stride[0], padding, kernel_hw)
    return direct_conv.conv2d_weight_grad(x, grad, kernel_hw, stride, padding, dilation)
