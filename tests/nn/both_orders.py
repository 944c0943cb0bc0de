"""All that a network gives at first and second order, to compare two ways of running it."""

from __future__ import annotations

from typing import Any

import minigan as mg
from minigan.autograd import grad


def everything(net: Any, x: Any, u: Any, v: Any) -> list[Any]:
    """Output, first gradients recorded and not, second gradients, running statistics."""
    y = net(x)
    leaves = [x, *net.parameters()]
    unrecorded = grad(y, leaves, u, retain_graph=True)
    first = grad(y, leaves, u, create_graph=True)
    penalty = sum(((g * w).sum() ** 2 for g, w in zip(first, v, strict=True)), start=mg.zeros(()))
    second = grad(penalty, [*leaves, u], allow_unused=True)
    values = [y, *unrecorded, *first, *second, *net.buffers()]
    return [None if t is None else t.detach().numpy().copy() for t in values]
