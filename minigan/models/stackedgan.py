"""StackedGAN: an encoder turned upside down, one level at a time (Huang et al. 2017).

An encoder E that was trained to read digits goes from an image x over features h_1 to a label y.
Here it is inverted in the same two steps: G_1 makes features of a label and of noise z_1, G_0 an
image of features and of noise z_0. So what to draw and how to draw it are separate problems, and
the first is solved, and judged, before there is any pixel:

    y, z_1 -> G_1 -> h_1       D_1 tells E's features of real images from G_1's
    h_1, z_0 -> G_0 -> x       D_0 tells real images from G_0's

Each level plays the game of gan.py and has two more losses. The conditional one asks that the
encoder finds in the result what the level was given, or G_i could ignore it. The entropy one asks
that Q_i, on D_i's body, can recover the noise, or G_i could ignore that: it bounds the entropy of
what G_i makes of one condition from below (eq. 8). With the noise ~ U(0, 1) and v_i what D_i sees,

    G_i minimises      -E ln D_i(v_i) + lambda_conditional C_i + lambda_entropy E (Q_i(v_i) - z_i)^2
    D_i, Q_i minimise  1/2 of D's loss in gan.py + lambda_entropy E (Q_i(v_i) - z_i)^2
    C_1 = CE(E(h_1), y)        C_0 = E (E(G_0(h_1, z_0)) - h_1)^2

The steps come in three phases, by `encoder_steps` and `independent_steps`: first E alone learns to
classify; then each level by itself, G_0 from the features of real images; then both jointly, G_0
from the features that G_1 made, so that D_0 teaches G_1 too. E stays as it is from phase two on.

What goes wrong in copies of this model, and how it is here: Q_i sees generated inputs only, because
a real one was made of no noise. C_0 is taken to the h_1 that was given, not to one that may follow
it: otherwise G_1 could make the level below content by features that say little. Q ends in a
sigmoid, because the noise that it has to find lies in (0, 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minigan import cat, creation, nn, random
from minigan.autograd import no_grad
from minigan.errors import ConfigError
from minigan.models import base
from minigan.models.config import (
    WithAdam,
    WithAdversary,
    WithClasses,
    at_least_one,
    multiple_of,
    not_negative,
    positive,
)
from minigan.nn import functional as F
from minigan.objectives import adversarial, penalty
from minigan.tensor import Tensor

FEATURES = 256  # length of h_1
_SWEEP = np.linspace(0.0, 1.0, 10)


@dataclass(frozen=True)
class Config(WithAdversary, WithClasses, WithAdam):
    """Defaults of the authors' program for MNIST at 28x28."""

    n_epochs: int = 200
    """Passes over the data, those of the encoder among them."""
    batch_size: int = 100
    """Images per step."""
    lr: float = 1e-4
    """Learning rate of generators and discriminators."""
    lr_encoder: float = 1e-3
    """Learning rate of the encoder."""
    img_size: int = 28
    """Height and width of the images."""
    z1_dim: int = 50
    """Length of the noise of which features are made."""
    z0_dim: int = 50
    """Length of the noise of which images are made."""
    encoder_steps: int = 1800
    """Steps at the start that train the encoder alone: three passes over MNIST."""
    independent_steps: int = 30_000
    """Steps after these that train each level by itself, before they are trained jointly."""
    lambda_conditional: float = 1.0
    """Weight of the conditional loss."""
    lambda_entropy: float = 10.0
    """Weight of the entropy loss."""
    bn_eps: float = 1e-6
    """Epsilon of the generators' BatchNorm."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "z1_dim", "z0_dim")
        positive(self, "lr_encoder", "bn_eps")
        not_negative(self, "encoder_steps", "independent_steps")
        not_negative(self, "lambda_conditional", "lambda_entropy")
        multiple_of(self, 4, "the generator doubles it twice")
        if self.img_size < 16:
            raise ConfigError(
                f"img_size is {self.img_size}: two 5x5 convolutions and two poolings leave nothing "
                "of it; use 16, 20, 24, 28, ..."
            )

    @property
    def smallest(self) -> int:
        """Height and width of the encoder's last maps, and of the generator's first."""
        return (self.img_size - 12) // 4


class Encoder(nn.Module):
    """Images [N, C, H, W] -> logits of their classes [N, n_classes], by way of h_1."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(config.channels, 32, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 32, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * config.smallest**2, FEATURES),
            nn.ReLU(),
        )
        self.classes = nn.Linear(FEATURES, config.n_classes)

    def features(self, images: Tensor) -> Tensor:
        """h_1 [N, 256] of images, none below 0."""
        return self.body(images)

    def forward(self, images: Tensor) -> Tensor:
        return self.classes(self.features(images))


