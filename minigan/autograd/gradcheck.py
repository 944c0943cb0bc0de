"""Analytic gradients against central finite differences, first and second order.

The check projects both sides on random directions u (of the output) and v (of the inputs):
u . J v from two evaluations of the function must equal (J^T u) . v from the backward. A random u
matters: with ones, every operation whose outputs sum to a constant would pass with any rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigan.autograd.engine import grad
from minigan.autograd.modes import enable_grad, no_grad
from minigan.errors import DTypeError, GradError
from minigan.tensor import Tensor


def gradcheck(
    fn: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-6,
    directions: int = 3,
    seed: int = 0,
) -> bool:
    """Compare fn's backward with finite differences; raises GradError where they differ.

    `inputs` are float64 tensors (others, and those without requires_grad, are passed on as they
    are). Each input is checked on its own, in `directions` random directions. A difference is an
    error when it exceeds atol + rtol * |numeric|, scaled by the size of the projections.
    """
    args = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = [i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]
    if not checked:
        raise GradError("gradcheck needs an input with requires_grad=True")
    for i in checked:
        if args[i].dtype != np.float64:
            raise DTypeError(f"gradcheck needs float64; input {i} is {args[i].dtype}")
    rng = np.random.default_rng(seed)
    with enable_grad():
        out = fn(*args)
    outs = [out] if isinstance(out, Tensor) else list(out)
    outs = [o for o in outs if o.requires_grad]
    if not outs:
        raise GradError("gradcheck: no output of the function requires a gradient")
    for _ in range(directions):
        ups = [Tensor._wrap(np.asarray(rng.standard_normal(o.shape))) for o in outs]
        analytic = grad(outs, [args[i] for i in checked], ups, retain_graph=True, allow_unused=True)
        again = grad(outs, [args[i] for i in checked], ups, retain_graph=True, allow_unused=True)
        for i, g, g2 in zip(checked, analytic, again, strict=True):
            if g is not None and not np.array_equal(g._array, g2._array, equal_nan=True):
                raise GradError(f"gradcheck: input {i}: two runs of the backward differ")
            direction = rng.standard_normal(args[i].shape)
            sides = [_project(fn, args, i, sign * eps * direction, ups) for sign in (1, -1)]
            numeric = (sides[0] - sides[1]) / (2 * eps)
            value = 0.0 if g is None else float((g._array * direction).sum())
            scale = 1.0 if g is None else float(np.abs(g._array * direction).sum())
            if not abs(value - numeric) <= atol + rtol * max(abs(numeric), scale):
                raise GradError(
                    f"gradcheck: input {i} of shape {tuple(args[i].shape)}: backward gives "
                    f"{value:.9g}, finite differences give {numeric:.9g}"
                )
    return True


def _project(
    fn: Callable[..., Any], args: list[Any], i: int, shift: np.ndarray, ups: list[Tensor]
) -> float:
    """u . fn(args with args[i] shifted)."""
    moved = Tensor._wrap(np.asarray(args[i]._array + shift))
    # A function may itself call autograd.grad (a gradient of a gradient), so record as usual.
    with enable_grad():
        out = fn(*args[:i], moved.requires_grad_(), *args[i + 1 :])
    outs = [out] if isinstance(out, Tensor) else list(out)
    outs = [o for o in outs if o.requires_grad]
    with no_grad():
        return sum(float((u._array * o._array).sum()) for u, o in zip(ups, outs, strict=True))


def gradgradcheck(
    fn: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-6,
    directions: int = 3,
    seed: int = 0,
) -> bool:
    """gradcheck of fn's own gradient: as a function of its inputs and of the upstream gradient."""
    args = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    wanted = [i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]
    rng = np.random.default_rng(seed + 1)
    out = fn(*args)
    outs = [out] if isinstance(out, Tensor) else list(out)
    live = [k for k, o in enumerate(outs) if o.requires_grad]
    ups = [
        Tensor._wrap(np.asarray(rng.standard_normal(outs[k].shape))).requires_grad_() for k in live
    ]

    def gradient(*values: Any) -> list[Tensor]:
        given, upstream = values[: len(args)], values[len(args) :]
        out = fn(*given)
        outs = [out] if isinstance(out, Tensor) else list(out)
        result = grad(
            [outs[k] for k in live],
            [given[i] for i in wanted],
            list(upstream),
            create_graph=True,
            allow_unused=True,
        )
        return [g for g in result if g is not None]

    return gradcheck(gradient, [*args, *ups], eps, atol, rtol, directions, seed)
