"""Gradients held within bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable

from minigan import creation
from minigan.autograd import no_grad
from minigan.ops import stack
from minigan.tensor import Tensor


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    params = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in params if p.grad is not None]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0
) -> Tensor:
    """Scale all gradients so that their joint norm is at most max_norm; returns the norm before.

    No value is read back: the factor min(1, max_norm / norm) is applied always.
    """
    grads = _gradients(parameters)
    with no_grad():
        if not grads:
            return creation.zeros(())
        norms = stack([g.norm(norm_type) for g in grads])
        total = norms.norm(norm_type) if norm_type != math.inf else norms.max()
        factor = (max_norm / (total + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(factor)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of every gradient to [-clip_value, clip_value]."""
    with no_grad():
        for grad in _gradients(parameters):
            grad.clamp_(-clip_value, clip_value)
