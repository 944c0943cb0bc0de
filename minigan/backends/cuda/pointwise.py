"""Launches of the activations: one thread an element."""

from __future__ import annotations

import numpy as np

from minigan.backends import reference
from minigan.backends.cuda.launch import covered, launcher
from minigan.backends.protocol import Array

_THREADS = 256


def _launched(kernel: str, *arrays: Array, slope: float | None = None) -> Array:
    """A new array from the kernel's input arrays, which have one shape."""
    to, xp = launcher(), launcher().xp
    out = xp.empty(arrays[0].shape, dtype=np.float32)
    if out.size:
        inputs = tuple(xp.ascontiguousarray(a) for a in arrays)
        scalars = () if slope is None else (np.float32(slope),)
        grid = (-(-out.size // _THREADS),)
        args = (*inputs, out, np.int64(out.size), *scalars)
        to.launch("activation.cu", kernel, grid, _THREADS, args)
    return out


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
