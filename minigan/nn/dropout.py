"""Dropout: random zeros in training, the identity in evaluation."""

from __future__ import annotations

from minigan.errors import ConfigError
from minigan.nn import functional as F
from minigan.nn.module import Module, require_input
from minigan.tensor import Tensor


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ConfigError(f"{type(self).__name__}: p must lie in [0, 1], got {p}")
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Zeroes each element with probability p and scales the others by 1 / (1 - p)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training)


class Dropout2d(_Dropout):
    """Zeroes whole channels of [N, C, H, W] with probability p and scales the others."""

    def forward(self, input: Tensor) -> Tensor:
        require_input(self, input, lambda shape: len(shape) == 4, "[N, C, H, W]")
        return F.dropout2d(input, self.p, self.training)
