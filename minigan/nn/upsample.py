"""Layers that raise the resolution."""

from __future__ import annotations

from typing import Any

from minigan.nn import functional as F
from minigan.nn.module import Module
from minigan.tensor import Tensor


class Upsample(Module):
    """[N,C,H,W] resized to `size` or by `scale_factor`; mode "nearest" or "bilinear"."""

    def __init__(
        self, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.size, self.scale_factor = size, scale_factor
        self.mode, self.align_corners = mode, align_corners

    def forward(self, input: Tensor) -> Tensor:
        return F.upsample(input, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        what = "scale_factor" if self.scale_factor is not None else "size"
        return f"{what}={getattr(self, what)}, mode={self.mode!r}"


class PixelShuffle(Module):
    """[N, C r^2, H, W] -> [N, C, H r, W r] (Shi et al. 2016)."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"
