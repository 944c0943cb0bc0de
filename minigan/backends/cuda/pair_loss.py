"""Launches of the losses that compare two arrays."""

from __future__ import annotations

import numpy as np

from minigan.backends import reference
from minigan.backends.cuda.launch import covered, launcher
from minigan.backends.cuda.sums import sum
from minigan.backends.protocol import Array

_THREADS, _ELEMENTS = 256, 4096  # pair_loss.cu
_KINDS = {"l1": 0, "mse": 1, "bce": 2}


def pair_loss(kind: str, x: Array, target: Array, scale: float) -> Array:
    """See `protocol.py`."""
    if not covered(x, target) or not x.size:
        return reference.pair_loss(kind, x, target, scale)
    to, xp = launcher(), launcher().xp
    out = xp.empty(-(-x.size // _ELEMENTS), dtype=np.float32)
    inputs = map(xp.ascontiguousarray, (x, target))
    args = (*inputs, out, np.int64(x.size), np.int32(_KINDS[kind]), np.float32(scale))
    to.launch("pair_loss.cu", "pair_loss", (out.size,), _THREADS, args)
    return out.reshape(()) if out.size == 1 else sum(out, (0,), False)


def pair_loss_backward(kind: str, grad: Array, x: Array, target: Array, scale: float) -> Array:
    """See `protocol.py`."""
    if not covered(grad, x, target) or not x.size:
        return reference.pair_loss_backward(kind, grad, x, target, scale)
    to, xp = launcher(), launcher().xp
    out = xp.empty(x.shape, dtype=np.float32)
    inputs = map(xp.ascontiguousarray, (grad, x, target))
    args = (*inputs, out, np.int64(x.size), np.int32(_KINDS[kind]), np.float32(scale))
    to.launch("pair_loss.cu", "pair_loss_backward", (-(-x.size // 1024),), _THREADS, args)
    return out
