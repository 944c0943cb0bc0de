"""Optimiser steps: one pass over parameter, gradient and state, in place.

The passes are bound by memory traffic: Adam reads four arrays and writes three, once each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.backends import reference
from minigan.backends.cpu.threads import all_float32, chunks_for, helper, kernel, run
from minigan.backends.protocol import Array

_SMALLEST = 1 << 15  # elements that are worth a thread
_NONE = np.empty(0, np.float32)  # stands for a state array that this variant does not have


@helper
def _span(chunk, chunks, size):
    """A chunk's positions; unsigned, which spares the check for negative ones."""
    return range(np.uintp(chunk * size // chunks), np.uintp((chunk + 1) * size // chunks))


@kernel
def _sgd(
    chunk, chunks, param, grad, buffer, lr, momentum, undampened, weight_decay, nesterov, first
):
    for i in _span(chunk, chunks, param.size):
        g = grad[i] + weight_decay * param[i]
        if momentum != 0:
            buffer[i] = g if first else momentum * buffer[i] + undampened * g
            g = g + momentum * buffer[i] if nesterov else buffer[i]
        param[i] -= lr * g


@kernel
def _adam(
    chunk, chunks, param, grad, exp_avg, exp_avg_sq, keep, weight_decay, beta1, new1, beta2, new2,
    root_correction, eps, step_size
):  # fmt: skip
    for i in _span(chunk, chunks, param.size):
        p = param[i] * keep
        g = grad[i] + weight_decay * p
        m = exp_avg[i] + new1 * (g - exp_avg[i])
        v = beta2 * exp_avg_sq[i] + new2 * (g * g)
        exp_avg[i], exp_avg_sq[i] = m, v
        param[i] = p - step_size * (m / (np.sqrt(v) / root_correction + eps))


@kernel
def _rmsprop(
    chunk, chunks, param, grad, square_avg, buffer, grad_avg, lr, alpha, new, eps, weight_decay,
    momentum
):  # fmt: skip
    zero = np.float32(0)
    for i in _span(chunk, chunks, param.size):
        g = grad[i] + weight_decay * param[i]
        square_avg[i] = alpha * square_avg[i] + new * (g * g)
        variance = square_avg[i]
        if grad_avg.size > 0:
            grad_avg[i] += new * (g - grad_avg[i])
            variance = variance - grad_avg[i] * grad_avg[i]
            # A variance, so never negative, but rounding may say otherwise.
            variance = zero if variance < 0 else variance
        update = g / (np.sqrt(variance) + eps)
        if buffer.size > 0:
            buffer[i] = momentum * buffer[i] + update
            update = buffer[i]
        param[i] -= lr * update


def _fits(*arrays: Array | None) -> bool:
    """In place and flat needs contiguous float32; anything else goes to the reference."""
    return all_float32(*arrays) and all([a is None or a.flags.c_contiguous for a in arrays])


def _update(function: Callable[..., None], arrays: tuple[Array | None, ...], *rest: Any) -> None:
    flat = [_NONE if array is None else array.reshape(-1) for array in arrays]
    run(function, chunks_for(flat[0].size, _SMALLEST), *flat, *rest)


def sgd_step(
    param: Array,
    grad: Array,
    momentum_buffer: Array | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first: bool,
) -> None:
    """PyTorch's SGD; `first` says that momentum_buffer starts as the gradient."""
    arrays = (param, grad, momentum_buffer)
    if not _fits(*arrays):
        scalars = (lr, momentum, dampening, weight_decay)
        return reference.sgd_step(*arrays, *scalars, nesterov=nesterov, first=first)
    if momentum_buffer is None:
        momentum = 0.0
    scalars = (lr, momentum, 1 - dampening, weight_decay)
    _update(_sgd, arrays, *(np.float32(v) for v in scalars), bool(nesterov), bool(first))


def adam_step(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: int,
) -> None:
    """PyTorch's Adam, or AdamW when decoupled."""
    arrays = (param, grad, exp_avg, exp_avg_sq)
    if not _fits(*arrays):
        betas, rest = (beta1, beta2), (eps, weight_decay)
        return reference.adam_step(*arrays, lr, *betas, *rest, decoupled=decoupled, step=step)
    keep, added = (1 - lr * weight_decay, 0.0) if decoupled else (1.0, weight_decay)
    root_correction = math.sqrt(1 - beta2**step)
    step_size = lr / (1 - beta1**step)
    scalars = (keep, added, beta1, 1 - beta1, beta2, 1 - beta2, root_correction, eps, step_size)
    _update(_adam, arrays, *(np.float32(v) for v in scalars))


def rmsprop_step(
    param: Array,
    grad: Array,
    square_avg: Array,
    momentum_buffer: Array | None,
    grad_avg: Array | None,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
) -> None:
    """PyTorch's RMSprop (centered when grad_avg is given)."""
    arrays = (param, grad, square_avg, momentum_buffer, grad_avg)
    if not _fits(*arrays):
        return reference.rmsprop_step(*arrays, lr, alpha, eps, weight_decay, momentum)
    if momentum == 0:
        arrays = (param, grad, square_avg, None, grad_avg)
    scalars = (lr, alpha, 1 - alpha, eps, weight_decay, momentum)
    _update(_rmsprop, arrays, *(np.float32(v) for v in scalars))
