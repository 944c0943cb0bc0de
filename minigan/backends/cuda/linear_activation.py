"""A linear layer with its bias and activation: the launches of each in turn."""

from __future__ import annotations

from minigan.backends.cuda.linalg import matmul
from minigan.backends.cuda.pointwise import leaky_relu, leaky_relu_backward, relu, relu_backward
from minigan.backends.cuda.sums import sum
from minigan.backends.protocol import Array


def linear_activation(x: Array, weight: Array, bias: Array | None, slope: float) -> Array:
    """See `protocol.py`."""
    z = matmul(x, weight.T)
    if bias is not None:
        z += bias
    if slope == 1:
        return z
    return leaky_relu(z, slope) if slope else relu(z)


def linear_activation_backward(grad: Array, y: Array, slope: float) -> tuple[Array, Array]:
    """See `protocol.py`."""
    through = grad
    if slope != 1:
        through = leaky_relu_backward(grad, y, slope) if slope else relu_backward(grad, y)
    return through, sum(through, (0,), False)
