"""PatchGAN: a discriminator that judges patches, not images (Isola et al. 2017, sec. 3.2.2).

It is fully convolutional, so each of its logits sees only a square of the image, and the loss is
the mean over all of them: D asks of every patch whether it is real. Large shapes are left to
another term of the generator's loss (L1, or a cycle). With n_layers = 3 a logit sees 70x70 pixels,
and an image of 256x256 gives 30x30 logits; at the other end `PixelDiscriminator` sees one pixel.
"""

from __future__ import annotations

import itertools
from typing import Literal

from minigan import nn
from minigan.tensor import Tensor

Norm = Literal["batch", "instance"]


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """BatchNorm by the statistics of the batch at hand, also in eval(), or InstanceNorm.

    A network that translates images is not run with running averages: those of small batches fit
    no single image, and a batch of one makes BatchNorm an instance norm with weights.
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels, track_running_stats=False)
    return nn.InstanceNorm2d(channels)


def bias_before(norm: Norm) -> bool:
    """Whether a convolution before this norm has a bias, as in the authors' networks.

    BatchNorm's own shift stands in for it. Before InstanceNorm, which has no shift, a constant is
    subtracted again, so that bias does nothing; it is there to fit the published sizes.
    """
    return norm == "instance"


class PatchDiscriminator(nn.Module):
    """Images [N, in_channels, H, W] -> logits of "real" [N, 1, h, w], one for each patch.

    h = floor(H / 2^n_layers) - 2. Widths are ndf, 2 ndf, 4 ndf, and 8 ndf from there on.
    """

    def __init__(
        self, in_channels: int, ndf: int = 64, n_layers: int = 3, norm: Norm = "batch"
    ) -> None:
        super().__init__()
        widths = [ndf * min(2**i, 8) for i in range(n_layers + 1)]
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, ndf, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
        ]
        for i, (inputs, outputs) in enumerate(itertools.pairwise(widths), start=1):
            stride, bias = 2 if i < n_layers else 1, bias_before(norm)
            layers += [
                nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1, bias=bias),
                norm_layer(norm, outputs),
                nn.LeakyReLU(0.2),
            ]
        self.model = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)


class PixelDiscriminator(nn.Module):
    """Images [N, in_channels, H, W] -> logits of "real" [N, 1, H, W]: every pixel by its colour."""

    def __init__(self, in_channels: int, ndf: int = 64, norm: Norm = "batch") -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(in_channels, ndf, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(ndf, 2 * ndf, 1, bias=bias_before(norm)),
            norm_layer(norm, 2 * ndf),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * ndf, 1, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)
