"""WGAN-GP: a penalty on the critic's gradient in the place of clipped weights (Gulrajani 2017).

Clipping makes the critic simple: its weights gather at the two bounds. The best critic has slope 1
almost everywhere between data and generated images, so ask for just that, at random points between
pairs of them:

    critic minimises E D(G(z)) - E D(x) + 10 E (||dD/dx^|| - 1)^2,   x^ = e x + (1 - e) G(z)

The penalty is a function of a gradient, so training the critic differentiates a gradient: backward
through the backward pass. No BatchNorm in the critic: it would tie the images of a batch together,
and the penalty is meant for each alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from minigan import nn
from minigan.errors import ConfigError
from minigan.models.config import WithAdam, WithLatent, WithPenalty, at_least_one
from minigan.models.wgan import WGAN
from minigan.tensor import Tensor


@dataclass(frozen=True)
class Config(WithPenalty, WithAdam, WithLatent):
    """Defaults of the authors' code for MNIST at 28x28."""

    batch_size: int = 50
    """Images per step."""
    lr: float = 1e-4
    """Learning rate of Adam."""
    b1: float = 0.5
    """Adam's decay of the gradient's mean."""
    b2: float = 0.9
    """Adam's decay of the gradient's square."""
    latent_dim: int = 128
    """Length of the latent vector."""
    img_size: int = 28
    """Height and width of the images."""
    n_critic: int = 5
    """Steps of the critic for each step of the generator."""
    penalty: Literal["none", "wgan-gp", "r1", "r2", "r1+r2", "dragan"] = "wgan-gp"
    """Penalty on the critic's gradient (second order)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "n_critic")
        if self.img_size != 28:
            raise ConfigError(f"img_size is {self.img_size}: these networks make 28x28 images")


class Generator(nn.Module):
    """Latent [N, latent_dim] -> images [N, C, 28, 28] in [-1, 1]; 4 -> 8, cut to 7 -> 14 -> 28."""

    def __init__(self, latent_dim: int, channels: int) -> None:
        super().__init__()
        self.l1 = nn.Linear(latent_dim, 256 * 4 * 4)
        self.up1 = nn.ConvTranspose2d(256, 128, 5, stride=2, padding=2, output_padding=1)
        self.up2 = nn.ConvTranspose2d(128, 64, 5, stride=2, padding=2, output_padding=1)
        self.up3 = nn.ConvTranspose2d(64, channels, 5, stride=2, padding=2, output_padding=1)
        self.relu = nn.ReLU()

    def forward(self, latent: Tensor) -> Tensor:
        x = self.relu(self.l1(latent)).view(-1, 256, 4, 4)
        x = self.relu(self.up1(x))[:, :, :7, :7]
        x = self.relu(self.up2(x))
        return self.up3(x).tanh()


class Critic(nn.Module):
    """Images [N, C, 28, 28] -> scores [N, 1]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(channels, 64, 5, stride=2, padding=2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(64, 128, 5, stride=2, padding=2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(128, 256, 5, stride=2, padding=2),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(256 * 4 * 4, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)


def authors_init_(network: nn.Module) -> None:
    """Convolutions ~ U with variance 4 / (fan_in + fan_out), linear layers Glorot, biases 0.

    A stride divides the fan on the side that it thins out. The 4 is He's factor for ReLU.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            area = math.prod(module.kernel_size)
            strides = math.prod(module.stride)
            # The side of the smaller image: a convolution's outputs, a transposed one's inputs.
            small, large = module.weight.shape[:2]
            fans = small * area / strides + large * area
            bound = math.sqrt(3.0 * 4.0 / fans)
            nn.init.uniform_(module.weight, -bound, bound)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class WGANGP(WGAN):
    """The game of WGAN with a critic whose gradient is penalised."""

    name = "wgan_gp"
    description = "Wasserstein GAN with gradient penalty: training through a gradient."
    Config = Config

    def build(self) -> None:
        config = self.config
        self.generator = Generator(config.latent_dim, config.channels)
        self.critic = Critic(config.channels)
        self.networks |= {"generator": self.generator, "critic": self.critic}
        for name, network in self.networks.items():
            authors_init_(network)
            self.optimizers[name] = self.adam(network)

    def constrain_critic(self) -> None:
        """Nothing to clip: the penalty is the constraint."""
