"""WGAN: the discriminator becomes a critic that estimates a distance (Arjovsky et al. 2017).

Over all functions f with slope at most 1, the largest E f(x) - E f(G(z)) is the earth mover's
distance between data and generated images: it falls smoothly as G improves, also where the two do
not overlap at all and the cross-entropy has no gradient to give.

    critic minimises E D(G(z)) - E D(x), its weights clipped to [-c, c] after each step
    G      minimises -E D(G(z))

The critic should be near its optimum, so it takes `n_critic` steps, each on a new batch, before G
takes one. Its gap, E D(x) - E D(G(z)), is logged: up to a factor it is the distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from minigan import nn, optim
from minigan.autograd import no_grad
from minigan.models import base
from minigan.models.config import WithLatent, WithPenalty, at_least_one, positive
from minigan.models.gan import Discriminator, Generator
from minigan.objectives import penalty, wasserstein_fake, wasserstein_real
from minigan.tensor import Tensor


@dataclass(frozen=True)
class Config(WithPenalty, WithLatent):
    """Defaults of the common implementation for MNIST at 28x28, with the paper's RMSprop."""

    lr: float = 5e-5
    """Learning rate of RMSprop."""
    img_size: int = 28
    """Height and width of the images."""
    n_critic: int = 5
    """Steps of the critic for each step of the generator."""
    clip_value: float = 0.01
    """The critic's weights stay between -clip_value and clip_value."""
    bn_eps: float = 1e-5
    """Epsilon of the generator's BatchNorm."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "n_critic")
        positive(self, "clip_value", "bn_eps")


class WGAN(base.Model):
    """One step trains the critic on a batch; every n_critic-th step also trains the generator."""

    name = "wgan"
    description = "Wasserstein GAN: a critic with clipped weights estimates a distance."
    Config: ClassVar[type[Any]] = Config

    def build(self) -> None:
        config = self.config
        shape = (config.channels, config.img_size, config.img_size)
        self.generator: nn.Module = Generator(config.latent_dim, shape, config.bn_eps)
        self.critic: nn.Module = Discriminator(shape)
        self.networks |= {"generator": self.generator, "critic": self.critic}
        for name, network in self.networks.items():
            self.optimizers[name] = optim.RMSprop(network.parameters(), lr=config.lr)

    @property
    def step_kind(self) -> str:
        """ "critic", or every n_critic-th time "critic and generator"."""
        last = (self.iteration + 1) % self.config.n_critic == 0
        return "critic and generator" if last else "critic"

    def update(self, images: Tensor, labels: Any) -> dict[str, Tensor]:
        losses = self.update_critic(images)
        if self.step_kind == "critic and generator":
            losses["g_loss"] = self.update_generator(images.shape[0])
        return losses

    def update_critic(self, images: Tensor) -> dict[str, Tensor]:
        """One step of the critic."""
        with no_grad():
            fakes = self.generator(self.draw_latent(images.shape[0]))
        self.optimizers["critic"].zero_grad()
        real, fake = self.critic(images), self.critic(fakes)
        loss = wasserstein_real(real) + wasserstein_fake(fake)
        losses = {"critic_gap": -loss.detach()}
        if self.config.penalty != "none":
            held_down = penalty(self.config.penalty, self.critic, images, fakes)
            losses["penalty"] = held_down.detach()
            loss = loss + self.config.penalty_weight * held_down
        loss.backward()
        self.optimizers["critic"].step()
        self.constrain_critic()
        return {"d_loss": loss.detach(), **losses}

    def constrain_critic(self) -> None:
        """Clip the weights, which bounds the critic's slope."""
        clip = self.config.clip_value
        with no_grad():
            for p in self.critic.parameters():
                p.clamp_(-clip, clip)

    def update_generator(self, n: int) -> Tensor:
        """One step of the generator, on n new latents; returns its loss."""
        self.optimizers["generator"].zero_grad()
        with base.frozen(self.critic):
            loss = wasserstein_real(self.critic(self.generator(self.draw_latent(n))))
            loss.backward()
        self.optimizers["generator"].step()
        return loss.detach()

    def decode(self, latent: Tensor, labels: Any = None, codes: Any = None) -> Tensor:
        return self.sampler()(latent)
