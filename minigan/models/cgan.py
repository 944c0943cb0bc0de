"""CGAN: both networks are told the class (Mirza & Osindero 2014).

    D maximises E ln D(x | y) + E ln(1 - D(G(z | y) | y))
    G maximises E ln D(G(z | y) | y)

D never has to name the class (that is ACGAN): it gets a pair and says whether image and label
belong together as they do in the data, so that G is caught with a good image of the wrong class.

The networks are fully connected, and an embedded label is joined to the first layer's input. Their
common implementation takes least squares for the loss, and so do the defaults here; `--gan_mode
vanilla` is the loss of the paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from minigan import cat, creation, nn
from minigan.autograd import no_grad
from minigan.models import base
from minigan.models.config import (
    WithAdam,
    WithAdversary,
    WithClasses,
    WithLatent,
    positive,
    share,
)
from minigan.objectives import adversarial, penalty
from minigan.tensor import Tensor


@dataclass(frozen=True)
class Config(WithAdversary, WithClasses, WithAdam, WithLatent):
    """Defaults of the common implementation for MNIST at 32x32."""

    gan_mode: Literal["vanilla", "minimax", "lsgan", "hinge", "wasserstein"] = "lsgan"
    """Adversarial loss; lsgan is least squares, vanilla the paper's cross-entropy."""
    bn_eps: float = 1e-5
    """Epsilon of the generator's BatchNorm."""
    dropout: float = 0.4
    """Share of features that the discriminator drops."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "bn_eps")
        share(self, "dropout")


class Generator(nn.Module):
    """Latent [N, latent_dim] and labels [N] -> images [N, C, H, W] in [-1, 1]."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.image_shape = (config.channels, config.img_size, config.img_size)

        def block(inputs: int, outputs: int) -> list[nn.Module]:
            norm = nn.BatchNorm1d(outputs, eps=config.bn_eps)
            return [nn.Linear(inputs, outputs), norm, nn.LeakyReLU(0.2)]

        self.label_emb = nn.Embedding(config.n_classes, config.n_classes)
        self.model = nn.Sequential(
            nn.Linear(config.latent_dim + config.n_classes, 128),
            nn.LeakyReLU(0.2),
            *block(128, 256),
            *block(256, 512),
            *block(512, 1024),
            nn.Linear(1024, math.prod(self.image_shape)),
            nn.Tanh(),
        )

    def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
        joined = cat([self.label_emb(labels), latent], 1)
        return self.model(joined).view(-1, *self.image_shape)


class Discriminator(nn.Module):
    """Images [N, C, H, W] and labels [N] -> logits of "a real pair" [N, 1]."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        pixels = config.channels * config.img_size**2
        self.label_embedding = nn.Embedding(config.n_classes, config.n_classes)
        self.model = nn.Sequential(
            nn.Linear(config.n_classes + pixels, 512),
            nn.LeakyReLU(0.2),
            nn.Linear(512, 512),
            nn.Dropout(config.dropout),
            nn.LeakyReLU(0.2),
            nn.Linear(512, 512),
            nn.Dropout(config.dropout),
            nn.LeakyReLU(0.2),
            nn.Linear(512, 1),
        )

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.model(cat([images.flatten(1), self.label_embedding(labels)], 1))


class CGAN(base.Model):
    """One step: the generator against the discriminator as it is, then the discriminator."""

    name = "cgan"
    description = "Conditional GAN: generator and discriminator are told the class."
    needs_labels = True
    Config = Config

    def build(self) -> None:
        config = self.config
        self.generator = self.networks["generator"] = Generator(config)
        self.discriminator = self.networks["discriminator"] = Discriminator(config)
        for name, network in list(self.networks.items()):
            self.optimizers[name] = self.adam(network)
        self.loss = adversarial(config.gan_mode)

    def update(self, images: Tensor, labels: Any) -> dict[str, Tensor]:
        n = images.shape[0]
        latent = self.draw_latent(n)
        asked = creation.randint(0, self.config.n_classes, (n,), device=self.device)

        fakes = self.generator(latent, asked)
        self.optimizers["generator"].zero_grad()
        with base.frozen(self.discriminator):
            g_loss = self.loss.generator(self.discriminator(fakes, asked))
            g_loss.backward()
        self.optimizers["generator"].step()

        fakes = fakes.detach()
        self.optimizers["discriminator"].zero_grad()
        real_logits = self.discriminator(images, labels)
        fake_logits = self.discriminator(fakes, asked)
        d_loss = 0.5 * (self.loss.real(real_logits) + self.loss.fake(fake_logits))
        if self.config.penalty != "none":
            held_down = penalty(
                self.config.penalty,
                lambda x: self.discriminator(x, labels),
                images,
                fakes,
                lambda x: self.discriminator(x, asked),
            )
            d_loss = d_loss + self.config.penalty_weight * held_down
        d_loss.backward()
        self.optimizers["discriminator"].step()

        with no_grad():
            return {
                "d_loss": d_loss.detach(),
                "g_loss": g_loss.detach(),
                "d_x": self.loss.score(real_logits).mean(),
                "d_g_z": self.loss.score(fake_logits).mean(),
            }

    def decode(self, latent: Tensor, labels: Any = None, codes: Any = None) -> Tensor:
        return self.sampler()(latent, self.class_labels(labels, latent.shape[0]))

    def sample_grid(self, seed: int) -> tuple[Any, int]:
        return self.class_grid(seed)
