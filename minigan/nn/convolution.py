"""Convolution and transposed convolution layers."""

from __future__ import annotations

import math
from typing import Any

from minigan import creation
from minigan.errors import ConfigError, ShapeError
from minigan.nn import functional as F
from minigan.nn import init
from minigan.nn.module import Module
from minigan.nn.parameter import Parameter
from minigan.ops.operands import pair
from minigan.tensor import Tensor


class _Convolution(Module):
    """What both have: geometry, weight [first, second/groups, KH, KW] and bias [out_channels]."""

    transposed = False

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any,
        dilation: Any, groups: int, bias: bool, padding_mode: str, device: Any, dtype: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ConfigError(
                f"groups={groups} must divide in_channels={in_channels} and "
                f"out_channels={out_channels}"
            )
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ConfigError(f"padding_mode {padding_mode!r} is unknown")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = pair(kernel_size, "kernel_size")
        self.stride = pair(stride, "stride")
        self.padding: Any = padding if isinstance(padding, str) else pair(padding, "padding")
        self.dilation = pair(dilation, "dilation")
        self.groups, self.padding_mode = groups, padding_mode
        first, second = (
            (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        )
        like: dict[str, Any] = {"device": device, "dtype": dtype}
        shape = (first, second // groups, *self.kernel_size)
        self.weight = Parameter(creation.empty(shape, **like))
        self.register_parameter(
            "bias", Parameter(creation.empty(out_channels, **like)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight and bias ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in)), fan_in = shape[1] * KH * KW."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            init.fan_in_uniform_(self.bias, math.prod(self.weight.shape[1:]))

    def _check(self, input: Tensor) -> None:
        if input.ndim not in (3, 4) or input.shape[-3] != self.in_channels:
            raise ShapeError(
                f"{self!r}: input must be [N,{self.in_channels},H,W]; got {tuple(input.shape)}"
            )

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}"
        for name, usual in (("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1)):
            value = getattr(self, name)
            text += f", {name}={value}" if value != usual else ""
        text += "" if self.bias is not None else ", bias=False"
        mode = self.padding_mode
        return text if mode == "zeros" else f"{text}, padding_mode={mode}"


class Conv2d(_Convolution):
    """[N,in_channels,H,W] -> [N,out_channels,OH,OW]; padding may be "same" or "valid"."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1,
        padding: Any = 0, dilation: Any = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
                         bias, padding_mode, device, dtype)  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        padding = self.padding
        if self.padding_mode != "zeros" and padding != "valid":
            input, padding = F.pad(input, self._borders(), mode=self.padding_mode), 0
        return F.conv2d(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def _borders(self) -> tuple[int, int, int, int]:
        """(left, right, top, bottom)."""
        if self.padding == "same":
            total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            (top, left), (h, w) = [n // 2 for n in total], total
            return left, w - left, top, h - top
        top, left = self.padding
        return left, left, top, top


class ConvTranspose2d(_Convolution):
    """[N,in_channels,H,W] -> [N,out_channels,OH,OW], the adjoint of a Conv2d the other way.

    OH = (H - 1) stride - 2 padding + dilation (KH - 1) + output_padding + 1.
    """

    transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1,
        padding: Any = 0, output_padding: Any = 0, groups: int = 1, bias: bool = True,
        dilation: Any = 1, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        if padding_mode != "zeros":
            raise ConfigError(
                f"ConvTranspose2d has padding_mode 'zeros' only, not {padding_mode!r}"
            )
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
                         bias, padding_mode, device, dtype)  # fmt: skip
        self.output_padding = pair(output_padding, "output_padding")

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        self._check(input)
        extra = self.output_padding
        if output_size is not None:
            extra = self._extra(tuple(input.shape[-2:]), tuple(output_size)[-2:])
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups,
            self.dilation,
        )  # fmt: skip

    def _extra(self, hw: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, int]:
        """The output_padding that gives the wanted size."""
        geometry = zip(hw, self.kernel_size, self.stride, self.padding, self.dilation, strict=True)
        smallest = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, k, s, p, d in geometry]
        extra = tuple(int(w) - n for w, n in zip(wanted, smallest, strict=True))
        if any(not 0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            largest = [n + s - 1 for n, s in zip(smallest, self.stride, strict=True)]
            raise ShapeError(
                f"{self!r}: output_size {wanted} is out of reach: it must lie between "
                f"{tuple(smallest)} and {tuple(largest)}"
            )
        return extra

    def extra_repr(self) -> str:
        text = super().extra_repr()
        extra = self.output_padding
        return text if extra == (0, 0) else f"{text}, output_padding={extra}"
