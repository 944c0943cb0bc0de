"""A linear layer or a convolution with its bias and activation: the launches of each in turn."""

from __future__ import annotations

from minigan.backends.cuda.conv import conv2d
from minigan.backends.cuda.linalg import matmul
from minigan.backends.cuda.pointwise import leaky_relu, leaky_relu_backward, relu, relu_backward
from minigan.backends.cuda.sums import sum
from minigan.backends.protocol import Array, Pair


def _activated(z: Array, slope: float) -> Array:
    if slope == 1:
        return z
    return leaky_relu(z, slope) if slope else relu(z)


def linear_activation(x: Array, weight: Array, bias: Array | None, slope: float) -> Array:
    """See `protocol.py`."""
    z = matmul(x, weight.T)
    if bias is not None:
        z += bias
    return _activated(z, slope)


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
    """See `protocol.py`."""
    return _activated(conv2d(x, weight, bias, stride, padding, dilation, groups), slope)


def bias_activation_backward(grad: Array, y: Array, slope: float) -> tuple[Array, Array]:
    """See `protocol.py`."""
    through = grad
    if slope != 1:
        through = leaky_relu_backward(grad, y, slope) if slope else relu_backward(grad, y)
    return through, sum(through, (0, *range(2, grad.ndim)), False)
