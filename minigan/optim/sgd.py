"""Stochastic gradient descent, with momentum and Nesterov's variant of it."""

from __future__ import annotations

from typing import Any

from minigan.backends import kernels_for
from minigan.errors import ConfigError
from minigan.optim.optimizer import Optimizer, Params, check_range, zeros_like
from minigan.tensor import Tensor


class SGD(Optimizer):
    """b = momentum b + (1 - dampening) g;  p = p - lr b  (Nesterov: p - lr (g + momentum b))."""

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        check_range("lr", lr)
        check_range("momentum", momentum)
        check_range("weight_decay", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ConfigError("nesterov needs a momentum above 0 and a dampening of 0")
        defaults = dict(
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
        )
        super().__init__(params, defaults)

    def update(
        self, param: Tensor, grad: Any, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        first = "momentum_buffer" not in state
        if first and group["momentum"]:
            state["momentum_buffer"] = zeros_like(param)
        buffer = state.get("momentum_buffer")
        kernels_for(grad).sgd_step(
            param._array,
            grad,
            None if buffer is None else buffer._array,
            group["lr"],
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
            first,
        )
