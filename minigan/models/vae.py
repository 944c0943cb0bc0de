"""VAE: no adversary, a bound of the likelihood (Kingma & Welling 2014).

An encoder turns an image into a Gaussian in the latent space, q(z|x) = N(m(x), s(x)^2), a decoder
turns a draw from it back into the image, p(x|z). Both are trained by one loss, the negative of the
evidence lower bound (ELBO) of ln p(x), in nats per image:

    -ELBO(x) = -E ln p(x|z) + KL(q(z|x) || N(0, I)),    z = m(x) + s(x) n,  n ~ N(0, I)
    KL       = -1/2 sum over the latent's entries of (1 + ln s^2 - m^2 - s^2)

Drawing n and not z lets the gradient through to m and s: the "reparameterisation". p(x|z) is a
Bernoulli distribution of each pixel, x its brightness from 0 to 1 and the decoder's logits summed
over all pixels. (A mean over pixels, a common slip, makes the KL weigh 784 times as much and the
decoder ignores z.) Grey pixels are taken as they are, not drawn as black or white, so the figure
can be compared with others made like this and not with binarised MNIST.

What is compared with a GAN is the decoder, the network called "generator". With `--decoder dcgan`
it is the very generator of `minigan train dcgan` at 28x28, trained by a bound instead of a critic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, ClassVar, Literal

import numpy as np

from minigan import nn, random
from minigan.errors import DataError
from minigan.models import base
from minigan.models.config import WithAdam, WithLatent, at_least_one, multiple_of, positive
from minigan.models.dcgan import InfoGANBody, InfoGANGenerator
from minigan.models.init import dcgan_init_
from minigan.nn import functional as F
from minigan.tensor import Tensor

_EVALUATION_BATCH = 256  # images at once: bounds the memory for large sets
_MANIFOLD_SIDE = 15


@dataclass(frozen=True)
class Config(WithAdam, WithLatent):
    """Defaults of the common implementation for MNIST at 28x28."""

    n_epochs: int = 10
    """Passes over the data."""
    batch_size: int = 128
    """Images per step."""
    lr: float = 1e-3
    """Learning rate."""
    b1: float = 0.9
    """Adam's decay of the gradient's mean."""
    latent_dim: int = 20
    """Length of the latent vector."""
    img_size: int = 28
    """Height and width of the images."""
    decoder: Literal["mlp", "dcgan"] = "mlp"
    """Networks: fully connected, or DCGAN's generator and a body like its discriminator's."""
    hidden_dim: int = 400
    """Width of the hidden layers (decoder mlp)."""
    bn_eps: float = 1e-5
    """Epsilon of the networks' BatchNorm (decoder dcgan)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "hidden_dim")
        positive(self, "bn_eps")
        if self.decoder == "dcgan":
            multiple_of(self, 4, "this encoder halves the image twice")


