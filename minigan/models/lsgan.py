"""LSGAN: least squares instead of cross-entropy (Mao et al. 2017).

D's output is drawn to 1 on data and to 0 on generated images, and G draws it to 1:

    D minimises 1/2 E (D(x) - 1)^2 + 1/2 E D(G(z))^2
    G minimises     E (D(G(z)) - 1)^2

The cross-entropy stops caring about an image once D takes it for data, however far from the data
it is. The square still pulls it closer, on either side of the boundary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from minigan import nn
from minigan.models.config import (
    WithAdam,
    WithAdversary,
    WithLatent,
    fits_upsample_trunk,
    positive,
    share,
)
from minigan.models.dcgan import UpsampleBody, UpsampleGenerator
from minigan.models.gan import GAN
from minigan.models.init import dcgan_init_


@dataclass(frozen=True)
class Config(WithAdversary, WithAdam, WithLatent):
    """Defaults of the common implementation for MNIST at 32x32."""

    gan_mode: Literal["vanilla", "minimax", "lsgan", "hinge", "wasserstein"] = "lsgan"
    """Adversarial loss; lsgan is least squares."""
    bn_eps: float = 1e-5
    """Epsilon of the networks' BatchNorm."""
    dropout: float = 0.25
    """Share of channels that the discriminator drops."""

    def __post_init__(self) -> None:
        super().__post_init__()
        fits_upsample_trunk(self)
        positive(self, "bn_eps")
        share(self, "dropout")


class LSGAN(GAN):
    """The game of GAN with least squares, between convolutional networks."""

    name = "lsgan"
    description = "Least squares GAN: a loss that still pulls where the cross-entropy is content."
    Config = Config

    def build(self) -> None:
        config = self.config
        image, eps = (config.img_size, config.channels), config.bn_eps
        generator = UpsampleGenerator(config.latent_dim, *image, eps, first_norm=False)
        body = UpsampleBody(*image, eps, config.dropout)
        discriminator = nn.Sequential(body, nn.Linear(body.features, 1))
        for network in (generator, discriminator):
            dcgan_init_(network)
        self.play(generator, discriminator)
