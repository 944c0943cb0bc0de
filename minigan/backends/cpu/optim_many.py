"""The optimisers' steps of many parameters: the passes of `optim.py`, one after the other.

They take the clock as it is. Parameters that do not fit go, with all others, one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from minigan.backends import reference
from minigan.backends.cpu.optim import (
    adam_step,
    count_up,
    fits,
    rmsprop_step,
    sgd_step,
    timed_adam,
    timed_rmsprop,
    timed_sgd,
)
from minigan.backends.cpu.threads import run
from minigan.backends.protocol import Array


def sgd_steps(
    params: Sequence[Array],
    grads: Sequence[Array],
    momentum_buffers: Sequence[Array | None],
    clock: Array,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first: bool,
) -> None:
    """sgd_step for each parameter."""
    each = list(zip(params, grads, momentum_buffers, strict=True))
    rest = (momentum, dampening, weight_decay, nesterov, first)
    if not all([fits(*arrays) for arrays in each]):
        reference.sgd_steps(params, grads, momentum_buffers, clock, *rest, one=sgd_step)
        return
    for arrays in each:
        timed_sgd(arrays, clock, *rest)


def adam_steps(
    params: Sequence[Array],
    grads: Sequence[Array],
    exp_avgs: Sequence[Array],
    exp_avg_sqs: Sequence[Array],
    clock: Array,
    rows: Sequence[int],
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """adam_step for each parameter, whose steps are counted up by one first."""
    each = list(zip(params, grads, exp_avgs, exp_avg_sqs, strict=True))
    rest, moments = (beta1, beta2, eps, weight_decay), (exp_avgs, exp_avg_sqs)
    if not all([fits(*arrays) for arrays in each]):
        reference.adam_steps(params, grads, *moments, clock, rows, *rest, decoupled, one=adam_step)
        return
    run(count_up, 1, clock, _numbers(tuple(rows)))
    for row, arrays in zip(rows, each, strict=True):
        timed_adam(arrays, clock, row, *rest, decoupled)


def rmsprop_steps(
    params: Sequence[Array],
    grads: Sequence[Array],
    square_avgs: Sequence[Array],
    momentum_buffers: Sequence[Array | None],
    grad_avgs: Sequence[Array | None],
    clock: Array,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
) -> None:
    """rmsprop_step for each parameter."""
    lists = (params, grads, square_avgs, momentum_buffers, grad_avgs)
    each = list(zip(*lists, strict=True))
    rest = (alpha, eps, weight_decay, momentum)
    if not all([fits(*arrays) for arrays in each]):
        reference.rmsprop_steps(*lists, clock, *rest, one=rmsprop_step)
        return
    for arrays in each:
        timed_rmsprop(arrays, clock, *rest)


@lru_cache(maxsize=256)
def _numbers(rows: tuple[int, ...]) -> Array:
    return np.array(rows, np.int64)
