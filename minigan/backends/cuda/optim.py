"""Launches of the optimisers' steps: one pass, in place."""

from __future__ import annotations

import math

import numpy as np

from minigan.backends import reference
from minigan.backends.cuda.launch import covered, launcher
from minigan.backends.protocol import Array

_THREADS = 256


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
    """See `protocol.py`. Arrays with gaps go to the reference: the kernel updates in place."""
    state = (param, exp_avg, exp_avg_sq)
    if not covered(*state, grad) or not all(a.flags.c_contiguous for a in state):
        reference.adam_step(
            param, grad, exp_avg, exp_avg_sq, lr, beta1, beta2, eps, weight_decay, decoupled, step
        )
        return
    if param.size == 0:
        return
    to = launcher()
    scalars = (
        lr / (1 - beta1**step),
        math.sqrt(1 - beta2**step),
        1 - beta1,
        beta2,
        1 - beta2,
        eps,
        0.0 if decoupled else weight_decay,
        1 - lr * weight_decay if decoupled else 1.0,
    )
    arrays = (param, to.xp.ascontiguousarray(grad), exp_avg, exp_avg_sq)
    to.launch("optim.cu", "adam_step", (-(-param.size // _THREADS),), _THREADS,
              (*arrays, np.int64(param.size), *map(np.float32, scalars)))  # fmt: skip
