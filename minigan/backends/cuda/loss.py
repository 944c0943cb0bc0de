"""Launches of the losses: element by element, or one warp a row of logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backends import reference
from minigan.backends.cuda.elements import elementwise
from minigan.backends.cuda.launch import covered, launcher
from minigan.backends.protocol import Array

_THREADS, _WARPS = 256, 8  # loss.cu


def softplus(x: Array, beta: float) -> Array:
    """See `protocol.py`."""
    if not covered(x):
        return reference.softplus(x, beta)
    return elementwise("loss.cu", "softplus", (x,), beta)


def softplus_backward(grad: Array, x: Array, beta: float) -> Array:
    """See `protocol.py`."""
    if not covered(grad, x):
        return reference.softplus_backward(grad, x, beta)
    return elementwise("loss.cu", "softplus_backward", (grad, x), beta)


def log_softmax(x: Array, axis: int) -> Array:
    """See `protocol.py`. Only along the last axis, where a row is a warp's."""
    if not covered(x) or not x.ndim or axis % x.ndim != x.ndim - 1 or not x.size:
        return reference.log_softmax(x, axis)
    return _rows("log_softmax", x.shape, x.shape, x)


def log_softmax_backward(grad: Array, y: Array, axis: int) -> Array:
    """See `protocol.py`. Only along the last axis, where a row is a warp's."""
    if not covered(grad, y) or not y.ndim or axis % y.ndim != y.ndim - 1 or not y.size:
        return reference.log_softmax_backward(grad, y, axis)
    return _rows("log_softmax_backward", y.shape, y.shape, grad, y)


def cross_entropy(x: Array, labels: Array, ignored: int) -> Array:
    """See `protocol.py`."""
    if not covered(x) or not x.size:
        return reference.cross_entropy(x, labels, ignored)
    return _rows("cross_entropy", x.shape, x.shape[:1], x, _int64(labels), ignored=ignored)


def cross_entropy_backward(grad: Array, x: Array, labels: Array, ignored: int) -> Array:
    """See `protocol.py`."""
    if not covered(grad, x) or not x.size:
        return reference.cross_entropy_backward(grad, x, labels, ignored)
    arrays = (grad, x, _int64(labels))
    return _rows("cross_entropy_backward", x.shape, x.shape, *arrays, ignored=ignored)


def _int64(labels: Array) -> Array:
    return labels.astype(np.int64, copy=False)


def _rows(
    kernel: str, logits: Any, shape: Any, *arrays: Array, ignored: int | None = None
) -> Array:
    """A new array of `shape` from arrays for the rows of logits [..., K]."""
    to, xp = launcher(), launcher().xp
    out, classes = xp.empty(shape, dtype=np.float32), logits[-1]
    rows = int(np.prod(logits[:-1], dtype=np.int64))
    scalars = (
        np.int32(rows),
        np.int32(classes),
        *(() if ignored is None else (np.int64(ignored),)),
    )
    args = (*map(xp.ascontiguousarray, arrays), out, *scalars)
    to.launch("loss.cu", kernel, (-(-rows // _WARPS),), _THREADS, args)
    return out
