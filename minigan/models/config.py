"""The options that variants share. A variant's Config inherits those it uses, and no other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from minigan.errors import ConfigError


@dataclass(frozen=True)
class Config:
    """Options that every variant has; each variant sets its paper's defaults."""

    n_epochs: int = 200
    """Passes over the data with the full learning rate."""
    n_epochs_decay: int = 0
    """Passes after those, in which the learning rate falls linearly towards 0."""
    batch_size: int = 64
    """Images per step."""
    lr: float = 0.0002
    """Learning rate."""
    img_size: int = 32
    """Height and width of the images."""
    channels: int = 1
    """Channels of the images: 1 gray, 3 RGB."""
    sample_interval: int = 400
    """Steps between sample grids; 0 for one at the end."""
    ema: float = 0.0
    """Decay of an average of the generator's weights, used for samples; 0 for none."""

    @property
    def total_epochs(self) -> int:
        """Passes over the data in all."""
        return self.n_epochs + self.n_epochs_decay

    def lr_factor(self, finished: int) -> float:
        """What the learning rate is multiplied by after `finished` epochs: 1 during `n_epochs`,
        then 1 - 1/(d + 1), ..., 1/(d + 1) in the d = n_epochs_decay epochs that follow."""
        if self.n_epochs_decay == 0:
            return 1.0
        decayed = max(0, finished + 1 - self.n_epochs)
        return max(0.0, 1.0 - decayed / (self.n_epochs_decay + 1))

    def __post_init__(self) -> None:
        at_least_one(self, "n_epochs", "batch_size", "img_size", "channels")
        positive(self, "lr")
        share(self, "ema")
        not_negative(self, "n_epochs_decay", "sample_interval")


@dataclass(frozen=True)
class WithLatent(Config):
    """The generator starts from a latent vector."""

    latent_dim: int = 100
    """Length of the latent vector."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "latent_dim")


@dataclass(frozen=True)
class WithAdam(Config):
    """The networks are trained by Adam."""

    b1: float = 0.5
    """Adam's decay of the gradient's mean."""
    b2: float = 0.999
    """Adam's decay of the gradient's square."""

    def __post_init__(self) -> None:
        super().__post_init__()
        share(self, "b1", "b2")


@dataclass(frozen=True)
class WithClasses(Config):
    """The model is told, or finds, classes."""

    n_classes: int = 10
    """Number of classes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_classes < 2:
            raise ConfigError(f"n_classes is {self.n_classes}: it must be at least 2")


@dataclass(frozen=True)
class WithPenalty(Config):
    """The discriminator's gradient with respect to images can be held down."""

    penalty: Literal["none", "wgan-gp", "r1", "r2", "r1+r2", "dragan"] = "none"
    """Penalty on the discriminator's gradient (second order)."""
    penalty_weight: float = 10.0
    """Weight of that penalty."""

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self, "penalty_weight")


@dataclass(frozen=True)
class WithAdversary(WithPenalty):
    """The adversarial loss can be chosen."""

    gan_mode: Literal["vanilla", "minimax", "lsgan", "hinge", "wasserstein"] = "vanilla"
    """Adversarial loss: cross-entropy (vanilla; minimax saturates), least squares, hinge, ..."""


def at_least_one(config: Config, *names: str) -> None:
    """Raise ConfigError for a field that is below 1."""
    for name in names:
        if getattr(config, name) < 1:
            raise ConfigError(f"{name} is {getattr(config, name)}: it must be at least 1")


def positive(config: Config, *names: str) -> None:
    """Raise ConfigError for a field that is not above 0."""
    for name in names:
        if not getattr(config, name) > 0:
            raise ConfigError(f"{name} is {getattr(config, name)}: it must be positive")


def not_negative(config: Config, *names: str) -> None:
    """Raise ConfigError for a field that is below 0, or NaN."""
    for name in names:
        if not getattr(config, name) >= 0:
            raise ConfigError(f"{name} is {getattr(config, name)}: use 0 or more")


def share(config: Config, *names: str) -> None:
    """Raise ConfigError for a field outside [0, 1)."""
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise ConfigError(f"{name} is {getattr(config, name)}: use 0 <= {name} < 1")


def multiple_of(config: Config, divisor: int, because: str) -> None:
    """Raise ConfigError unless img_size is a multiple of `divisor`."""
    if config.img_size % divisor:
        sizes = ", ".join(str(divisor * i) for i in range(1, 5))
        raise ConfigError(
            f"img_size is {config.img_size}: {because}, so use a multiple of {divisor} "
            f"({sizes}, ...)"
        )


def fits_upsample_trunk(config: Config) -> None:
    """Raise ConfigError unless img_size suits the networks of the upsampling kind.

    At 16 the discriminator's last BatchNorm would see maps of 1x1 before a linear layer: the mean
    logit of a batch were a constant, whatever the images, and so its gradient 0.
    """
    multiple_of(config, 16, "the discriminator halves the image four times")
    if config.img_size < 32:
        raise ConfigError(
            f"img_size is {config.img_size}: this discriminator leaves 1x1 of it, on which its "
            "BatchNorm tells no batch from another; use 32, 48, 64, ..."
        )
