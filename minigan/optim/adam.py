"""Adam (Kingma & Ba 2015), and AdamW with decoupled weight decay (Loshchilov & Hutter 2019)."""

from __future__ import annotations

from typing import Any

from minigan.backends.protocol import Array, Kernels
from minigan.errors import ConfigError
from minigan.optim.optimizer import Group, Optimizer, Params, zeros_beside
from minigan.tensor import Tensor


class Adam(Optimizer):
    """p -= lr m' / (sqrt(v') + eps), with m' and v' the bias-corrected averages of g and g^2.

    m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, g = gradient + weight_decay p.
    """

    _decoupled = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        super()._check(group)
        self._require_at_least_0(group, "eps")
        betas = group["betas"]
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ConfigError(f"{type(self).__name__}: betas must be two numbers in [0, 1), "
                              f"got {betas}")  # fmt: skip

    def _update(
        self, kernels: Kernels, param: Tensor, grad: Array, group: Group, state: dict[str, Any]
    ) -> None:
        if not state:
            state.update(step=0, exp_avg=zeros_beside(param), exp_avg_sq=zeros_beside(param))
        state["step"] += 1
        beta1, beta2 = group["betas"]
        kernels.adam_step(
            param._array,
            grad,
            state["exp_avg"]._array,
            state["exp_avg_sq"]._array,
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            self._decoupled,
            state["step"],
        )


class AdamW(Adam):
    """Adam whose weight decay acts on the parameter itself: p *= 1 - lr weight_decay first."""

    _decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
