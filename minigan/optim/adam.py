"""Adam (Kingma & Ba 2015), and AdamW with decoupled weight decay (Loshchilov & Hutter 2019)."""

from __future__ import annotations

from minigan.backends.protocol import Kernels
from minigan.errors import ConfigError
from minigan.optim.clock import Clock
from minigan.optim.optimizer import Group, Optimizer, Params, arrays_of, zeros_beside
from minigan.tensor import Tensor


class Adam(Optimizer):
    """p -= lr m' / (sqrt(v') + eps), with m' and v' the bias-corrected averages of g and g^2.

    m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, g = gradient + weight_decay p.
    """

    _decoupled = False
    _counts_on_device = True  # for the bias corrections

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
        self, kernels: Kernels, params: list[Tensor], rows: list[int], group: Group, clock: Clock
    ) -> None:
        states = [self.state[param] for param in params]
        for param, state in zip(params, states, strict=True):
            if not state:
                state.update(step=0, exp_avg=zeros_beside(param), exp_avg_sq=zeros_beside(param))
        beta1, beta2 = group["betas"]
        kernels.adam_steps(
            arrays_of(params),
            arrays_of(param.grad for param in params),
            arrays_of(state["exp_avg"] for state in states),
            arrays_of(state["exp_avg_sq"] for state in states),
            clock.array,
            rows,
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            self._decoupled,
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
