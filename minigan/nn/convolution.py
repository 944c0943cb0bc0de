"""Convolution and transposed convolution of images."""

from __future__ import annotations

from typing import Any

from minigan.creation import empty
from minigan.errors import ConfigError, ShapeError
from minigan.nn import functional as F
from minigan.nn.linear import init_uniform_by_fan_in
from minigan.nn.module import Module, require_input
from minigan.nn.parameter import Parameter
from minigan.ops import conv2d_activation
from minigan.ops.operands import pair
from minigan.tensor import Tensor

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """What both directions share: geometry, weight, bias and their representation."""

    bias: Parameter | None
    padding: tuple[int, int] | str
    output_padding: tuple[int, int] = (0, 0)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        transposed: bool,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ConfigError(f"{name}: groups={groups} must divide in_channels={in_channels} and "
                              f"out_channels={out_channels}")  # fmt: skip
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = pair(kernel_size, f"{name}: kernel_size")
        self.stride = pair(stride, f"{name}: stride")
        self.padding = padding if isinstance(padding, str) else pair(padding, f"{name}: padding")
        self.dilation = pair(dilation, f"{name}: dilation")
        self.padding_mode = padding_mode
        if min(*self.kernel_size, *self.stride, *self.dilation) < 1:
            raise ConfigError(
                f"{name}: kernel_size {self.kernel_size}, stride {self.stride} and dilation "
                f"{self.dilation} must be positive"
            )
        ends = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        shape = (ends[0], ends[1] // groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias from U(-b, b), b = 1 / sqrt(weight.shape[1] KH KW)."""
        init_uniform_by_fan_in(self.weight, self.bias)

    def _require_input(self, x: Any) -> None:
        def fits(shape: Any) -> bool:
            return len(shape) in (3, 4) and shape[-3] == self.in_channels

        require_input(self, x, fits, f"[N, {self.in_channels}, H, W] or [{self.in_channels}, H, W]")

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}",
                 f"stride={self.stride}"]  # fmt: skip
        if self.padding != (0, 0):
            parts.append(f"padding={self.padding}")
        if self.dilation != (1, 1):
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != (0, 0):
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class Conv2d(_ConvNd):
    """Convolution (cross-correlation): [N, in_channels, H, W] -> [N, out_channels, OH, OW].

    OH = floor((H + 2 padding - dilation (KH - 1) - 1) / stride) + 1. `padding` is a number or pair,
    "valid" or "same"; `padding_mode` "zeros", "reflect", "replicate" or "circular" says what stands
    in it. weight [out, in / groups, KH, KW].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
                         bias, padding_mode, False, device, dtype)  # fmt: skip
        if padding_mode not in _PADDING_MODES:
            raise ConfigError(f"Conv2d: padding_mode {padding_mode!r} is unknown: use one of "
                              f"{', '.join(_PADDING_MODES)}")  # fmt: skip
        if isinstance(self.padding, str) and self.padding not in ("valid", "same"):
            raise ConfigError(f"Conv2d: padding {padding!r} is unknown: use a number, a pair, "
                              "'valid' or 'same'")  # fmt: skip
        if self.padding == "same" and self.stride != (1, 1):
            raise ConfigError(f"Conv2d: padding='same' needs stride 1, got {self.stride}")

    def _border(self) -> tuple[int, int, int, int]:
        """(left, right, top, bottom), the order of F.pad."""
        if self.padding == "same":  # an odd total puts the extra row and column at the end
            high, wide = (d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True))
            return wide // 2, wide - wide // 2, high // 2, high - high // 2
        high, wide = (0, 0) if isinstance(self.padding, str) else self.padding
        return wide, wide, high, high

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(*self._operands(input))

    def activated(self, input: Tensor, negative_slope: float) -> Tensor:
        """A leaky ReLU of the layer's output: one operation for both."""
        return conv2d_activation(*self._operands(input), negative_slope)

    def _operands(self, input: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Any, Any, Any, int]:
        self._require_input(input)
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._border(), mode=self.padding_mode), 0
        return input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups


class ConvTranspose2d(_ConvNd):
    """Transposed convolution, the adjoint of Conv2d: [N, in, H, W] -> [N, out, OH, OW].

    OH = (H - 1) stride - 2 padding + dilation (KH - 1) + output_padding + 1.
    weight [in, out / groups, KH, KW].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        padding = pair(padding, "ConvTranspose2d: padding")
        if padding_mode != "zeros":
            raise ConfigError(
                f"ConvTranspose2d: padding_mode {padding_mode!r} does not exist; it has 'zeros'"
            )
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
                         bias, padding_mode, True, device, dtype)  # fmt: skip
        self.output_padding = pair(output_padding, "ConvTranspose2d: output_padding")

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        """`output_size` (H, W) or (N, C, H, W) chooses the output_padding of this call."""
        self._require_input(input)
        extra = self.output_padding
        if output_size is not None:
            extra = self._output_padding(input, tuple(output_size)[-2:])
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups,
            self.dilation,
        )  # fmt: skip

    def _output_padding(self, x: Tensor, wanted: Any) -> tuple[int, int]:
        geometry: Any = (self.kernel_size, self.stride, self.padding, self.dilation)
        smallest = [(n - 1) * s - 2 * p + d * (k - 1) + 1
                    for n, k, s, p, d in zip(x.shape[-2:], *geometry, strict=True)]  # fmt: skip
        extra = pair([w - least for w, least in zip(wanted, smallest, strict=True)], "output_size")
        if any(not 0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            largest = [least + s - 1 for least, s in zip(smallest, self.stride, strict=True)]
            raise ShapeError(f"{self!r}: output_size {wanted} must lie between {tuple(smallest)} "
                             f"and {tuple(largest)} for input {tuple(x.shape)}")  # fmt: skip
        return extra
