"""Limits on gradients, in place, between backward and the optimiser's step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minigan.backends import kernels_for
from minigan.creation import zeros
from minigan.errors import GradError
from minigan.tensor import Tensor


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    params = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [param.grad for param in params if param.grad is not None]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients so that their common norm is at most `max_norm`.

    Returns the norm before, a 0-d tensor; the scaling itself reads nothing back from the device.
    """
    grads = _gradients(parameters)
    if not grads:
        return zeros(())
    arrays = [grad._array for grad in grads]
    kernels = kernels_for(arrays[0])
    xp = kernels.xp
    each = [_norm(xp, array.reshape(-1), norm_type).reshape(1) for array in arrays]
    norms = kernels.concatenate(each, 0)
    total = _norm(xp, norms, norm_type)
    if error_if_nonfinite and not bool(xp.isfinite(total)):
        raise GradError(f"clip_grad_norm_: the norm of the gradients is {float(total)}")
    factor = xp.minimum(max_norm / (total + 1e-6), 1.0)
    for grad in grads:
        grad._array *= factor.astype(grad.dtype)
        grad._version[0] += 1
    return Tensor._wrap(xp.asarray(total))


def _norm(xp: Any, values: Any, p: float) -> Any:
    return xp.asarray(xp.linalg.norm(values, p))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of the gradients to [-clip_value, clip_value]."""
    for grad in _gradients(parameters):
        grad._array.clip(-clip_value, clip_value, out=grad._array)
        grad._version[0] += 1
