"""Layers that enlarge images."""

from __future__ import annotations

from typing import Any

from minigan.errors import ConfigError
from minigan.nn import functional as F
from minigan.nn.module import Module, require_input
from minigan.tensor import Tensor


class Upsample(Module):
    """Resizes [N, C, H, W] to `size` or by `scale_factor`, mode "nearest" or "bilinear"."""

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        super().__init__()
        if (size is None) == (scale_factor is None):
            raise ConfigError(f"Upsample needs either size or scale_factor; got size={size}, "
                              f"scale_factor={scale_factor}")  # fmt: skip
        if mode not in ("nearest", "bilinear"):
            raise ConfigError(f"Upsample: mode {mode!r} is unknown: use 'nearest' or 'bilinear'")
        if mode == "nearest" and align_corners is not None:
            raise ConfigError("Upsample: align_corners belongs to mode='bilinear'")
        if isinstance(scale_factor, tuple | list):
            scale_factor = tuple(float(factor) for factor in scale_factor)
        elif scale_factor is not None:
            scale_factor = float(scale_factor)
        self.size, self.scale_factor = size, scale_factor
        self.mode, self.align_corners = mode, align_corners

    def forward(self, input: Tensor) -> Tensor:
        require_input(self, input, lambda shape: len(shape) == 4, "[N, C, H, W]")
        return F.interpolate(input, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        how = f"size={self.size}" if self.scale_factor is None else (
            f"scale_factor={self.scale_factor}")  # fmt: skip
        return f"{how}, mode={self.mode!r}"


class PixelShuffle(Module):
    """[N, C r^2, H, W] -> [N, C, H r, W r]: channels become pixels (Shi et al. 2016)."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        square = self.upscale_factor**2
        require_input(
            self,
            input,
            lambda shape: len(shape) == 4 and shape[1] % square == 0,
            f"[N, a multiple of {square}, H, W]",
        )
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"
