"""InfoGAN: codes that mean something, found without labels (Chen et al. 2016).

Beside its noise z the generator gets codes c: a category and a few continuous numbers. Nothing in
a GAN's game makes it use them. So a network Q(c | x) on the discriminator's features has to recover
them from the image, and generator and Q are both rewarded when it can: that is a lower bound of the
mutual information (eq. 5), in nats,

    I(c; G(z, c)) >= H(c) + E ln Q(c | G(z, c))

    H(c) = ln K for one of K categories, ln 2 for a number ~ U(-1, 1)

which is logged as mi_categorical (ln 10 = 2.303 at best) and mi_continuous. The cheapest codes to
recover are those that change an image most: the category comes to choose the digit, the numbers its
slant and width. With CE the cross-entropy of the category and NLL the negative log-likelihood of
the numbers under Q's Gaussian, both in nats per image,

    L_I = lambda_categorical CE + lambda_continuous NLL
    D and Q minimise -E ln D(x) - E ln(1 - D(G(z, c))) + L_I
    G minimises      -E ln D(G(z, c)) + L_I

What goes wrong in copies of this model, and how it is here: Q sees generated images only, because
nobody knows the codes of a real one. Labels are never used. L_I is a term of the two losses, not a
third step with moments of its own. CE is taken on logits, NLL is a likelihood.

The networks are the paper's for MNIST. The authors' images lie in [0, 1] behind a sigmoid; here, as
everywhere in minigan, in [-1, 1] behind a tanh.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minigan import cat, creation, nn, random
from minigan.autograd import no_grad
from minigan.errors import ConfigError, DataError
from minigan.models import base
from minigan.models.config import (
    WithAdam,
    WithAdversary,
    WithClasses,
    WithLatent,
    at_least_one,
    multiple_of,
    not_negative,
    positive,
    share,
)
from minigan.models.dcgan import InfoGANBody, InfoGANGenerator
from minigan.models.latent_pictures import spherical
from minigan.nn import functional as F
from minigan.objectives import adversarial, gaussian_nll, penalty
from minigan.tensor import Tensor

_EVALUATION_BATCH = 256  # images at once: bounds the memory for large sets
_SWEEP = np.linspace(-2.0, 2.0, 10)  # twice the range of training, as in the paper's figure 2


@dataclass(frozen=True)
class Config(WithAdversary, WithClasses, WithAdam, WithLatent):
    """Defaults of the paper for MNIST at 28x28."""

    n_epochs: int = 50
    """Passes over the data; the authors made 5,000 steps, 11 passes over MNIST."""
    batch_size: int = 128
    """Images per step."""
    lr: float = 2e-4
    """Learning rate of the discriminator and of Q."""
    lr_g: float = 1e-3
    """Learning rate of the generator."""
    img_size: int = 28
    """Height and width of the images."""
    latent_dim: int = 62
    """Length of the noise, uniform on [-1, 1); the codes come on top."""
    n_classes: int = 10
    """Number of categories to find."""
    code_dim: int = 2
    """Number of continuous codes, uniform on [-1, 1)."""
    lambda_categorical: float = 1.0
    """Weight of the category's information."""
    lambda_continuous: float = 0.1
    """Weight of the continuous codes' information: small, because unlike ln 10 that has no upper
    end, and its gradient grows as Q's standard deviation shrinks."""
    fix_sigma: bool = False
    """Hold Q's standard deviation at 1 as the authors' program, whose lambda_continuous is 1."""
    slope: float = 0.1
    """Slope of LeakyReLU below 0: the paper's; the authors' program has 0.01."""
    bn_eps: float = 1e-5
    """Epsilon of the networks' BatchNorm."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "code_dim")
        positive(self, "lr_g", "bn_eps")
        share(self, "slope")
        multiple_of(self, 4, "this discriminator halves the image twice")
        not_negative(self, "lambda_categorical", "lambda_continuous")


class Generator(nn.Module):
    """Noise and continuous codes [N, latent_dim + code_dim], categories [N] -> images [N, C, H, W]
    in [-1, 1]."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.n_classes = config.n_classes
        inputs = config.latent_dim + config.code_dim + config.n_classes
        image = (config.img_size, config.channels, config.bn_eps)
        self.model = InfoGANGenerator(inputs, *image).model

    def forward(self, latent: Tensor, categories: Tensor) -> Tensor:
        chosen = F.one_hot(categories, self.n_classes).float()
        return self.model(cat([latent, chosen], 1))


