"""RMSprop (Tieleman & Hinton 2012, Coursera lecture 6.5)."""

from __future__ import annotations

from minigan.backends.protocol import Kernels
from minigan.optim.clock import Clock
from minigan.optim.optimizer import Group, Optimizer, Params, arrays_of, zeros_beside
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
        self, kernels: Kernels, params: list[Tensor], rows: list[int], group: Group, clock: Clock
    ) -> None:
        states = [self.state[param] for param in params]
        for param, state in zip(params, states, strict=True):
            if not state:
                state.update(step=0, square_avg=zeros_beside(param))
                if group["momentum"] > 0:
                    state["momentum_buffer"] = zeros_beside(param)
                if group["centered"]:
                    state["grad_avg"] = zeros_beside(param)
        kernels.rmsprop_steps(
            arrays_of(params),
            arrays_of(param.grad for param in params),
            arrays_of(state["square_avg"] for state in states),
            arrays_of(state.get("momentum_buffer") for state in states),
            arrays_of(state.get("grad_avg") for state in states),
            clock.array,
            group["alpha"],
            group["eps"],
            group["weight_decay"],
            group["momentum"],
        )
