"""The gradient of softplus, made of the compiled sigmoid."""

from minigan.backends.cpu.pointwise import sigmoid
from minigan.backends.protocol import Array


def softplus_backward(grad: Array, x: Array, beta: float) -> Array:
    """grad * sigmoid(beta x)."""
    return grad * sigmoid(x * beta)
