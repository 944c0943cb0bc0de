"""A linear layer with its bias and activation, and the way back through these."""

from __future__ import annotations

import numpy as np

from minigan.backends import reference
from minigan.backends.cpu import sums
from minigan.backends.cpu.arrays import contiguous, empty
from minigan.backends.cpu.linalg import product
from minigan.backends.cpu.threads import all_float32, chunks_for, kernel, run
from minigan.backends.protocol import Array

_SMALLEST = 1 << 15  # elements that are worth a thread


def linear_activation(x: Array, weight: Array, bias: Array | None, slope: float) -> Array:
    """leaky_relu(x weight^T + bias, slope), of float32; others in the reference."""
    if not all_float32(x, weight, bias) or 0 in (*x.shape, *weight.shape):
        return reference.linear_activation(x, weight, bias, slope)
    return product(x, weight.T, bias, slope)


@kernel
def _backward(chunk, chunks, grad, y, slope, through, grad_bias):
    """Columns of both: grad times the activation's slope, and its sum over rows."""
    rows, columns = through.shape
    first, last = np.uintp(chunk * columns // chunks), np.uintp((chunk + 1) * columns // chunks)
    for j in range(first, last):
        grad_bias[j] = 0
    for i in range(rows):
        for j in range(first, last):
            g = grad[i, j]
            if y[i, j] <= 0:
                g = g * slope if slope != 0 else np.float32(0)
            through[i, j] = g
            grad_bias[j] += g


def linear_activation_backward(grad: Array, y: Array, slope: float) -> tuple[Array, Array]:
    """-> (the gradient of x weight^T + bias, that of bias)."""
    if slope == 1:
        return grad, sums.sum(grad, (0,), False)
    if not all_float32(grad, y):
        return reference.linear_activation_backward(grad, y, slope)
    through, grad_bias = empty(grad.shape, np.float32), empty(grad.shape[1], np.float32)
    run(_backward, chunks_for(grad.size, _SMALLEST), contiguous(grad),
        contiguous(y), np.float32(slope), through, grad_bias)  # fmt: skip
    return through, grad_bias
