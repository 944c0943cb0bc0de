"""Matrix products: closed under differentiation, as the gradient of a product is two products."""

from __future__ import annotations

from typing import Any

from minigan.autograd import Function
from minigan.backends import kernels_for
from minigan.errors import ConfigError, ShapeError
from minigan.ops.activation import arrays_through_activation, through_activation
from minigan.ops.operands import check_broadcast, check_dtypes, promoted
from minigan.ops.shape import sum_to, summed_to, transpose
from minigan.tensor import Tensor


class MatMul(Function):
    """y = a b over the last two axes; da = dy b^T, db = a^T dy. a [...,M,K], b [...,K,N]."""

    saves = (0, 1)

    def forward(self, a: Any, b: Any) -> Any:
        return kernels_for(a).matmul(a, b)

    def backward(self, grad: Tensor) -> Any:
        a, b = self.saved
        grad_a = grad_b = None
        if self.needs[0]:
            grad_a = sum_to(MatMul()(grad, transpose(b, -1, -2)), a.shape)
        if self.needs[1]:
            grad_b = sum_to(MatMul()(transpose(a, -1, -2), grad), b.shape)
        return grad_a, grad_b

    def backward_arrays(self, grad: Any) -> Any:
        a, b = self.saved_arrays
        multiply = kernels_for(grad).matmul
        grad_a = grad_b = None
        if self.needs[0]:
            grad_a = summed_to(multiply(grad, b.swapaxes(-1, -2)), a.shape)
        if self.needs[1]:
            grad_b = summed_to(multiply(a.swapaxes(-1, -2), grad), b.shape)
        return grad_a, grad_b


def matmul(a: Any, b: Any) -> Tensor:
    """a @ b as numpy.matmul: batch axes broadcast, 1-d operands are vectors."""
    a, b = promoted(a, b, "matmul")
    vector_a, vector_b = a.ndim == 1, b.ndim == 1
    left = a.unsqueeze(0) if vector_a else a
    right = b.unsqueeze(1) if vector_b else b
    if left.ndim < 2 or right.ndim < 2 or left.shape[-1] != right.shape[-2]:
        raise ShapeError(
            f"matmul: shapes {tuple(a.shape)} and {tuple(b.shape)} do not fit: the last axis of "
            "the first must equal the second-last of the second"
        )
    if left.ndim > 2 and right.ndim > 2:
        both = f"matmul: {tuple(a.shape)} @ {tuple(b.shape)}: batch"
        check_broadcast(left.shape[:-2], right.shape[:-2], both)
    y = MatMul()(left, right)
    if vector_a:
        y = y.squeeze(-2)
    return y.squeeze(-1) if vector_b else y


class Linear(Function):
    """y = f(z), z = x W^T + b; dz = dy f'(z); dx = dz W, dW = dz^T x, db = sum of dz.

    x [N,I], W [O,I], b [O]. f is a leaky ReLU: z where z > 0, else slope z; slope 0 is ReLU, 1 is
    no activation. It does not change a sign, so that y says where z > 0.
    """

    def __init__(self, slope: float = 1.0) -> None:
        self.slope = slope
        self.saves = (0, 1) if slope == 1 else (0, 1, "output")

    def forward(self, x: Any, weight: Any, bias: Any = None) -> Any:
        return kernels_for(x).linear_activation(x, weight, bias, self.slope)

    def backward(self, grad: Tensor) -> Any:
        x, weight, *y = self.saved
        for output in y:
            grad = through_activation(grad, output, self.slope)
        grads: list[Tensor | None] = [
            MatMul()(grad, weight) if self.needs[0] else None,
            MatMul()(transpose(grad, 0, 1), x) if self.needs[1] else None,
        ]
        if len(self.needs) == 3:
            grads.append(grad.sum(0) if self.needs[2] else None)
        return tuple(grads)

    def backward_arrays(self, grad: Any) -> Any:
        x, weight, *y = self.saved_arrays
        kernels = kernels_for(grad)
        grad, grad_bias = arrays_through_activation(
            grad, y[0] if y else None, self.slope, any(self.needs[2:])
        )
        grads = (
            kernels.matmul(grad, weight) if self.needs[0] else None,
            self._weight_grad(kernels, grad, x) if self.needs[1] else None,
        )
        return grads if len(self.needs) == 2 else (*grads, grad_bias)

    def _weight_grad(self, kernels: Any, grad: Any, x: Any) -> Any:
        total = self.totals[1] if self.totals else None  # none where the rule is called by itself
        if total is None:
            return kernels.matmul(grad.T, x)
        kernels.add_matmul(total, grad.T, x)
        return total


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b. input [..., in_features], weight [out_features, in_features], bias [out]."""
    return _linear("linear", input, weight, bias, 1.0)


def linear_activation(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, negative_slope: float = 0.0
) -> Tensor:
    """leaky_relu(linear(...), negative_slope) as one operation; 0 is relu."""
    if negative_slope < 0:
        raise ConfigError(
            f"linear_activation: negative_slope must not be negative, got {negative_slope}"
        )
    return _linear("linear_activation", input, weight, bias, float(negative_slope))


def _linear(op: str, input: Tensor, weight: Tensor, bias: Tensor | None, slope: float) -> Tensor:
    if weight.ndim != 2 or input.ndim == 0 or input.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"{op}: input of shape {tuple(input.shape)} does not fit weight "
            f"{tuple(weight.shape)} (out_features, in_features)"
        )
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise ShapeError(
            f"{op}: bias must have shape ({weight.shape[0]},); got {tuple(bias.shape)}"
        )
    check_dtypes(op, input, weight=weight, bias=bias)
    rows = input if input.ndim == 2 else input.reshape(-1, input.shape[-1])
    y = Linear(slope)(rows, weight) if bias is None else Linear(slope)(rows, weight, bias)
    return y if input.ndim == 2 else y.reshape(*input.shape[:-1], weight.shape[0])
