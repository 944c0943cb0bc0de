"""RMSprop (Tieleman & Hinton 2012, Coursera lecture 6.5)."""

from __future__ import annotations

from typing import Any

from minigan.backends.protocol import Array, Kernels
from minigan.optim.optimizer import Group, Optimizer, Params, zeros_beside
from minigan.tensor import Tensor


class RMSprop(Optimizer):
    """p -= lr g / (sqrt(v) + eps), v = alpha v + (1 - alpha) g^2, g = gradient + weight_decay p.

    `centered` subtracts the squared average of g from v; `momentum` accumulates the steps.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay,
                    "momentum": momentum, "centered": centered}  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        super()._check(group)
        self._require_at_least_0(group, "alpha", "eps", "momentum")

    def _update(
        self, kernels: Kernels, param: Tensor, grad: Array, group: Group, state: dict[str, Any]
    ) -> None:
        if not state:
            state.update(step=0, square_avg=zeros_beside(param))
            if group["momentum"] > 0:
                state["momentum_buffer"] = zeros_beside(param)
            if group["centered"]:
                state["grad_avg"] = zeros_beside(param)
        state["step"] += 1
        buffer, average = state.get("momentum_buffer"), state.get("grad_avg")
        kernels.rmsprop_step(
            param._array,
            grad,
            state["square_avg"]._array,
            None if buffer is None else buffer._array,
            None if average is None else average._array,
            group["lr"],
            group["alpha"],
            group["eps"],
            group["weight_decay"],
            group["momentum"],
        )
