"""Stochastic gradient descent."""

from __future__ import annotations

from minigan.backends.protocol import Kernels
from minigan.errors import ConfigError
from minigan.optim.clock import Clock
from minigan.optim.optimizer import Group, Optimizer, Params, arrays_of, zeros_beside
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
        self, kernels: Kernels, params: list[Tensor], rows: list[int], group: Group, clock: Clock
    ) -> None:
        new = [param for param in params if "momentum_buffer" not in self.state[param]]
        known = [param for param in params if "momentum_buffer" in self.state[param]]
        if group["momentum"] != 0:
            for param in new:
                self.state[param]["momentum_buffer"] = zeros_beside(param)
        for batch, first in ((new, True), (known, False)):
            if batch:
                kernels.sgd_steps(
                    arrays_of(batch),
                    arrays_of(param.grad for param in batch),
                    arrays_of(self.state[param].get("momentum_buffer") for param in batch),
                    clock.array,
                    group["momentum"],
                    group["dampening"],
                    group["weight_decay"],
                    group["nesterov"],
                    first,
                )
