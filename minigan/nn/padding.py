"""Borders around images. `padding` is one width, or (left, right, top, bottom)."""

from __future__ import annotations

from collections.abc import Sequence

from minigan.errors import ConfigError
from minigan.nn import functional as F
from minigan.nn.module import Module, require_input
from minigan.tensor import Tensor


class _Pad2d(Module):
    _mode = "constant"
    value = 0.0

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        widths = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
        if len(widths) != 4:
            raise ConfigError(f"{type(self).__name__}: padding is one width or (left, right, top, "
                              f"bottom); got {padding}")  # fmt: skip
        self.padding = widths

    def forward(self, input: Tensor) -> Tensor:
        require_input(self, input, lambda shape: len(shape) in (3, 4), "[N, C, H, W] or [C, H, W]")
        return F.pad(input, self.padding, self._mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(_Pad2d):
    """Zeros; negative widths crop."""


class ConstantPad2d(_Pad2d):
    """The number `value`; negative widths crop."""

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ReflectionPad2d(_Pad2d):
    """The image mirrored at its border pixels; each width must be less than the image."""

    _mode = "reflect"


class ReplicationPad2d(_Pad2d):
    """The border pixels repeated."""

    _mode = "replicate"
