"""Activations, their gradients, masks, sums and limits, one pass over flat memory each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.backends import reference
from minigan.backends.cpu.arrays import contiguous, empty
from minigan.backends.cpu.logistic import sigmoid_of, softplus_of
from minigan.backends.cpu.threads import all_float32, chunks_for, helper, kernel, run
from minigan.backends.protocol import Array

_CHEAP, _COSTLY = 1 << 16, 1 << 14  # elements that are worth a thread


@helper
def _span(chunk, chunks, size):
    """A chunk's positions; unsigned, which spares the check for negative ones."""
    return range(np.uintp(chunk * size // chunks), np.uintp((chunk + 1) * size // chunks))


@kernel
def _relu(chunk, chunks, x, out):
    for i in _span(chunk, chunks, x.size):
        value = x[i]
        out[i] = np.float32(0) if value <= 0 else value  # so written, NaN stays NaN


@kernel
def _relu_backward(chunk, chunks, grad, y, out):
    for i in _span(chunk, chunks, y.size):
        out[i] = grad[i] if y[i] > 0 else np.float32(0)


@kernel
def _leaky_relu(chunk, chunks, x, slope, out):
    for i in _span(chunk, chunks, x.size):
        out[i] = x[i] if x[i] > 0 else slope * x[i]


@kernel
def _leaky_relu_backward(chunk, chunks, grad, x, slope, out):
    for i in _span(chunk, chunks, x.size):
        out[i] = grad[i] if x[i] > 0 else slope * grad[i]


# tanh(x) = x p(x^2) / q(x^2) within 5 units in the last place: the minimax fit on [-7.905, 7.905]
# that Eigen and XLA use (highest power first). Beyond 9.02 float32 knows only -1 and 1. Unlike
# math.tanh it vectorises.
_TANH_END, _TANH_ONE = np.float32(7.90531110763549805), np.float32(9.02)
_TANH_P = tuple(
    np.float32(c)
    for c in (
        -2.76076847742355e-16,
        2.00018790482477e-13,
        -8.60467152213735e-11,
        5.12229709037114e-08,
        1.48572235717979e-05,
        6.37261928875436e-04,
        4.89352455891786e-03,
    )
)
_TANH_Q = tuple(
    np.float32(c)
    for c in (
        1.19825839466702e-06,
        1.18534705686654e-04,
        2.26843463243900e-03,
        4.89352518554385e-03,
    )
)


@kernel
def _tanh(chunk, chunks, x, out):
    p6, p5, p4, p3, p2, p1, p0 = _TANH_P
    q3, q2, q1, q0 = _TANH_Q
    for i in _span(chunk, chunks, x.size):
        v = _TANH_END if x[i] > _TANH_END else x[i]  # compared so that NaN stays NaN
        v = -_TANH_END if v < -_TANH_END else v
        s = v * v
        p = (((((p6 * s + p5) * s + p4) * s + p3) * s + p2) * s + p1) * s + p0
        q = ((q3 * s + q2) * s + q1) * s + q0
        y = v * (p / q)
        y = np.float32(1) if x[i] > _TANH_ONE else y
        out[i] = np.float32(-1) if x[i] < -_TANH_ONE else y


@kernel
def _tanh_backward(chunk, chunks, grad, y, out):
    for i in _span(chunk, chunks, y.size):
        out[i] = grad[i] * (np.float32(1) - y[i] * y[i])


@kernel
def _sigmoid(chunk, chunks, x, out):
    for i in _span(chunk, chunks, x.size):
        out[i] = sigmoid_of(x[i])


@kernel
def _softplus(chunk, chunks, x, beta, out):
    for i in _span(chunk, chunks, x.size):
        out[i] = softplus_of(beta * x[i]) / beta


@kernel
def _softplus_backward(chunk, chunks, grad, x, beta, out):
    for i in _span(chunk, chunks, x.size):
        out[i] = grad[i] * sigmoid_of(beta * x[i])


@kernel
def _sigmoid_backward(chunk, chunks, grad, y, out):
    for i in _span(chunk, chunks, y.size):
        out[i] = grad[i] * y[i] * (np.float32(1) - y[i])


@kernel
def _add(chunk, chunks, a, b, out):
    for i in _span(chunk, chunks, out.size):
        out[i] = a[i] + b[i]


def add(a: Array, b: Array) -> Array:
    """a + b of one shape."""
    if not all_float32(a, b):
        return reference.add(a, b)
    return _apply(_add, _CHEAP, (a, b))


@kernel
def _clip_to(chunk, chunks, x, low, high):
    for i in _span(chunk, chunks, x.size):
        value = low if x[i] < low else x[i]  # compared so that NaN stays NaN
        x[i] = high if value > high else value


def clip_to(x: Array, low: float | None, high: float | None) -> None:
    """x limited to [low, high], in place."""
    if not (all_float32(x) and x.flags.c_contiguous) or (low is None and high is None):
        reference.clip_to(x, low, high)
        return
    least = np.float32(-np.inf if low is None else low)
    most = np.float32(np.inf if high is None else high)
    run(_clip_to, chunks_for(x.size, _CHEAP), x.reshape(-1), least, most)


@kernel
def _add_to(chunk, chunks, total, values):
    for i in _span(chunk, chunks, total.size):
        total[i] += values[i]


def add_to(total: Array, values: Array) -> None:
    """total += values, in place."""
    if not (all_float32(total, values) and total.flags.c_contiguous):
        reference.add_to(total, values)
        return
    flat = total.reshape(-1), contiguous(values).reshape(-1)
    run(_add_to, chunks_for(total.size, _CHEAP), *flat)


@kernel
def _apply_mask(chunk, chunks, x, mask, run_length, out):
    """Each number of the mask for so many of x."""
    if run_length == 1:
        for i in _span(chunk, chunks, mask.size):
            out[i] = x[i] * mask[i]
        return
    length = np.uintp(run_length)
    for i in _span(chunk, chunks, mask.size):
        factor = mask[i]
        for at in range(i * length, (i + np.uintp(1)) * length):
            out[at] = x[at] * factor


def apply_mask(x: Array, mask: Array) -> Array:
    """x * mask, which has x's shape, or that of x's first axes and then ones."""
    axes = mask.ndim
    while axes > 0 and mask.shape[axes - 1] == 1:
        axes -= 1
    fits = mask.ndim == x.ndim and mask.shape[:axes] == x.shape[:axes]
    if not (fits and all_float32(x, mask)) or x.size == 0:
        return reference.apply_mask(x, mask)
    out = empty(x.shape, np.float32)
    flat = contiguous(x).reshape(-1), contiguous(mask).reshape(-1)
    run(_apply_mask, chunks_for(x.size, _CHEAP), *flat, x.size // mask.size, out.reshape(-1))
    return out


def _apply(
    function: Callable[..., None], smallest: int, arrays: tuple[Array, ...], *rest: Any
) -> Array:
    out = empty(arrays[0].shape, np.float32)
    flat = [contiguous(array).reshape(-1) for array in arrays]
    run(function, chunks_for(out.size, smallest), *flat, *rest, out.reshape(-1))
    return out


def relu(x: Array) -> Array:
    """max(x, 0); NaN stays NaN."""
    if not all_float32(x):
        return reference.relu(x)
    return _apply(_relu, _CHEAP, (x,))


def relu_backward(grad: Array, y: Array) -> Array:
    """grad where y > 0, else 0."""
    if not all_float32(grad, y):
        return reference.relu_backward(grad, y)
    return _apply(_relu_backward, _CHEAP, (grad, y))


def leaky_relu(x: Array, slope: float) -> Array:
    """x where x > 0, else slope * x."""
    if not all_float32(x):
        return reference.leaky_relu(x, slope)
    return _apply(_leaky_relu, _CHEAP, (x,), np.float32(slope))


def leaky_relu_backward(grad: Array, x: Array, slope: float) -> Array:
    """grad where x > 0, else slope * grad."""
    if not all_float32(grad, x):
        return reference.leaky_relu_backward(grad, x, slope)
    return _apply(_leaky_relu_backward, _CHEAP, (grad, x), np.float32(slope))


def tanh(x: Array) -> Array:
    """Hyperbolic tangent."""
    if not all_float32(x):
        return reference.tanh(x)
    return _apply(_tanh, _CHEAP, (x,))


def tanh_backward(grad: Array, y: Array) -> Array:
    """grad * (1 - y*y)."""
    if not all_float32(grad, y):
        return reference.tanh_backward(grad, y)
    return _apply(_tanh_backward, _CHEAP, (grad, y))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) without overflow."""
    if not all_float32(x):
        return reference.sigmoid(x)
    return _apply(_sigmoid, _COSTLY, (x,))


def sigmoid_backward(grad: Array, y: Array) -> Array:
    """grad * y * (1 - y)."""
    if not all_float32(grad, y):
        return reference.sigmoid_backward(grad, y)
    return _apply(_sigmoid_backward, _CHEAP, (grad, y))


def softplus(x: Array, beta: float) -> Array:
    """ln(1 + exp(beta x)) / beta without overflow."""
    if not all_float32(x):
        return reference.softplus(x, beta)
    return _apply(_softplus, _COSTLY, (x,), np.float32(beta))


def softplus_backward(grad: Array, x: Array, beta: float) -> Array:
    """grad * sigmoid(beta x)."""
    if not all_float32(grad, x):
        return reference.softplus_backward(grad, x, beta)
    return _apply(_softplus_backward, _COSTLY, (grad, x), np.float32(beta))
