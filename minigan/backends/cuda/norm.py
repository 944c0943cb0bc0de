"""Launches of the normalisations: one block a channel, or a row."""

from __future__ import annotations

import math

import numpy as np

from minigan.backends import reference
from minigan.backends.cuda.launch import covered, launcher, pointer
from minigan.backends.protocol import Array

_THREADS = 256  # reduce.cuh: REDUCE_THREADS


def _sizes(x: Array, eps: float) -> tuple[np.generic, ...]:
    """N, C and the elements of a channel in one image, and eps."""
    length = math.prod(x.shape[2:])
    return np.int32(x.shape[0]), np.int32(x.shape[1]), np.int32(length), np.float32(eps)


def batch_norm(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """See `protocol.py`."""
    if not covered(x, weight, bias):
        return reference.batch_norm(x, weight, bias, eps)
    to, xp = launcher(), launcher().xp
    y, channels = xp.empty(x.shape, dtype=np.float32), x.shape[1]
    mean, var = (xp.empty(channels, dtype=np.float32) for _ in range(2))
    if channels:
        args = (pointer(weight), pointer(bias), y, mean, var, *_sizes(x, eps))
        to.launch("norm.cu", "batch_norm", (channels,), _THREADS, (xp.ascontiguousarray(x), *args))
    return y, mean, var


def batch_norm_backward(
    grad: Array, x: Array, weight: Array | None, mean: Array, var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """See `protocol.py`."""
    if not covered(grad, x, weight, mean, var):
        return reference.batch_norm_backward(grad, x, weight, mean, var, eps)
    to, xp = launcher(), launcher().xp
    dx, channels = xp.empty(x.shape, dtype=np.float32), x.shape[1]
    grad_weight, grad_bias = (xp.empty(channels, dtype=np.float32) for _ in range(2))
    if channels:
        statistics = (pointer(weight), xp.ascontiguousarray(mean), xp.ascontiguousarray(var))
        arrays = (xp.ascontiguousarray(grad), xp.ascontiguousarray(x), *statistics)
        to.launch("norm.cu", "batch_norm_backward", (channels,), _THREADS,
                  (*arrays, dx, grad_weight, grad_bias, *_sizes(x, eps)))  # fmt: skip
    return dx, grad_weight, grad_bias


def row_norm(x: Array, eps: float) -> tuple[Array, Array, Array]:
    """See `protocol.py`."""
    if not covered(x):
        return reference.row_norm(x, eps)
    to, xp = launcher(), launcher().xp
    xhat, (rows, length) = xp.empty(x.shape, dtype=np.float32), x.shape
    mean, var = (xp.empty(rows, dtype=np.float32) for _ in range(2))
    if rows:
        sizes = (np.int32(length), np.float32(eps))
        to.launch("norm.cu", "row_norm", (rows,), _THREADS,
                  (xp.ascontiguousarray(x), xhat, mean, var, *sizes))  # fmt: skip
    return xhat, mean, var


def row_norm_backward(grad: Array, xhat: Array, var: Array, eps: float) -> Array:
    """See `protocol.py`."""
    if not covered(grad, xhat, var):
        return reference.row_norm_backward(grad, xhat, var, eps)
    to, xp = launcher(), launcher().xp
    dx, (rows, length) = xp.empty(grad.shape, dtype=np.float32), grad.shape
    if rows:
        arrays = tuple(xp.ascontiguousarray(a) for a in (grad, xhat, var))
        sizes = (np.int32(length), np.float32(eps))
        to.launch("norm.cu", "row_norm_backward", (rows,), _THREADS, (*arrays, dx, *sizes))
    return dx
