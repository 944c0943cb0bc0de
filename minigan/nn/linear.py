"""The fully connected layer."""

from __future__ import annotations

import math
from typing import Any

from minigan import creation
from minigan.errors import ShapeError
from minigan.nn import functional as F
from minigan.nn import init
from minigan.nn.module import Module
from minigan.nn.parameter import Parameter
from minigan.tensor import Tensor


class Linear(Module):
    """y = x W^T + b. [..., in_features] -> [..., out_features]."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        like: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = Parameter(creation.empty(out_features, in_features, **like))
        self.register_parameter(
            "bias", Parameter(creation.empty(out_features, **like)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight and bias ~ U(-1/sqrt(in_features), 1/sqrt(in_features))."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            init.fan_in_uniform_(self.bias, self.in_features)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim == 0 or input.shape[-1] != self.in_features:
            raise ShapeError(
                f"{self!r}: input of shape {tuple(input.shape)} must end in {self.in_features}"
            )
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        sizes = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"
