"""What layers do to a finished sum while that is near: bias and activation; and the way back."""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.arrays import contiguous
from minigan.backends.cpu.threads import helper, inlined
from minigan.backends.protocol import Array

NOTHING = np.empty(0, np.float32)  # in the place of a bias: neither bias nor activation


def bias_for(bias: Array | None, n: int, slope: float) -> Array:
    """What `finish` takes for n columns and an activation of this slope."""
    if bias is not None:
        return contiguous(bias)
    return NOTHING if slope == 1 else np.zeros(n, np.float32)


@inlined
def finished(total, bias, slope):
    """leaky_relu(total + bias, slope); slope 0 is relu, also of -inf, and NaN stays NaN."""
    z = total + bias
    zero = np.float32(0)
    return z if z > 0 else zero if slope == 0 and z <= 0 else slope * z


@inlined
def through_activation(grad, y, slope):
    """The gradient before the activation, whose result y has the sign of what it was given."""
    zero = np.float32(0)
    return grad if y > 0 else zero if slope == 0 else slope * grad


@helper
def finish(out, rows, columns, width, bias, slope):
    """The same for rows and columns, each from and to, of out [M, width], flat."""
    for i in range(rows[0], rows[1]):
        row = np.uintp(i * width)
        for j in range(np.uintp(columns[0]), np.uintp(columns[1])):
            out[row + j] = finished(out[row + j], bias[j], slope)