class FeatureGenerator(nn.Module):
    """G_1: labels [N], noise [N, z1_dim] -> features [N, 256], none below 0."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.n_classes = config.n_classes
        self.model = nn.Sequential(
            nn.Linear(config.z1_dim + config.n_classes, 512),
            nn.BatchNorm1d(512, eps=config.bn_eps),
            nn.ReLU(),
            nn.Linear(512, 512),
            nn.BatchNorm1d(512, eps=config.bn_eps),
            nn.ReLU(),
            nn.Linear(512, FEATURES),
            nn.ReLU(),
        )

    def forward(self, labels: Tensor, noise: Tensor) -> Tensor:
        asked = F.one_hot(labels, self.n_classes).float()
        return self.model(cat([noise, asked], 1))


class ImageGenerator(nn.Module):
    """G_0: features [N, 256], noise [N, z0_dim] -> images [N, C, H, W] in [-1, 1]."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        eps, start = config.bn_eps, config.smallest
        self.embedding = nn.Sequential(
            nn.Linear(config.z0_dim, 128), nn.BatchNorm1d(128, eps=eps), nn.ReLU()
        )
        self.model = nn.Sequential(
            nn.Linear(FEATURES + 128, 128 * start**2),
            nn.BatchNorm1d(128 * start**2, eps=eps),
            nn.ReLU(),
            nn.Unflatten(1, (128, start, start)),
            nn.ConvTranspose2d(128, 128, 5, stride=2, padding=2, output_padding=1),
            nn.BatchNorm2d(128, eps=eps),
            nn.ReLU(),
            nn.ConvTranspose2d(128, 64, 5),
            nn.BatchNorm2d(64, eps=eps),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 64, 5, stride=2, padding=2, output_padding=1),
            nn.BatchNorm2d(64, eps=eps),
            nn.ReLU(),
            nn.ConvTranspose2d(64, config.channels, 5),
            nn.Tanh(),
        )

    def forward(self, features: Tensor, noise: Tensor) -> Tensor:
        return self.model(cat([features, self.embedding(noise)], 1))


class Discriminator(nn.Module):
    """D_i and Q_i on one body: inputs [N, ...] -> logits of "real" [N, 1] and the noise that they
    seem to be made of, [N, noise_dim] in (0, 1)."""

    def __init__(self, body: nn.Module, noise_dim: int) -> None:
        super().__init__()
        self.body = body
        self.adv_layer = nn.Linear(256, 1)
        self.noise_layer = nn.Sequential(nn.Linear(256, noise_dim), nn.Sigmoid())

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(inputs)
        return self.adv_layer(features), self.noise_layer(features)

    def validity(self, inputs: Tensor) -> Tensor:
        """D_i alone: logits of "real" [N, 1]."""
        return self.adv_layer(self.body(inputs))


def _feature_body() -> nn.Module:
    return nn.Sequential(
        nn.Linear(FEATURES, 256), nn.LeakyReLU(0.2), nn.Linear(256, 256), nn.LeakyReLU(0.2)
    )


