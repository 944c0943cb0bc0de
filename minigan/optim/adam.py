"""Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019)."""

from __future__ import annotations

from typing import Any

from minigan.backends import kernels_for
from minigan.optim.optimizer import Optimizer, Params, check_range, zeros_like
from minigan.tensor import Tensor


class Adam(Optimizer):
    """m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, p = p - lr m^ / (sqrt(v^) + eps).

    m^ and v^ are corrected for starting at 0. Weight decay is added to the gradient.
    """

    decoupled = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        check_range("lr", lr)
        check_range("eps", eps)
        check_range("weight_decay", weight_decay)
        for i, beta in enumerate(betas):
            check_range(f"betas[{i}]", beta, below=1.0)
        defaults = dict(lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay)
        super().__init__(params, defaults)

    def update(
        self, param: Tensor, grad: Any, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        if not state:
            state.update(step=0, exp_avg=zeros_like(param), exp_avg_sq=zeros_like(param))
        state["step"] += 1
        kernels_for(grad).adam_step(
            param._array,
            grad,
            state["exp_avg"]._array,
            state["exp_avg_sq"]._array,
            group["lr"],
            group["betas"][0],
            group["betas"][1],
            group["eps"],
            group["weight_decay"],
            self.decoupled,
            state["step"],
        )


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameter itself instead of joining the gradient."""

    decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
