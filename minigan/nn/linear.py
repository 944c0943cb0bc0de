"""Fully connected layers."""

from __future__ import annotations

import math
from typing import Any

from minigan.creation import empty
from minigan.nn import functional as F
from minigan.nn import init
from minigan.nn.module import Module, require_input
from minigan.nn.parameter import Parameter
from minigan.ops import linear_activation
from minigan.tensor import Tensor


class Linear(Module):
    """y = x weight^T + bias: [..., in_features] -> [..., out_features].

    weight [out, in] and bias [out] start as U(-b, b), b = 1 / sqrt(in_features).
    """

    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(empty(out_features, in_features, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init_uniform_by_fan_in(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        self._require_input(input)
        return F.linear(input, self.weight, self.bias)

    def activated(self, input: Tensor, negative_slope: float) -> Tensor:
        """A leaky ReLU of the layer's output: one operation for both."""
        self._require_input(input)
        return linear_activation(input, self.weight, self.bias, negative_slope)

    def _require_input(self, x: Any) -> None:
        features = self.in_features
        require_input(self, x, lambda shape: shape[-1:] == (features,), f"[..., {features}]")

    def extra_repr(self) -> str:
        return (f"in_features={self.in_features}, out_features={self.out_features}, "
                f"bias={self.bias is not None}")  # fmt: skip


def init_uniform_by_fan_in(weight: Tensor, bias: Tensor | None) -> None:
    """PyTorch's default for linear and convolution layers: U(-b, b), b = 1 / sqrt(fan_in)."""
    if not weight.numel():
        return
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        bound = 1 / math.sqrt(math.prod(weight.shape[1:]))
        init.uniform_(bias, -bound, bound)
