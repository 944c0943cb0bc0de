"""Batch normalisation and a leaky ReLU: the passes of `norm.py` and `pointwise.py` in turn."""

from __future__ import annotations

from minigan.backends.cpu.norm import batch_norm, batch_norm_backward
from minigan.backends.cpu.pointwise import leaky_relu, leaky_relu_backward, relu, relu_backward
from minigan.backends.protocol import Array


def batch_norm_activation(
    x: Array, weight: Array | None, bias: Array | None, eps: float, slope: float
) -> tuple[Array, Array, Array]:
    """(leaky_relu(batch_norm(x), slope), mean [C], var [C])."""
    z, mean, var = batch_norm(x, weight, bias, eps)
    return leaky_relu(z, slope) if slope else relu(z), mean, var


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
    """-> (grad_x like x, grad_weight [C], grad_bias [C])."""
    through = leaky_relu_backward(grad, y, slope) if slope else relu_backward(grad, y)
    return batch_norm_backward(through, x, weight, mean, var, eps)
