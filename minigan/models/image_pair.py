"""What models share that translate images into images: pix2pix and CycleGAN.

Their training falls into two halves: `n_epochs` with a constant learning rate, then
`n_epochs_decay` in which it falls in equal steps, so that the last epoch still has one. Both were
published for single images of 256x256, hence the defaults.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NoReturn

import numpy as np

from minigan import nn, random
from minigan.errors import ConfigError
from minigan.models import base
from minigan.models.config import WithAdam, at_least_one, positive
from minigan.models.patchgan import Norm, PatchDiscriminator, PixelDiscriminator
from minigan.tensor import Tensor


@dataclass(frozen=True)
class PairConfig(WithAdam):
    """Options of models that translate images, with the defaults of the authors' code."""

    n_epochs: int = 100
    """Passes over the data with the full learning rate."""
    n_epochs_decay: int = 100
    """Passes after those, in which the learning rate falls linearly towards 0."""
    batch_size: int = 1
    """Images per step."""
    img_size: int = 256
    """Height and width of the images."""
    channels: int = 3
    """Channels of the images, the same in both sets: 1 gray, 3 RGB."""
    ngf: int = 64
    """Channels of the generator's outermost layers."""
    ndf: int = 64
    """Channels of the discriminator's first layer."""
    netD: Literal["basic", "pixel"] = "basic"
    """Discriminator: patches (PatchGAN), or single pixels."""
    n_layers_D: int = 3
    """Halvings in the PatchGAN: 3 for patches of 70x70 pixels, 1 for 16x16 (netD basic)."""
    init_gain: float = 0.02
    """Standard deviation of the initial weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "ngf", "ndf", "n_layers_D")
        positive(self, "init_gain")
        smallest = 3 << self.n_layers_D
        if self.netD == "basic" and self.img_size < smallest:
            raise ConfigError(
                f"img_size is {self.img_size}: a PatchGAN with n_layers_D={self.n_layers_D} needs "
                f"at least {smallest}; use a smaller n_layers_D or --netD pixel"
            )


def discriminator(config: PairConfig, in_channels: int, norm: Norm) -> nn.Module:
    """The discriminator that `config.netD` names: images -> a map of logits [N, 1, h, w]."""
    if config.netD == "pixel":
        return PixelDiscriminator(in_channels, config.ndf, norm)
    return PatchDiscriminator(in_channels, config.ndf, config.n_layers_D, norm)


def normal_init_(network: nn.Module, gain: float) -> None:
    """Convolutions ~ N(0, gain), their biases 0; scales of BatchNorm ~ N(1, gain), shifts 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, gain)
        elif isinstance(module, nn.BatchNorm2d) and module.weight is not None:
            nn.init.normal_(module.weight, 1.0, gain)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def panel(*rows: np.ndarray) -> tuple[np.ndarray, int]:
    """Sets of images [N,C,H,W], one a row of a picture: all images, and the N columns."""
    return np.concatenate(rows), len(rows[0])


class ImagePairModel(base.Model):
    """A model that is trained on pairs of images, and makes images from images only."""

    takes_pairs = True
    min_batch: ClassVar[int] = 1  # its norms, one image at a time, are instance norms

    def translated(
        self, network: str, images: Any, seed: int = 0, batch_size: int = 16
    ) -> np.ndarray:
        """float32 [N,C,H,W]: what the sampler of `network` makes of images [N,C,H,W].

        At most `batch_size` at once, in batches of nearly equal size. Raises ConfigError for no
        images, DataError for images of another shape than the model's.
        """
        if len(images) == 0:
            raise ConfigError(f"{self.name}: there are no images to translate")
        generator = self.sampler(network)
        parts = np.array_split(np.arange(len(images)), -(-len(images) // batch_size))
        made = []
        with self.sampling(), _drawing_from(seed):
            for rows in parts:
                made.append(generator(self._images(images[rows[0] : rows[-1] + 1])).numpy())
        return np.concatenate(made)

    def sample(
        self, n: int, labels: Any = None, codes: Any = None, seed: int | None = None
    ) -> np.ndarray:
        """Raises ConfigError: nothing comes from a latent vector here."""
        self._needs_images()

    def decode(self, latent: Tensor, labels: Any = None, codes: Any = None) -> Tensor:
        """Raises ConfigError, as `sample` does."""
        self._needs_images()

    def sample_grid(self, seed: int) -> tuple[np.ndarray, int]:
        """Raises ConfigError, as `sample` does."""
        self._needs_images()

    def _needs_images(self) -> NoReturn:
        raise ConfigError(
            f"{self.name} makes images from images, not from a latent vector: use "
            "translate(images), or pictures(seed, examples)"
        )


@contextmanager
def _drawing_from(seed: int) -> Iterator[None]:
    """Layers that draw, such as dropout, draw from the stream of `seed`; then as it was."""
    outer = random.get_state()
    random.manual_seed(seed)
    try:
        yield
    finally:
        random.set_state(outer)
