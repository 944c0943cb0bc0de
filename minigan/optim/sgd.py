"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from minigan.backends.protocol import Array, Kernels
from minigan.errors import ConfigError
from minigan.optim.optimizer import Group, Optimizer, Params, zeros_beside
from minigan.tensor import Tensor


class SGD(Optimizer):
    """g = gradient + weight_decay p; b = momentum b + (1 - dampening) g; p -= lr b.

    The first b is g. Nesterov's form steps along g + momentum b; without momentum along g.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "dampening": dampening,
                    "weight_decay": weight_decay, "nesterov": nesterov}  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        super()._check(group)
        self._require_at_least_0(group, "momentum")
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ConfigError(
                "SGD: nesterov needs momentum > 0 and dampening = 0, got "
                f"momentum={group['momentum']}, dampening={group['dampening']}"
            )

    def _update(
        self, kernels: Kernels, param: Tensor, grad: Array, group: Group, state: dict[str, Any]
    ) -> None:
        first = "momentum_buffer" not in state
        if group["momentum"] != 0 and first:
            state["momentum_buffer"] = zeros_beside(param)
        buffer = state.get("momentum_buffer")
        kernels.sgd_step(
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
