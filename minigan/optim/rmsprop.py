"""RMSprop (Tieleman & Hinton 2012), the optimiser of the original WGAN."""

from __future__ import annotations

from typing import Any

from minigan.backends import kernels_for
from minigan.optim.optimizer import Optimizer, Params, check_range, zeros_like
from minigan.tensor import Tensor


class RMSprop(Optimizer):
    """v = alpha v + (1 - alpha) g^2, p = p - lr g / (sqrt(v) + eps); with optional momentum.

    `centered` subtracts the square of the mean gradient from v.
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
        for name, value in (("lr", lr), ("eps", eps), ("weight_decay", weight_decay)):
            check_range(name, value)
        check_range("alpha", alpha)
        check_range("momentum", momentum)
        defaults = dict(
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
        )
        super().__init__(params, defaults)

    def update(
        self, param: Tensor, grad: Any, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        if not state:
            state.update(step=0, square_avg=zeros_like(param))
            if group["momentum"]:
                state["momentum_buffer"] = zeros_like(param)
            if group["centered"]:
                state["grad_avg"] = zeros_like(param)
        state["step"] += 1
        buffer, average = state.get("momentum_buffer"), state.get("grad_avg")
        kernels_for(grad).rmsprop_step(
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
