"""GAN: two networks, one game (Goodfellow et al. 2014).

The discriminator D learns to tell data x from the generator's images G(z), the generator to be
taken for data:

    D maximises E ln D(x) + E ln(1 - D(G(z)))
    G maximises E ln D(G(z))

G's loss is the "non-saturating" one: minimising E ln(1 - D(G(z))), as the game itself asks
(`--gan_mode minimax`), gives G no gradient as long as D is sure, that is, at the start.

Here both are fully connected. D ends in logits, so D(x) above is sigmoid(logits), and the losses
are taken on the logits, where they neither overflow nor round to 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from minigan import nn
from minigan.autograd import no_grad
from minigan.models import base
from minigan.models.config import WithAdam, WithAdversary, WithLatent, positive
from minigan.objectives import adversarial, penalty
from minigan.tensor import Tensor


@dataclass(frozen=True)
class Config(WithAdversary, WithAdam, WithLatent):
    """Defaults of the common implementation for MNIST at 28x28."""

    img_size: int = 28
    """Height and width of the images."""
    bn_eps: float = 1e-5
    """Epsilon of the generator's BatchNorm."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "bn_eps")


class Generator(nn.Module):
    """Latent [N, latent_dim] -> images [N, C, H, W] in [-1, 1]."""

    def __init__(self, latent_dim: int, image_shape: tuple[int, int, int], bn_eps: float) -> None:
        super().__init__()
        self.image_shape = image_shape

        def block(inputs: int, outputs: int) -> list[nn.Module]:
            norm = nn.BatchNorm1d(outputs, eps=bn_eps)
            return [nn.Linear(inputs, outputs), norm, nn.LeakyReLU(0.2)]

        self.model = nn.Sequential(
            nn.Linear(latent_dim, 128),
            nn.LeakyReLU(0.2),
            *block(128, 256),
            *block(256, 512),
            *block(512, 1024),
            nn.Linear(1024, math.prod(image_shape)),
            nn.Tanh(),
        )

    def forward(self, latent: Tensor) -> Tensor:
        return self.model(latent).view(-1, *self.image_shape)


class Discriminator(nn.Module):
    """Images [N, C, H, W] -> logits of "real" [N, 1]."""

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(image_shape), 512),
            nn.LeakyReLU(0.2),
            nn.Linear(512, 256),
            nn.LeakyReLU(0.2),
            nn.Linear(256, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)


class GAN(base.Model):
    """One step: the generator against the discriminator as it is, then the discriminator."""

    name = "gan"
    description = "The original GAN, with fully connected networks."
    Config: ClassVar[type[Any]] = Config

    def build(self) -> None:
        config = self.config
        shape = (config.channels, config.img_size, config.img_size)
        self.play(Generator(config.latent_dim, shape, config.bn_eps), Discriminator(shape))

    def play(self, generator: nn.Module, discriminator: nn.Module) -> None:
        """Train these two against each other."""
        self.generator = self.networks["generator"] = generator
        self.discriminator = self.networks["discriminator"] = discriminator
        for name, network in list(self.networks.items()):
            self.optimizers[name] = self.adam(network)
        self.loss = adversarial(self.config.gan_mode)

    def update(self, images: Tensor, labels: Any) -> dict[str, Tensor]:
        fakes = self.generator(self.draw_latent(images.shape[0]))
        self.optimizers["generator"].zero_grad()
        with base.frozen(self.discriminator):
            g_loss = self.loss.generator(self.discriminator(fakes))
            g_loss.backward()
        self.optimizers["generator"].step()

        # The same images serve again; without detach() D's loss would flow on into G.
        fakes = fakes.detach()
        self.optimizers["discriminator"].zero_grad()
        real_logits, fake_logits = self.discriminator(images), self.discriminator(fakes)
        d_loss = 0.5 * (self.loss.real(real_logits) + self.loss.fake(fake_logits))
        if self.config.penalty != "none":
            held_down = penalty(self.config.penalty, self.discriminator, images, fakes)
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
        return self.sampler()(latent)
