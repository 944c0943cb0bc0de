"""Launches of the activations."""

from __future__ import annotations

from minigan.backends import reference
from minigan.backends.cuda.elements import elementwise
from minigan.backends.cuda.launch import covered
from minigan.backends.protocol import Array


def _launched(kernel: str, *arrays: Array, slope: float | None = None) -> Array:
    scalars = () if slope is None else (slope,)
    return elementwise("activation.cu", kernel, arrays, *scalars)


def relu(x: Array) -> Array:
    """See `protocol.py`."""
    return _launched("relu", x) if covered(x) else reference.relu(x)


def relu_backward(grad: Array, y: Array) -> Array:
    """See `protocol.py`."""
    if not covered(grad, y):
        return reference.relu_backward(grad, y)
    return _launched("relu_backward", grad, y)


def leaky_relu(x: Array, slope: float) -> Array:
    """See `protocol.py`."""
    if not covered(x):
        return reference.leaky_relu(x, slope)
    return _launched("leaky_relu", x, slope=slope)


def leaky_relu_backward(grad: Array, x: Array, slope: float) -> Array:
    """See `protocol.py`."""
    if not covered(grad, x):
        return reference.leaky_relu_backward(grad, x, slope)
    return _launched("leaky_relu_backward", grad, x, slope=slope)


def tanh(x: Array) -> Array:
    """See `protocol.py`."""
    return _launched("tanh_forward", x) if covered(x) else reference.tanh(x)


def tanh_backward(grad: Array, y: Array) -> Array:
    """See `protocol.py`."""
    if not covered(grad, y):
        return reference.tanh_backward(grad, y)
    return _launched("tanh_backward", grad, y)


def sigmoid(x: Array) -> Array:
    """See `protocol.py`."""
    return _launched("sigmoid", x) if covered(x) else reference.sigmoid(x)


def sigmoid_backward(grad: Array, y: Array) -> Array:
    """See `protocol.py`."""
    if not covered(grad, y):
        return reference.sigmoid_backward(grad, y)
    return _launched("sigmoid_backward", grad, y)
