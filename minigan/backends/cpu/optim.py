"""Optimiser steps: one pass over parameter, gradient and state, in place.

The passes are bound by memory traffic: Adam reads four arrays and writes three, once each. What
changes from step to step they read from a clock [learning rate, steps of each parameter ...].
"""

from __future__ import annotations

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
    chunk, chunks, param, grad, buffer, clock, momentum, undampened, weight_decay, nesterov, first
):
    lr = np.float32(clock[0])
    for i in _span(chunk, chunks, param.size):
        g = grad[i] + weight_decay * param[i]
        if momentum != 0:
            buffer[i] = g if first else momentum * buffer[i] + undampened * g
            g = g + momentum * buffer[i] if nesterov else buffer[i]
        param[i] -= lr * g


@kernel
def count_up(chunk, chunks, clock, rows):
    """One step more for some of the parameters."""
    for row in rows:
        clock[1 + row] += 1


@kernel
def _adam(
    chunk, chunks, param, grad, exp_avg, exp_avg_sq, clock, row, beta1, beta2, eps, weight_decay,
    decoupled
):  # fmt: skip
    lr, step = clock[0], clock[1 + row]
    keep = np.float32(1 - lr * weight_decay if decoupled else 1.0)
    added = np.float32(0.0 if decoupled else weight_decay)
    root_correction = np.float32(np.sqrt(1 - beta2**step))
    step_size = np.float32(lr / (1 - beta1**step))
    new1, keep2, new2 = np.float32(1 - beta1), np.float32(beta2), np.float32(1 - beta2)
    eps = np.float32(eps)
    for i in _span(chunk, chunks, param.size):
        p = param[i] * keep
        g = grad[i] + added * p
        m = exp_avg[i] + new1 * (g - exp_avg[i])
        v = keep2 * exp_avg_sq[i] + new2 * (g * g)
        exp_avg[i], exp_avg_sq[i] = m, v
        param[i] = p - step_size * (m / (np.sqrt(v) / root_correction + eps))


@kernel
def _rmsprop(
    chunk, chunks, param, grad, square_avg, buffer, grad_avg, clock, alpha, new, eps, weight_decay,
    momentum
):  # fmt: skip
    lr, zero = np.float32(clock[0]), np.float32(0)
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


def fits(*arrays: Array | None) -> bool:
    """In place and flat needs contiguous float32; anything else goes to the reference."""
    return all_float32(*arrays) and all([a is None or a.flags.c_contiguous for a in arrays])


def _update(function: Callable[..., None], arrays: tuple[Array | None, ...], *rest: Any) -> None:
    flat = [_NONE if array is None else array.reshape(-1) for array in arrays]
    run(function, chunks_for(flat[0].size, _SMALLEST), *flat, *rest)


def timed_sgd(
    arrays: tuple[Array | None, ...],
    clock: Array,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first: bool,
) -> None:
    """SGD's step of (param, grad, momentum_buffer), which fit, at the clock's rate."""
    if arrays[2] is None:
        momentum = 0.0
    scalars = (momentum, 1 - dampening, weight_decay)
    _update(_sgd, arrays, clock, *(np.float32(v) for v in scalars), bool(nesterov), bool(first))


def timed_adam(
    arrays: tuple[Array | None, ...],
    clock: Array,
    row: int,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """Adam's step of (param, grad, exp_avg, exp_avg_sq), which fit, as the clock's parameter
    `row`."""
    scalars = (float(beta1), float(beta2), float(eps), float(weight_decay))
    _update(_adam, arrays, clock, int(row), *scalars, bool(decoupled))


def timed_rmsprop(
    arrays: tuple[Array | None, ...],
    clock: Array,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
) -> None:
    """RMSprop's step of (param, grad, square_avg, momentum_buffer, grad_avg), which fit, at the
    clock's rate."""
    if momentum == 0:
        arrays = (*arrays[:3], None, arrays[4])
    scalars = (alpha, 1 - alpha, eps, weight_decay, momentum)
    _update(_rmsprop, arrays, clock, *(np.float32(v) for v in scalars))


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
    arrays, rest = (param, grad, momentum_buffer), (momentum, dampening, weight_decay)
    if fits(*arrays):
        timed_sgd(arrays, np.array([lr]), *rest, nesterov, first)
    else:
        reference.sgd_step(*arrays, lr, *rest, nesterov=nesterov, first=first)


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
    arrays, rest = (param, grad, exp_avg, exp_avg_sq), (beta1, beta2, eps, weight_decay)
    if fits(*arrays):
        timed_adam(arrays, np.array([lr, step]), 0, *rest, decoupled)
    else:
        reference.adam_step(*arrays, lr, *rest, decoupled, step)


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
    arrays, rest = (param, grad, square_avg, momentum_buffer, grad_avg), (alpha, eps, weight_decay)
    if fits(*arrays):
        timed_rmsprop(arrays, np.array([lr]), *rest, momentum)
    else:
        reference.rmsprop_step(*arrays, lr, *rest, momentum)