class Discriminator(nn.Module):
    """Images [N, C, H, W] -> logits of "real" [N, 1], and the features [N, 1024] for Q."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        image, eps = (config.img_size, config.channels), config.bn_eps
        self.body = InfoGANBody(*image, eps, config.slope)
        self.adv_layer = nn.Linear(1024, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(images)
        return self.adv_layer(features), features


class Posterior(NamedTuple):
    """Q(c | x): what an image says about the codes that it was made from."""

    logits: Tensor  # of the categories, [N, n_classes]
    mean: Tensor  # of the continuous codes, [N, code_dim]
    log_sigma: Tensor  # logarithm of their standard deviations, [N, code_dim]


class Recognition(nn.Module):
    """The network Q: features [N, 1024] -> Posterior."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.n_classes, self.code_dim = config.n_classes, config.code_dim
        self.fix_sigma = config.fix_sigma
        self.hidden = nn.Sequential(
            nn.Linear(1024, 128),
            nn.BatchNorm1d(128, eps=config.bn_eps),
            nn.LeakyReLU(config.slope),
        )
        self.category = nn.Linear(128, self.n_classes)
        self.code = nn.Linear(128, self.code_dim if self.fix_sigma else 2 * self.code_dim)

    def forward(self, features: Tensor) -> Posterior:
        hidden = self.hidden(features)
        code = self.code(hidden)
        mean = code[:, : self.code_dim]
        log_sigma = creation.zeros_like(mean) if self.fix_sigma else code[:, self.code_dim :]
        return Posterior(self.category(hidden), mean, log_sigma)


