"""Layers that put borders around images. `padding` is an int or (left, right, top, bottom)."""

from __future__ import annotations

from typing import Any, ClassVar

from minigan.errors import ConfigError
from minigan.nn import functional as F
from minigan.nn.module import Module
from minigan.tensor import Tensor


class _Pad2d(Module):
    mode: ClassVar[str]
    value = 0.0

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != 4:
            raise ConfigError(f"padding must be an int or 4 ints; got {padding!r}")

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return str(self.padding)


class ConstantPad2d(_Pad2d):
    """Borders of a constant."""

    mode = "constant"

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ZeroPad2d(_Pad2d):
    """Borders of zeros."""

    mode = "constant"


class ReflectionPad2d(_Pad2d):
    """Borders that mirror the image; the edge itself is not repeated."""

    mode = "reflect"


class ReplicationPad2d(_Pad2d):
    """Borders that repeat the edge."""

    mode = "replicate"
