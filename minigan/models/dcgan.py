"""DCGAN: convolutions and BatchNorm instead of full connections (Radford et al. 2015).

The game is that of gan.py; what is new are the networks. The generator widens a latent vector to a
small image of many channels and doubles its size until it is done, the discriminator halves the
image again. Three pairs of them are in use, and `trunk` chooses one:

    infogan    28x28: the networks of the InfoGAN paper, on which many MNIST results were measured
    upsample   multiples of 16 from 32 on: nearest upsampling and 3x3 convolutions, which leave no
               checkerboard
    strided    16, 32, 64, 128, ...: the paper's own, transposed 4x4 convolutions of stride 2

`auto` takes infogan at 28, strided from 64 on where the size fits, upsample otherwise.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

from minigan import nn
from minigan.errors import ConfigError
from minigan.models.config import (
    WithAdam,
    WithAdversary,
    WithLatent,
    fits_upsample_trunk,
    multiple_of,
    positive,
    share,
)
from minigan.models.gan import GAN
from minigan.models.init import dcgan_init_
from minigan.tensor import Tensor


@dataclass(frozen=True)
class Config(WithAdversary, WithAdam, WithLatent):
    """Defaults of the reference implementations."""

    img_size: int = 28
    """Height and width of the images."""
    trunk: Literal["auto", "infogan", "upsample", "strided"] = "auto"
    """Which networks; auto chooses by img_size."""
    bn_eps: float = 1e-5
    """Epsilon of the networks' BatchNorm."""
    dropout: float = 0.25
    """Share of channels that the discriminator drops (trunk upsample)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "bn_eps")
        share(self, "dropout")
        if self.chosen_trunk == "infogan":
            multiple_of(self, 4, "this discriminator halves the image twice")
        elif self.chosen_trunk == "upsample":
            fits_upsample_trunk(self)
        elif self.img_size < 16 or self.img_size & (self.img_size - 1):
            raise ConfigError(
                f"img_size is {self.img_size}: strided networks double from 4x4, so use a power "
                "of two from 16 on, or --trunk upsample"
            )

    @property
    def chosen_trunk(self) -> str:
        """The trunk, with "auto" decided."""
        if self.trunk != "auto":
            return self.trunk
        if self.img_size == 28:
            return "infogan"
        is_power_of_two = self.img_size & (self.img_size - 1) == 0
        return "strided" if self.img_size >= 64 and is_power_of_two else "upsample"


# --- infogan -----------------------------------------------------------------------------------


class InfoGANGenerator(nn.Module):
    """Latent [N, latent_dim] -> images [N, C, H, W] in [-1, 1] (Chen et al. 2016, appendix C.1)."""

    def __init__(self, latent_dim: int, img_size: int, channels: int, bn_eps: float) -> None:
        super().__init__()
        start = img_size // 4
        self.model = nn.Sequential(
            nn.Linear(latent_dim, 1024),
            nn.BatchNorm1d(1024, eps=bn_eps),
            nn.ReLU(),
            nn.Linear(1024, 128 * start**2),
            nn.BatchNorm1d(128 * start**2, eps=bn_eps),
            nn.ReLU(),
            nn.Unflatten(1, (128, start, start)),
            nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1),
            nn.BatchNorm2d(64, eps=bn_eps),
            nn.ReLU(),
            nn.ConvTranspose2d(64, channels, 4, stride=2, padding=1),
            nn.Tanh(),
        )

    def forward(self, latent: Tensor) -> Tensor:
        return self.model(latent)


class InfoGANBody(nn.Module):
    """Images [N, C, H, W] -> features [N, 1024]: all of the discriminator but its last layer."""

    def __init__(self, img_size: int, channels: int, bn_eps: float, slope: float = 0.1) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(channels, 64, 4, stride=2, padding=1),
            nn.LeakyReLU(slope),
            nn.Conv2d(64, 128, 4, stride=2, padding=1),
            nn.BatchNorm2d(128, eps=bn_eps),
            nn.LeakyReLU(slope),
            nn.Flatten(),
            nn.Linear(128 * (img_size // 4) ** 2, 1024),
            nn.BatchNorm1d(1024, eps=bn_eps),
            nn.LeakyReLU(slope),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)


# --- upsample ----------------------------------------------------------------------------------


class UpsampleGenerator(nn.Module):
    """Latent [N, latent_dim] -> images [N, C, H, W] in [-1, 1]."""

    def __init__(
        self,
        latent_dim: int,
        img_size: int,
        channels: int,
        bn_eps: float,
        first_norm: bool = True,
    ) -> None:
        super().__init__()
        self.start = img_size // 4
        self.l1 = nn.Linear(latent_dim, 128 * self.start**2)
        self.conv_blocks = nn.Sequential(
            *([nn.BatchNorm2d(128)] if first_norm else []),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 128, 3, stride=1, padding=1),
            nn.BatchNorm2d(128, eps=bn_eps),
            nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 64, 3, stride=1, padding=1),
            nn.BatchNorm2d(64, eps=bn_eps),
            nn.LeakyReLU(0.2),
            nn.Conv2d(64, channels, 3, stride=1, padding=1),
            nn.Tanh(),
        )

    def forward(self, latent: Tensor) -> Tensor:
        return self.conv_blocks(self.l1(latent).view(-1, 128, self.start, self.start))


class UpsampleBody(nn.Module):
    """Images [N, C, H, W] -> features [N, 128 (H/16) (W/16)]; `features` says how many."""

    def __init__(self, img_size: int, channels: int, bn_eps: float, dropout: float) -> None:
        super().__init__()

        def block(in_channels: int, out_channels: int, norm: bool = True) -> list[nn.Module]:
            layers: list[nn.Module] = [
                nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1),
                nn.LeakyReLU(0.2),
                nn.Dropout2d(dropout),
            ]
            return [*layers, nn.BatchNorm2d(out_channels, eps=bn_eps)] if norm else layers

        self.features = 128 * (img_size // 16) ** 2
        self.conv_blocks = nn.Sequential(
            *block(channels, 16, norm=False),
            *block(16, 32),
            *block(32, 64),
            *block(64, 128),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.conv_blocks(images).flatten(1)


# --- strided -----------------------------------------------------------------------------------


def _strided_widths(img_size: int) -> list[int]:
    """Channels at each size between the image and 4x4: 64, 128, 256 and 512 for 64x64."""
    return [64 << halvings for halvings in range(img_size.bit_length() - 3)]


class StridedGenerator(nn.Module):
    """Latent [N, latent_dim] -> images [N, C, H, W] in [-1, 1] (Radford et al. 2015, fig. 1)."""

    def __init__(self, latent_dim: int, img_size: int, channels: int, bn_eps: float) -> None:
        super().__init__()
        widths = _strided_widths(img_size)[::-1]
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(latent_dim, widths[0], 4, bias=False),
            nn.BatchNorm2d(widths[0], eps=bn_eps),
            nn.ReLU(),
        ]
        for inputs, outputs in itertools.pairwise(widths):
            layers += [
                nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(outputs, eps=bn_eps),
                nn.ReLU(),
            ]
        last = nn.ConvTranspose2d(64, channels, 4, stride=2, padding=1, bias=False)
        self.main = nn.Sequential(*layers, last, nn.Tanh())

    def forward(self, latent: Tensor) -> Tensor:
        return self.main(latent.view(*latent.shape, 1, 1))


class StridedDiscriminator(nn.Module):
    """Images [N, C, H, W] -> logits of "real" [N, 1]."""

    def __init__(self, img_size: int, channels: int, bn_eps: float) -> None:
        super().__init__()
        widths = _strided_widths(img_size)
        layers: list[nn.Module] = [
            nn.Conv2d(channels, 64, 4, stride=2, padding=1, bias=False),
            nn.LeakyReLU(0.2),
        ]
        for inputs, outputs in itertools.pairwise(widths):
            layers += [
                nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(outputs, eps=bn_eps),
                nn.LeakyReLU(0.2),
            ]
        self.main = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        return self.main(images).flatten(1)


class DCGAN(GAN):
    """The game of GAN between convolutional networks."""

    name = "dcgan"
    description = "Deep convolutional GAN: the networks that made GANs work on images."
    Config = Config

    def build(self) -> None:
        config = self.config
        image, eps = (config.img_size, config.channels), config.bn_eps
        generator: nn.Module
        discriminator: nn.Module
        if config.chosen_trunk == "infogan":
            generator = InfoGANGenerator(config.latent_dim, *image, eps)
            discriminator = nn.Sequential(InfoGANBody(*image, eps), nn.Linear(1024, 1))
        elif config.chosen_trunk == "upsample":
            generator = UpsampleGenerator(config.latent_dim, *image, eps)
            body = UpsampleBody(*image, eps, config.dropout)
            discriminator = nn.Sequential(body, nn.Linear(body.features, 1))
        else:
            generator = StridedGenerator(config.latent_dim, *image, eps)
            discriminator = StridedDiscriminator(*image, eps)
        for network in (generator, discriminator):
            dcgan_init_(network)
        self.play(generator, discriminator)
