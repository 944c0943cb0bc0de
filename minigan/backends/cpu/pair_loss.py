"""Losses that compare two arrays, and their gradients: one pass over both each.

As in `sums.py`, sums are float32 over short runs, which vectorise, and float64 across runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backends import reference
from minigan.backends.cpu.arrays import contiguous, empty
from minigan.backends.cpu.logistic import sigmoid_of, softplus_of
from minigan.backends.cpu.sums import RUN, add_scaled, span
from minigan.backends.cpu.threads import all_float32, chunks_for, helper, kernel, run
from minigan.backends.protocol import Array

_SMALLEST = 1 << 14  # elements that are worth a thread


@helper
def _runs(chunk, chunks, size):
    """Where the runs of a chunk begin."""
    runs = (size + RUN - 1) // RUN
    return range(chunk * runs // chunks * RUN, (chunk + 1) * runs // chunks * RUN, RUN)


@kernel
def _l1(chunk, chunks, x, target, parts):
    total = np.float64(0)
    for first in _runs(chunk, chunks, x.size):
        part = np.float32(0)
        for i in span(first, min(first + RUN, x.size)):
            part += abs(x[i] - target[i])
        total += part
    parts[chunk] = total


@kernel
def _mse(chunk, chunks, x, target, parts):
    total = np.float64(0)
    for first in _runs(chunk, chunks, x.size):
        part = np.float32(0)
        for i in span(first, min(first + RUN, x.size)):
            part += (x[i] - target[i]) * (x[i] - target[i])
        total += part
    parts[chunk] = total


@kernel
def _bce(chunk, chunks, x, target, parts):
    total = np.float64(0)
    for first in _runs(chunk, chunks, x.size):
        part = np.float32(0)
        for i in span(first, min(first + RUN, x.size)):
            part += softplus_of(x[i]) - target[i] * x[i]
        total += part
    parts[chunk] = total


@kernel
def _l1_backward(chunk, chunks, grad, x, target, scale, out):
    factor = grad[0] * scale
    for i in span(chunk * x.size // chunks, (chunk + 1) * x.size // chunks):
        difference = x[i] - target[i]
        rising = factor if difference > 0 else difference * factor  # 0 and NaN stay what they are
        out[i] = -factor if difference < 0 else rising


@kernel
def _mse_backward(chunk, chunks, grad, x, target, scale, out):
    factor = np.float32(2) * grad[0] * scale
    for i in span(chunk * x.size // chunks, (chunk + 1) * x.size // chunks):
        out[i] = factor * (x[i] - target[i])


@kernel
def _bce_backward(chunk, chunks, grad, x, target, scale, out):
    factor = grad[0] * scale
    for i in span(chunk * x.size // chunks, (chunk + 1) * x.size // chunks):
        out[i] = factor * (sigmoid_of(x[i]) - target[i])


_LOSSES: dict[str, Any] = {"l1": _l1, "mse": _mse, "bce": _bce}
_SLOPES: dict[str, Any] = {"l1": _l1_backward, "mse": _mse_backward, "bce": _bce_backward}


def pair_loss(kind: str, x: Array, target: Array, scale: float) -> Array:
    """See `protocol.py`."""
    if not all_float32(x, target):
        return reference.pair_loss(kind, x, target, scale)
    chunks, out = chunks_for(x.size, _SMALLEST), empty((), np.float32)
    parts = empty(chunks, np.float64)
    run(_LOSSES[kind], chunks, *(contiguous(a).reshape(-1) for a in (x, target)), parts)
    run(add_scaled, 1, parts, float(scale), out.reshape(1))
    return out


def pair_loss_backward(kind: str, grad: Array, x: Array, target: Array, scale: float) -> Array:
    """See `protocol.py`."""
    if not all_float32(grad, x, target):
        return reference.pair_loss_backward(kind, grad, x, target, scale)
    out = empty(x.shape, np.float32)
    flat = (contiguous(a).reshape(-1) for a in (grad, x, target))
    chunks = chunks_for(x.size, _SMALLEST)
    run(_SLOPES[kind], chunks, *flat, np.float32(scale), out.reshape(-1))
    return out