def _image_body(config: Config) -> nn.Module:
    size = -(-config.img_size // 8)  # each of three strides rounds up
    return nn.Sequential(
        nn.Conv2d(config.channels, 32, 5, stride=2, padding=2),
        nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 5, stride=2, padding=2),
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 5, stride=2, padding=2),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(128 * size**2, 256),
        nn.LeakyReLU(0.2),
    )


class StackedGAN(base.Model):
    """One step: the encoder alone, or both generators and then both discriminators."""

    name = "stackedgan"
    description = "StackedGAN: from a label to features, from features to an image."
    needs_labels = True
    averaged: ClassVar[tuple[str, ...]] = ("generator_1", "generator_0")
    Config = Config

    def build(self) -> None:
        config = self.config
        self.encoder = Encoder(config)
        self.generator_1, self.generator_0 = FeatureGenerator(config), ImageGenerator(config)
        self.discriminator_1 = Discriminator(_feature_body(), config.z1_dim)
        self.discriminator_0 = Discriminator(_image_body(config), config.z0_dim)
        levels = {
            "generator_1": self.generator_1,
            "generator_0": self.generator_0,
            "discriminator_1": self.discriminator_1,
            "discriminator_0": self.discriminator_0,
        }
        self.networks |= {"encoder": self.encoder} | levels
        self.optimizers["encoder"] = self.adam(self.encoder, lr=config.lr_encoder)
        for name, network in levels.items():
            _init_(network)
            self.optimizers[name] = self.adam(network)
        self.loss = adversarial(config.gan_mode)

    @property
    def step_kind(self) -> str:
        """The phase: what the next step trains, "encoder", "independent" or "joint"."""
        if self.iteration < self.config.encoder_steps:
            return "encoder"
        if self.iteration < self.config.encoder_steps + self.config.independent_steps:
            return "independent"
        return "joint"

    def update(self, images: Tensor, labels: Any) -> dict[str, Tensor]:
        if self.step_kind == "encoder":
            return self._encoder_step(images, labels)
        return self._levels_step(images, labels)

    def _encoder_step(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        self.optimizers["encoder"].zero_grad()
        logits = self.encoder(images)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        self.optimizers["encoder"].step()
        with no_grad():
            right = (logits.argmax(1) == labels).float().mean()
        return {"encoder_loss": loss.detach(), "encoder_accuracy": right}

    def _levels_step(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        z1, z0 = self._noise(self.draw_latent(images.shape[0]))
        with no_grad():
            real_features = self.encoder.features(images)
        features = self.generator_1(labels, z1)
        given = features if self.step_kind == "joint" else real_features
        fakes = self.generator_0(given, z0)

        for name in self.averaged:
            self.optimizers[name].zero_grad()
        with (
            base.frozen(self.encoder),
            base.frozen(self.discriminator_1),
            base.frozen(self.discriminator_0),
        ):
            conditional_1 = F.cross_entropy(self.encoder.classes(features), labels)
            conditional_0 = F.mse_loss(self.encoder.features(fakes), given.detach())
            g1_loss, entropy_1 = self._generator_loss(
                self.discriminator_1, features, z1, conditional_1
            )
            g0_loss, entropy_0 = self._generator_loss(
                self.discriminator_0, fakes, z0, conditional_0
            )
            # Jointly, the image's loss reaches G_1 through the features.
            (g1_loss + g0_loss).backward()
        for name in self.averaged:
            self.optimizers[name].step()

        d1_loss, _, _ = self._train_discriminator(1, real_features, features.detach(), z1)
        d0_loss, real_logits, fake_logits = self._train_discriminator(0, images, fakes.detach(), z0)
        with no_grad():
            return {
                "d1_loss": d1_loss,
                "g1_loss": g1_loss.detach(),
                "d0_loss": d0_loss,
                "g0_loss": g0_loss.detach(),
                "conditional_1": conditional_1.detach(),
                "conditional_0": conditional_0.detach(),
                "entropy_1": entropy_1.detach(),
                "entropy_0": entropy_0.detach(),
                "d_x": self.loss.score(real_logits).mean(),
                "d_g_z": self.loss.score(fake_logits).mean(),
            }

    def _generator_loss(
        self, discriminator: Discriminator, made: Tensor, noise: Tensor, conditional: Tensor
    ) -> tuple[Tensor, Tensor]:
        """A generator's loss, and its entropy term."""
        config = self.config
        validity, recovered = discriminator(made)
        entropy = F.mse_loss(recovered, noise)
        loss = self.loss.generator(validity) + config.lambda_conditional * conditional
        return loss + config.lambda_entropy * entropy, entropy

    def _train_discriminator(
        self, level: int, real: Tensor, fake: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step of D_level and Q_level; returns the loss and the logits of real and fake."""
        config, name = self.config, f"discriminator_{level}"
        discriminator = (self.discriminator_0, self.discriminator_1)[level]
        self.optimizers[name].zero_grad()
        real_logits = discriminator.validity(real)
        fake_logits, recovered = discriminator(fake)
        loss = 0.5 * (self.loss.real(real_logits) + self.loss.fake(fake_logits))
        loss = loss + config.lambda_entropy * F.mse_loss(recovered, noise)
        if config.penalty != "none":
            held_down = penalty(config.penalty, discriminator.validity, real, fake)
            loss = loss + config.penalty_weight * held_down
        loss.backward()
        self.optimizers[name].step()
        return loss.detach(), real_logits.detach(), fake_logits.detach()

    # --- images ---------------------------------------------------------------------------------
    def draw_latent(self, n: int, source: random.Generator | None = None) -> Tensor:
        """z_1 and behind it z_0: [n, z1_dim + z0_dim] ~ U(0, 1)."""
        length = self.config.z1_dim + self.config.z0_dim
        return creation.rand(n, length, generator=source, device=self.device)

    def _noise(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """z_1 [N, z1_dim] and z_0 [N, z0_dim] of latent vectors."""
        return latent[:, : self.config.z1_dim], latent[:, self.config.z1_dim :]

    def decode(self, latent: Tensor, labels: Any = None, codes: Any = None) -> Tensor:
        """Images of asked `labels` [N], 0, 1, ... in turn without. Raises ConfigError if they do
        not fit."""
        n = latent.shape[0]
        if labels is None:
            labels = np.arange(n) % self.config.n_classes
        z1, z0 = self._noise(latent)
        features = self.sampler("generator_1")(self.class_labels(labels, n), z1)
        return self.sampler("generator_0")(features, z0)

    def sample_grid(self, seed: int) -> tuple[np.ndarray, int]:
        return self.class_grid(seed)

    def pictures(
        self, seed: int, examples: Sequence[np.ndarray] | None = None
    ) -> dict[str, tuple[np.ndarray, int]]:
        """Also "z1" and "z0", a sweep of each level's noise."""
        drawn = super().pictures(seed, examples)
        return drawn | {f"z{level}": self.noise_sweep(level, seed) for level in (1, 0)}

    def noise_sweep(self, level: int, seed: int) -> tuple[np.ndarray, int]:
        """Row k asks for class k; from left to right the noise of `level` goes from a draw z to its
        opposite 1 - z, while that of the other level stays. Returns images and columns."""
        rows, columns = self.config.n_classes, len(_SWEEP)
        latent = self.draw_latent(rows, random.Generator(seed)).numpy()
        path = np.repeat(latent[:, None], columns, axis=1)
        split = self.config.z1_dim
        part = slice(0, split) if level == 1 else slice(split, None)
        z, t = path[:, :, part], _SWEEP[None, :, None]
        path[:, :, part] = (1.0 - t) * z + t * (1.0 - z)
        labels = np.repeat(np.arange(rows), columns)
        return self.render(path.reshape(rows * columns, -1), labels), columns


def _init_(network: nn.Module) -> None:
    """Weights ~ N(0, 0.02), biases 0, norms as they are: the authors' choice."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
