"""EBGAN: the discriminator is an autoencoder, its error an energy (Zhao, Mathieu & LeCun 2017).

D encodes and decodes an image. The mean square of what it gets wrong,

    e(x) = mean over pixels of (Dec(Enc(x)) - x)^2,

is low for data, which D learns to reproduce, and should be at least a margin m for generated
images. A probability is one number for an image; this error speaks of every pixel. With the codes
S_i = Enc(G(z_i)) of a batch:

    D minimises E e(x) + E max(0, m - e(G(z)))
    G minimises E e(G(z)) + lambda_pt / (N(N-1)) sum over i != j of cos(S_i, S_j)^2

The second term of G, "pulling away", turns the codes of a batch away from each other, so that G
does not settle on one image. It is squared: opposite codes are no better than equal ones, and the
best are orthogonal. The hinge is taken image by image: on the mean of a batch, a few images of
high energy would hide all others from D. And x stands twice in e(x), as input and as target, so
G's gradient flows through both. Taking the target for a constant leaves the descent to the output
of D, which is another direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minigan import nn
from minigan.models import base
from minigan.models.config import (
    WithAdam,
    WithLatent,
    at_least_one,
    multiple_of,
    not_negative,
    positive,
)
from minigan.models.dcgan import UpsampleGenerator
from minigan.models.init import dcgan_init_
from minigan.objectives import margin_fake, pulling_away
from minigan.tensor import Tensor


@dataclass(frozen=True)
class Config(WithAdam, WithLatent):
    """Defaults of the reference implementation for MNIST at 32x32."""

    latent_dim: int = 62
    """Length of the latent vector."""
    embedding_dim: int = 32
    """Length of the autoencoder's code."""
    margin: float = 1.0
    """Energy that D wants of generated images: a mean square, so pixels off by 1 have energy 1."""
    lambda_pt: float = 0.1
    """Weight of the pulling-away term; 0 for none."""
    bn_eps: float = 1e-5
    """Epsilon of the networks' BatchNorm."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "embedding_dim")
        positive(self, "margin", "bn_eps")
        multiple_of(self, 4, "the generator doubles the image twice")
        not_negative(self, "lambda_pt")


class Autoencoder(nn.Module):
    """Images [N, C, H, W] -> their reconstruction, alike, and codes [N, embedding_dim].

    The reconstruction is not bounded: it may leave [-1, 1] to give an image a high energy.
    """

    def __init__(self, img_size: int, channels: int, embedding_dim: int, bn_eps: float) -> None:
        super().__init__()
        half = img_size // 2
        features = 64 * half**2
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(features, embedding_dim),
        )
        self.decoder = nn.Sequential(
            nn.BatchNorm1d(embedding_dim, eps=bn_eps),
            nn.ReLU(),
            nn.Linear(embedding_dim, features),
            nn.BatchNorm1d(features, eps=bn_eps),
            nn.ReLU(),
            nn.Unflatten(1, (64, half, half)),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(64, channels, 3, stride=1, padding=1),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        codes = self.encoder(images)
        return self.decoder(codes), codes


def energy(reconstruction: Tensor, images: Tensor) -> Tensor:
    """The mean square error of each image's pixels, [N].

    Its gradient with respect to x is 2/P (J - I)^T (Dec(Enc(x)) - x), with D's Jacobian J and P
    pixels: `images` must not be detached, or the I is lost.
    """
    return ((reconstruction - images) ** 2).flatten(1).mean(1)


class EBGAN(base.Model):
    """One step: the generator against the autoencoder as it is, then the autoencoder."""

    name = "ebgan"
    description = "Energy-based GAN: the discriminator is an autoencoder, its error an energy."
    Config = Config

    def build(self) -> None:
        config = self.config
        image, eps = (config.img_size, config.channels), config.bn_eps
        self.generator = self.networks["generator"] = UpsampleGenerator(
            config.latent_dim, *image, eps, first_norm=False
        )
        self.discriminator = self.networks["discriminator"] = Autoencoder(
            *image, config.embedding_dim, eps
        )
        for name, network in list(self.networks.items()):
            dcgan_init_(network)
            self.optimizers[name] = self.adam(network)

    def update(self, images: Tensor, labels: Any) -> dict[str, Tensor]:
        fakes = self.generator(self.draw_latent(images.shape[0]))
        self.optimizers["generator"].zero_grad()
        with base.frozen(self.discriminator):
            reconstruction, codes = self.discriminator(fakes)
            apart = pulling_away(codes)
            g_loss = energy(reconstruction, fakes).mean() + self.config.lambda_pt * apart
            g_loss.backward()
        self.optimizers["generator"].step()

        fakes = fakes.detach()
        self.optimizers["discriminator"].zero_grad()
        real_energies = energy(self.discriminator(images)[0], images)
        fake_energies = energy(self.discriminator(fakes)[0], fakes)
        d_loss = real_energies.mean() + margin_fake(fake_energies, self.config.margin)
        d_loss.backward()
        self.optimizers["discriminator"].step()

        return {
            "d_loss": d_loss.detach(),
            "g_loss": g_loss.detach(),
            "real_energy": real_energies.detach().mean(),
            "fake_energy": fake_energies.detach().mean(),
            "pulling_away": apart.detach(),
        }

    def decode(self, latent: Tensor, labels: Any = None, codes: Any = None) -> Tensor:
        return self.sampler()(latent)