class InfoGAN(base.Model):
    """One step: the generator against discriminator and Q as they are, then these two."""

    name = "infogan"
    description = "InfoGAN: finds the digits, their slant and width, without labels."
    Config = Config

    def build(self) -> None:
        config = self.config
        self.generator = self.networks["generator"] = Generator(config)
        self.discriminator = self.networks["discriminator"] = Discriminator(config)
        self.recognition = self.networks["recognition"] = Recognition(config)
        for network in self.networks.values():
            _init_(network)
        self.optimizers["generator"] = self.adam(self.generator, lr=config.lr_g)
        self.optimizers["discriminator"] = self.adam(self.discriminator, self.recognition)
        self.loss = adversarial(config.gan_mode)

    def update(self, images: Tensor, labels: Any) -> dict[str, Tensor]:
        config, n = self.config, images.shape[0]
        latent = self.draw_latent(n)
        categories = creation.randint(0, config.n_classes, (n,), device=self.device)
        codes = latent[:, config.latent_dim :]

        fakes = self.generator(latent, categories)
        self.optimizers["generator"].zero_grad()
        with base.frozen(self.discriminator), base.frozen(self.recognition):
            validity, features = self.discriminator(fakes)
            cross_entropy, nll = self._surprise(features, categories, codes)
            g_loss = self.loss.generator(validity) + self._weighted(cross_entropy, nll)
            g_loss.backward()
        self.optimizers["generator"].step()

        fakes = fakes.detach()
        self.optimizers["discriminator"].zero_grad()
        real_validity, _ = self.discriminator(images)
        fake_validity, features = self.discriminator(fakes)
        cross_entropy, nll = self._surprise(features, categories, codes)
        d_loss = self.loss.real(real_validity) + self.loss.fake(fake_validity)
        d_loss = d_loss + self._weighted(cross_entropy, nll)
        if config.penalty != "none":
            held_down = penalty(config.penalty, lambda x: self.discriminator(x)[0], images, fakes)
            d_loss = d_loss + config.penalty_weight * held_down
        d_loss.backward()
        self.optimizers["discriminator"].step()

        with no_grad():
            return {
                "d_loss": d_loss.detach(),
                "g_loss": g_loss.detach(),
                "mi_categorical": math.log(config.n_classes) - cross_entropy.detach(),
                "mi_continuous": config.code_dim * math.log(2.0) - nll.detach(),
                "d_x": self.loss.score(real_validity).mean(),
                "d_g_z": self.loss.score(fake_validity).mean(),
            }

    def _surprise(
        self, features: Tensor, categories: Tensor, codes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """-E ln Q of the categories [N] and of the codes [N, code_dim], in nats per image."""
        logits, mean, log_sigma = self.recognition(features)
        return F.cross_entropy(logits, categories), gaussian_nll(codes, mean, log_sigma)

    def _weighted(self, cross_entropy: Tensor, nll: Tensor) -> Tensor:
        """L_I, the information term of both losses."""
        config = self.config
        return config.lambda_categorical * cross_entropy + config.lambda_continuous * nll

    # --- images of codes ------------------------------------------------------------------------
    def draw_latent(self, n: int, source: random.Generator | None = None) -> Tensor:
        """Noise, and behind it the continuous codes: [n, latent_dim + code_dim] ~ U(-1, 1)."""
        length = self.config.latent_dim + self.config.code_dim
        return 2.0 * creation.rand(n, length, generator=source, device=self.device) - 1.0

    def decode(self, latent: Tensor, labels: Any = None, codes: Any = None) -> Tensor:
        """Images of categories `labels` [N] and continuous `codes` [N, code_dim].

        Without labels the categories are 0, 1, ... in turn; without codes those in `latent` count.
        Raises ConfigError where they do not fit.
        """
        n, config = latent.shape[0], self.config
        if labels is None:
            labels = np.arange(n) % config.n_classes
        if codes is not None:
            codes = np.asarray(codes, np.float32)
            if codes.shape != (n, config.code_dim):
                raise ConfigError(
                    f"{n} images need codes of shape {(n, config.code_dim)}; got {codes.shape}"
                )
            tail = creation.as_tensor(codes, device=self.device)
            latent = cat([latent[:, : config.latent_dim], tail], 1)
        return self.sampler()(latent, self.class_labels(labels, n))

    def sample(
        self, n: int, labels: Any = None, codes: Any = None, seed: int | None = None
    ) -> np.ndarray:
        """n images, float32 [n,C,H,W] in [-1,1]; `labels` are categories, by default 0, 1, ... in
        turn, `codes` [n, code_dim] the continuous codes, by default drawn."""
        if labels is None:
            labels = np.arange(n) % self.config.n_classes
        return super().sample(n, labels, codes, seed)

    # --- codes of images ------------------------------------------------------------------------
    def categories(self, images: Any) -> np.ndarray:
        """argmax Q(c | x) for images [N,C,H,W] in [-1,1]: int64 [N], in eval mode."""
        return self._recognised(images)[0]

    def codes_of(self, images: Any) -> np.ndarray:
        """The means of Q's continuous codes for images [N,C,H,W] in [-1,1]: float32 [N, code_dim],
        in eval mode."""
        return self._recognised(images)[1]

    def _recognised(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
        if len(images) == 0:
            raise DataError(f"{self.name}: there are no images; give at least one")
        categories, means = [], []
        with base.evaluating(self.discriminator, self.recognition):
            for start in range(0, len(images), _EVALUATION_BATCH):
                batch = self._images(images[start : start + _EVALUATION_BATCH])
                posterior = self.recognition(self.discriminator(batch)[1])
                categories.append(posterior.logits.argmax(1).numpy())
                means.append(posterior.mean.numpy())
        return np.concatenate(categories), np.concatenate(means)

    # --- pictures -------------------------------------------------------------------------------
    def sample_grid(self, seed: int) -> tuple[np.ndarray, int]:
        return self.class_grid(seed)

    def pictures(
        self, seed: int, examples: Sequence[np.ndarray] | None = None
    ) -> dict[str, tuple[np.ndarray, int]]:
        """Also "c1", "c2", ..., a sweep of each continuous code."""
        sweeps = {f"c{i + 1}": self.code_sweep(i, seed) for i in range(self.config.code_dim)}
        return {
            "samples": self.sample_grid(seed),
            **sweeps,
            "interpolation": self.interpolation(seed),
        }

    def code_sweep(self, code: int, seed: int) -> tuple[np.ndarray, int]:
        """Row k is category k with one noise vector; from left to right the continuous code number
        `code` goes from -2 to 2, the others at 0. Returns images and columns."""
        rows, columns = self.config.n_classes, len(_SWEEP)
        noise = self.draw_latent(rows, random.Generator(seed)).numpy()
        codes = np.zeros((rows, columns, self.config.code_dim), np.float32)
        codes[:, :, code] = _SWEEP
        images = self.render(
            np.repeat(noise, columns, axis=0),
            np.repeat(np.arange(rows), columns),
            codes.reshape(rows * columns, -1),
        )
        return images, columns

    def interpolation(self, seed: int, columns: int = 10) -> tuple[np.ndarray, int]:
        """Row k is category k, from one draw of noise and codes to another. Returns images and
        columns."""
        rows = self.config.n_classes
        ends = self.draw_latent(2 * rows, random.Generator(seed)).numpy()
        # Most of a cube of 64 dimensions lies near a sphere too, as a Gaussian does.
        path = spherical(ends[:rows], ends[rows:], np.linspace(0.0, 1.0, columns))
        labels = np.repeat(np.arange(rows), columns)
        return self.render(path.reshape(rows * columns, -1), labels), columns


def _init_(network: nn.Module) -> None:
    """Weights ~ N(0, 0.02), scales of norms ~ N(1, 0.02), all biases 0: the authors' choice."""
    for name, p in network.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(p)
        else:
            is_scale = p.ndim == 1
            nn.init.normal_(p, 1.0 if is_scale else 0.0, 0.02)
