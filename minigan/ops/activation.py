"""Activations. Where a derivative is a function of the output, the output is what is kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.autograd import Function
from minigan.backends import kernels_for
from minigan.ops.operands import normalize_axis, require_float
from minigan.tensor import Tensor


def _zeros_like(x: Tensor) -> Tensor:
    return Tensor._wrap(kernels_for(x._array).xp.zeros_like(x._array))


class ReLU(Function):
    """y = max(x, 0); dx = dy where y > 0, else 0."""

    saves = ("output",)

    def forward(self, x: Any) -> Any:
        return kernels_for(x).relu(x)

    def backward(self, grad: Tensor) -> Tensor:
        return ReLUBackward()(grad, self.saved[0].detach())

    def backward_arrays(self, grad: Any) -> Any:
        return kernels_for(grad).relu_backward(grad, self.saved_arrays[0])


class ReLUBackward(Function):
    """dx = dy where y > 0, else 0: linear in dy and its own transpose, and constant in y."""

    saves = (1,)

    def forward(self, grad: Any, y: Any) -> Any:
        return kernels_for(grad).relu_backward(grad, y)

    def backward(self, grad: Tensor) -> Any:
        (y,) = self.saved
        return (
            ReLUBackward()(grad, y.detach()) if self.needs[0] else None,
            _zeros_like(y) if self.needs[1] else None,
        )

    def backward_arrays(self, grad: Any) -> Any:
        (y,) = self.saved_arrays
        return (
            kernels_for(grad).relu_backward(grad, y) if self.needs[0] else None,
            kernels_for(grad).xp.zeros_like(y) if self.needs[1] else None,
        )


class LeakyReLU(Function):
    """y = x where x > 0, else slope x; dx = dy where x > 0, else slope dy."""

    saves = (0,)

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def forward(self, x: Any) -> Any:
        return kernels_for(x).leaky_relu(x, self.slope)

    def backward(self, grad: Tensor) -> Tensor:
        return LeakyReLUBackward(self.slope)(grad, self.saved[0].detach())

    def backward_arrays(self, grad: Any) -> Any:
        return kernels_for(grad).leaky_relu_backward(grad, self.saved_arrays[0], self.slope)


class LeakyReLUBackward(Function):
    """dx = dy where x > 0, else slope dy: linear in dy and its own transpose, and constant in x."""

    saves = (1,)

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def forward(self, grad: Any, x: Any) -> Any:
        return kernels_for(grad).leaky_relu_backward(grad, x, self.slope)

    def backward(self, grad: Tensor) -> Any:
        (x,) = self.saved
        return (
            LeakyReLUBackward(self.slope)(grad, x.detach()) if self.needs[0] else None,
            _zeros_like(x) if self.needs[1] else None,
        )

    def backward_arrays(self, grad: Any) -> Any:
        (x,) = self.saved_arrays
        kernels = kernels_for(grad)
        return (
            kernels.leaky_relu_backward(grad, x, self.slope) if self.needs[0] else None,
            kernels.xp.zeros_like(x) if self.needs[1] else None,
        )


def through_activation(grad: Tensor, y: Tensor, slope: float) -> Tensor:
    """The gradient before a leaky ReLU whose result is y; slope 0 is ReLU."""
    return (LeakyReLUBackward(slope) if slope else ReLUBackward())(grad, y.detach())


def arrays_through_activation(grad: Any, y: Any, slope: float, wants_bias: bool) -> tuple[Any, Any]:
    """The same for arrays, and the gradient of a bias before it; a slope of 1 needs no y."""
    kernels = kernels_for(grad)
    if wants_bias:
        return kernels.bias_activation_backward(grad, grad if y is None else y, slope)
    if slope == 1:
        return grad, None
    backward = (
        kernels.leaky_relu_backward(grad, y, slope) if slope else kernels.relu_backward(grad, y)
    )
    return backward, None


class Tanh(Function):
    """y = tanh x; dx = dy (1 - y^2)."""

    saves = ("output",)

    def forward(self, x: Any) -> Any:
        return kernels_for(x).tanh(x)

    def backward(self, grad: Tensor) -> Tensor:
        (y,) = self.saved
        return grad * (1.0 - y * y)

    def backward_arrays(self, grad: Any) -> Any:
        return kernels_for(grad).tanh_backward(grad, self.saved[0]._array)


class Sigmoid(Function):
    """y = 1 / (1 + e^-x); dx = dy y (1 - y)."""

    saves = ("output",)

    def forward(self, x: Any) -> Any:
        return kernels_for(x).sigmoid(x)

    def backward(self, grad: Tensor) -> Tensor:
        (y,) = self.saved
        return grad * (y * (1.0 - y))

    def backward_arrays(self, grad: Any) -> Any:
        return kernels_for(grad).sigmoid_backward(grad, self.saved[0]._array)


class ELU(Function):
    """y = x where x > 0, else alpha (e^x - 1); dx = dy where x > 0, else dy (y + alpha)."""

    saves = (0, "output")

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def forward(self, x: Any) -> Any:
        return np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0))).astype(x.dtype)

    def backward(self, grad: Tensor) -> Tensor:
        x, y = self.saved
        positive = Tensor._wrap((x._array > 0).astype(x.dtype))
        return grad * (positive + (y + self.alpha) * (1.0 - positive))


class Softplus(Function):
    """y = ln(1 + e^(beta x)) / beta, without overflow; dx = dy sigmoid(beta x)."""

    saves = (0,)

    def __init__(self, beta: float) -> None:
        self.beta = beta

    def forward(self, x: Any) -> Any:
        return kernels_for(x).softplus(x, self.beta)

    def backward(self, grad: Tensor) -> Tensor:
        return grad * sigmoid(self.saved[0] * self.beta)

    def backward_arrays(self, grad: Any) -> Any:
        return kernels_for(grad).softplus_backward(grad, self.saved[0]._array, self.beta)


class LogSoftmax(Function):
    """y = x - ln sum e^x along an axis; dx = dy - e^y sum(dy)."""

    saves = ("output",)

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        return kernels_for(x).log_softmax(x, self.axis)

    def backward(self, grad: Tensor) -> Tensor:
        (y,) = self.saved
        return grad - y.exp() * grad.sum(self.axis, keepdim=True)

    def backward_arrays(self, grad: Any) -> Any:
        return kernels_for(grad).log_softmax_backward(grad, self.saved[0]._array, self.axis)


class Softmax(Function):
    """y = e^x / sum e^x along an axis; dx = y (dy - sum(dy y))."""

    saves = ("output",)

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        e = np.exp(x - x.max(axis=self.axis, keepdims=True))
        return e / e.sum(axis=self.axis, keepdims=True)

    def backward(self, grad: Tensor) -> Tensor:
        (y,) = self.saved
        return y * (grad - (grad * y).sum(self.axis, keepdim=True))


# --- public functions -------------------------------------------------------------------------
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0). `inplace` is accepted for PyTorch's sake: the result is the same."""
    return ReLU()(require_float(input, "relu"))


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope * x."""
    return LeakyReLU(float(negative_slope))(require_float(input, "leaky_relu"))


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha (e^x - 1)."""
    return ELU(float(alpha))(require_float(input, "elu"))


def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return Tanh()(require_float(input, "tanh"))


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return Sigmoid()(require_float(input, "sigmoid"))


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """ln(1 + e^(beta x)) / beta, exact for every x; `threshold` is accepted for PyTorch's sake."""
    return Softplus(float(beta))(require_float(input, "softplus"))


def softmax(input: Tensor, dim: int) -> Tensor:
    """Probabilities along `dim`. Losses take logits: see cross_entropy."""
    x = require_float(input, "softmax")
    return Softmax(normalize_axis(dim, x.ndim, "softmax"))(x)


def log_softmax(input: Tensor, dim: int) -> Tensor:
    """Logarithm of softmax along `dim`, computed stably."""
    x = require_float(input, "log_softmax")
    return LogSoftmax(normalize_axis(dim, x.ndim, "log_softmax"))(x)