class Encoder(nn.Module):
    """Brightness [N, C, H, W] in [0, 1] -> mean and log-variance of q(z|x), each [N, latent_dim].

    `body` makes `features` numbers of an image.
    """

    def __init__(self, body: nn.Module, features: int, latent_dim: int) -> None:
        super().__init__()
        self.body = body
        self.mean = nn.Linear(features, latent_dim)
        self.log_var = nn.Linear(features, latent_dim)

    def forward(self, brightness: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(brightness)
        return self.mean(features), self.log_var(features)


class MLPDecoder(nn.Module):
    """Latent [N, latent_dim] -> images [N, C, H, W] in [-1, 1]; one hidden layer."""

    def __init__(self, latent_dim: int, hidden_dim: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(latent_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, math.prod(image_shape)),
            nn.Unflatten(1, image_shape),
        )

    def logits(self, latent: Tensor) -> Tensor:
        """Logits of each pixel's Bernoulli distribution, [N, C, H, W]."""
        return self.model(latent)

    def forward(self, latent: Tensor) -> Tensor:
        return 2.0 * F.sigmoid(self.logits(latent)) - 1.0


class DCGANDecoder(InfoGANGenerator):
    """DCGAN's generator, which can also say its logits."""

    def logits(self, latent: Tensor) -> Tensor:
        """Logits of each pixel's Bernoulli distribution, [N, C, H, W]."""
        # The network ends in tanh, and (tanh(a) + 1) / 2 = sigmoid(2 a).
        return 2.0 * self.model[:-1](latent)


class VAE(base.Model):
    """One step trains encoder and decoder together."""

    name = "vae"
    description = "Variational autoencoder: the baseline without an adversary, with a bound."
    averaged: ClassVar[tuple[str, ...]] = ("encoder", "generator")
    Config = Config

    def build(self) -> None:
        config = self.config
        shape = (config.channels, config.img_size, config.img_size)
        self.generator: MLPDecoder | DCGANDecoder
        if config.decoder == "mlp":
            inputs = nn.Linear(math.prod(shape), config.hidden_dim)
            body: nn.Module = nn.Sequential(nn.Flatten(), inputs, nn.ReLU())
            self.encoder = Encoder(body, config.hidden_dim, config.latent_dim)
            self.generator = MLPDecoder(config.latent_dim, config.hidden_dim, shape)
        else:
            image = (config.img_size, config.channels, config.bn_eps)
            self.encoder = Encoder(InfoGANBody(*image), 1024, config.latent_dim)
            self.generator = DCGANDecoder(config.latent_dim, *image)
            dcgan_init_(self.encoder)
            dcgan_init_(self.generator)
        self.networks |= {"encoder": self.encoder, "generator": self.generator}
        self.optimizers["vae"] = self.adam(self.encoder, self.generator)

    def update(self, images: Tensor, labels: Any) -> dict[str, Tensor]:
        self.optimizers["vae"].zero_grad()
        noise = self.draw_latent(images.shape[0])
        logits, brightness, kl = parts_of_elbo(self.encoder, self.generator, images, noise)
        # One sum over all pixels has a kernel of its own; a loss of each pixel has not.
        total = F.binary_cross_entropy_with_logits(logits, brightness, reduction="sum")
        reconstruction, kl = total / images.shape[0], kl.mean()
        loss = reconstruction + kl
        loss.backward()
        self.optimizers["vae"].step()
        return {
            "vae_loss": loss.detach(),
            "reconstruction": reconstruction.detach(),
            "kl": kl.detach(),
        }

    def decode(self, latent: Tensor, labels: Any = None, codes: Any = None) -> Tensor:
        return self.sampler()(latent)

    # --- what a model with an encoder can say of given images -----------------------------------
    def bound(self, images: Any, seed: int = 0) -> np.ndarray:
        """The negative ELBO in nats of each image [N,C,H,W] in [-1,1]: float32 [N], eval mode.

        One draw of z for an image, fixed by `seed`: the mean over many images is what says much.
        """
        source = random.Generator(seed)

        def both_terms(batch: Tensor) -> Sequence[Tensor]:
            noise = self.draw_latent(batch.shape[0], source)
            networks = self.sampler("encoder"), self.sampler("generator")
            return negative_elbo(*networks, batch, noise)

        reconstruction, kl = self._evaluated(both_terms, images)
        return reconstruction + kl

    def encode(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean and log-variance of q(z|x) for images [N,C,H,W] in [-1,1]: float32 [N,latent_dim]
        each, eval mode."""
        mean, log_var = self._evaluated(lambda x: self.sampler("encoder")(as_brightness(x)), images)
        return mean, log_var

    def reconstruct(self, images: Any) -> np.ndarray:
        """The decoder's images of the means of q(z|x): float32 of the images' shape, eval mode."""

        def there_and_back(batch: Tensor) -> Sequence[Tensor]:
            mean, _ = self.sampler("encoder")(as_brightness(batch))
            return [self.decode(mean)]

        return self._evaluated(there_and_back, images)[0]

    def _evaluated(
        self, function: Callable[[Tensor], Sequence[Tensor]], images: Any
    ) -> list[np.ndarray]:
        """The outputs of `function` for all images, batch by batch, in eval mode."""
        if len(images) == 0:
            raise DataError(f"{self.name}: there are no images; give at least one")
        parts = []
        with self.sampling():
            for start in range(0, len(images), _EVALUATION_BATCH):
                batch = self._images(images[start : start + _EVALUATION_BATCH])
                parts.append([output.numpy() for output in function(batch)])
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    # --- pictures -------------------------------------------------------------------------------
    def pictures(
        self, seed: int, examples: Sequence[np.ndarray] | None = None
    ) -> dict[str, tuple[np.ndarray, int]]:
        """Also "manifold", and with examples "reconstruction": a row of them, below what the
        decoder makes of their codes."""
        drawn = super().pictures(seed, examples)
        if examples is not None:
            images = np.asarray(examples[0])
            panel = np.concatenate([images, self.reconstruct(images)])
            drawn["reconstruction"] = (panel, len(images))
        return drawn | {"manifold": self.manifold()}

    def manifold(self, side: int = _MANIFOLD_SIDE) -> tuple[np.ndarray, int]:
        """side * side images of a plane in the latent space, and `side`, the columns.

        The coordinates are the Gaussian's quantiles, so that each picture stands for an equal share
        of it. With latent_dim 2 the plane is all there is. With more, it is spanned by the two
        entries that change the image most (training leaves some without effect), the others at 0,
        and stretched by sqrt(latent_dim / 2): so its points are as far from the origin as draws of
        z are, not all in the middle, where a decoder has seen nothing.
        """
        k = self.config.latent_dim
        quantiles = [NormalDist().inv_cdf((i + 0.5) / side) for i in range(side)]
        across, down = np.meshgrid(quantiles, quantiles[::-1])
        steps = np.eye(k, dtype=np.float32)
        change = (self.render(steps) - self.render(-steps)).reshape(k, -1)
        strongest = np.argsort(-(change**2).sum(1), kind="stable")[:2]
        latent = np.zeros((side * side, k), np.float32)
        for entry, values in zip(sorted(strongest), (across, down), strict=False):
            latent[:, entry] = math.sqrt(k / 2) * values.ravel()
        return self.render(latent), side


def as_brightness(images: Tensor) -> Tensor:
    """Images in [-1, 1] -> [0, 1], where a pixel can be a probability."""
    return 0.5 * (images + 1.0)


def parts_of_elbo(
    encoder: nn.Module, decoder: Any, images: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels' logits in p(x|z), the images' brightness, and KL(q(z|x) || N(0, I)), [N] nats.

    images [N,C,H,W] in [-1,1]; noise [N,latent_dim] ~ N(0, I); `decoder` has `logits(z)`.
    """
    brightness = as_brightness(images)
    mean, log_var = encoder(brightness)
    logits = decoder.logits(mean + (0.5 * log_var).exp() * noise)
    kl = -0.5 * (1.0 + log_var - mean**2 - log_var.exp()).sum(1)
    return logits, brightness, kl


def negative_elbo(
    encoder: nn.Module, decoder: Any, images: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """-ln p(x|z) and KL(q(z|x) || N(0, I)) in nats, [N] each; their sum is the negative ELBO."""
    logits, brightness, kl = parts_of_elbo(encoder, decoder, images, noise)
    per_pixel = F.binary_cross_entropy_with_logits(logits, brightness, reduction="none")
    return per_pixel.flatten(1).sum(1), kl
