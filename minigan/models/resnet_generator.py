"""A residual network that turns images into images of the same size (Johnson et al. 2016).

Two strided convolutions make the image four times smaller, so that the blocks between are cheap and
see far; two transposed ones make it large again. A block adds to what it gets, so it starts near
the identity: a translation is mostly what is there already. The borders are mirrored, because zeros
would be a frame that is in no image.
"""

from __future__ import annotations

from typing import Literal

from minigan import nn
from minigan.tensor import Tensor

Upsampling = Literal["transposed", "nearest"]


class ResBlock(nn.Module):
    """x + two 3x3 convolutions of x: [N, width, H, W] -> alike."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
            nn.InstanceNorm2d(width),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
            nn.InstanceNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class ResNetGenerator(nn.Module):
    """Images [N, channels, H, W] -> images alike, in [-1, 1]. H and W are multiples of 4.

    `upsampling` nearest repeats pixels and convolves instead of the transposed convolution, which
    may leave a checkerboard (Odena et al. 2016).
    """

    def __init__(
        self, channels: int, ngf: int = 64, n_blocks: int = 9, upsampling: Upsampling = "transposed"
    ) -> None:
        super().__init__()

        def down(width: int) -> list[nn.Module]:
            conv = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
            return [conv, nn.InstanceNorm2d(2 * width), nn.ReLU()]

        def up(width: int) -> list[nn.Module]:
            after = width // 2
            if upsampling == "transposed":
                larger: list[nn.Module] = [
                    nn.ConvTranspose2d(width, after, 3, stride=2, padding=1, output_padding=1)
                ]
            else:
                larger = [
                    nn.Upsample(scale_factor=2),
                    nn.ReflectionPad2d(1),
                    nn.Conv2d(width, after, 3),
                ]
            return [*larger, nn.InstanceNorm2d(after), nn.ReLU()]

        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(channels, ngf, 7),
            nn.InstanceNorm2d(ngf),
            nn.ReLU(),
            *down(ngf),
            *down(2 * ngf),
            *(ResBlock(4 * ngf) for _ in range(n_blocks)),
            *up(4 * ngf),
            *up(2 * ngf),
            nn.ReflectionPad2d(3),
            nn.Conv2d(ngf, channels, 7),
            nn.Tanh(),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)
