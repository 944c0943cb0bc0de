"""pix2pix: images into images, learned from pairs (Isola et al. 2017).

The data are pairs (a, b): edges and the photograph they come from, labels and a facade. G draws b
from a; D sees both and judges whether they are a real pair, so the loss is not fixed in advance
but learned. The L1 distance keeps G near the target and gets the large shapes right; D, a
PatchGAN, sees to the texture, which L1 alone would blur:

    D maximises 1/2 (E ln D(a, b) + E ln(1 - D(a, G(a))))
    G maximises E ln D(a, G(a)) - lambda_L1 E |G(a) - b|

G is a U-Net: it halves the image down to a vector and doubles it again, and each level also hands
its features across to the level of the same size, because edges in a are edges in b.

There is no latent vector, since G would learn to ignore it. Dropout is the only noise, and it
stays on when images are made. So do the statistics of the batch in BatchNorm: G computes the same
function in train() and eval(), the one that it was trained as. With `norm` batch an image
therefore depends on the others of its batch; `translate` takes batches of the size of training,
and with batch_size 1 every image stands alone. `--dropout 0` makes G deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minigan import cat, nn
from minigan.autograd import no_grad
from minigan.errors import ConfigError
from minigan.models import base
from minigan.models.config import WithAdversary, multiple_of, not_negative, share
from minigan.models.image_pair import (
    ImagePairModel,
    PairConfig,
    discriminator,
    normal_init_,
    panel,
)
from minigan.models.patchgan import Norm, bias_before, norm_layer
from minigan.nn import functional as F
from minigan.objectives import adversarial, penalty
from minigan.tensor import Tensor

_MOST_DOWNS = 8
_FEWEST_DOWNS = 3


@dataclass(frozen=True)
class Config(PairConfig, WithAdversary):
    """Defaults of the authors' code."""

    num_downs: int = 0
    """Halvings in the U-Net; 0 for as many as img_size allows, 8 at most."""
    norm: Literal["batch", "instance"] = "batch"
    """Normalisation of both networks."""
    dropout: float = 0.5
    """Share of features that the U-Net's inner levels drop, also when sampling."""
    lambda_L1: float = 100.0
    """Weight of the L1 distance to the target."""

    @property
    def levels(self) -> int:
        """Halvings in the U-Net, with 0 decided."""
        return self.num_downs or min(_MOST_DOWNS, _halvings(self.img_size))

    def __post_init__(self) -> None:
        super().__post_init__()
        share(self, "dropout")
        not_negative(self, "lambda_L1")
        if self.num_downs and self.num_downs < _FEWEST_DOWNS:
            raise ConfigError(
                f"num_downs is {self.num_downs}: use 0 (automatic) or at least {_FEWEST_DOWNS}"
            )
        downs = self.num_downs or _FEWEST_DOWNS
        least = "" if self.num_downs else "at least "
        multiple_of(self, 1 << downs, f"the U-Net halves the image {least}{downs} times")


def _halvings(size: int) -> int:
    """How often a size can be halved without a remainder."""
    return (size & -size).bit_length() - 1


class Noise(nn.Dropout):
    """Dropout that stays on in eval(): what makes the outputs for one image differ."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, training=True)


class UNet(nn.Module):
    """Images [N, in_channels, H, W] -> images [N, out_channels, H, W] in [-1, 1].

    Level i of `levels` halves the size and has ngf 2^(i-1) features, at most 8 ngf. H and W are
    multiples of 2^levels. Dropout is in the levels from 5 on, or in the one before the innermost.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        levels: int,
        ngf: int = 64,
        norm: Norm = "batch",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        widths = [ngf * min(1 << i, 8) for i in range(levels)]
        bias = bias_before(norm)
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for i, width in enumerate(widths):
            first, last = i == 0, i == levels - 1
            before = in_channels if first else widths[i - 1]
            down: list[nn.Module] = [nn.Conv2d(before, width, 4, stride=2, padding=1, bias=bias)]
            if not first:
                down.insert(0, nn.LeakyReLU(0.2))
            if not (first or last):
                down.append(norm_layer(norm, width))
            self.downs.append(nn.Sequential(*down))
        for i in reversed(range(levels)):
            outermost, innermost = i == 0, i == levels - 1
            inputs = widths[i] if innermost else 2 * widths[i]  # beside those handed across
            after = out_channels if outermost else widths[i - 1]
            up: list[nn.Module] = [
                nn.ReLU(),
                nn.ConvTranspose2d(inputs, after, 4, stride=2, padding=1, bias=bias or outermost),
                nn.Tanh() if outermost else norm_layer(norm, after),
            ]
            if min(4, levels - 2) <= i < levels - 1:
                up.append(Noise(dropout))
            self.ups.append(nn.Sequential(*up))

    def forward(self, images: Tensor) -> Tensor:
        features = [images]
        for down in self.downs:
            features.append(down(features[-1]))
        x = features.pop()
        for up in self.ups[:-1]:
            x = cat([features.pop(), up(x)], dim=1)
        return self.ups[-1](x)


class Pix2Pix(ImagePairModel):
    """One step on pairs (a, b): the discriminator on (a, b) and (a, G(a)), then the generator."""

    name = "pix2pix"
    description = "Images into images, learned from pairs: edges to digits, labels to facades."
    Config = Config

    def build(self) -> None:
        config = self.config
        channels = config.channels
        self.generator = self.networks["generator"] = UNet(
            channels, channels, config.levels, config.ngf, config.norm, config.dropout
        )
        self.discriminator = self.networks["discriminator"] = discriminator(
            config, 2 * channels, config.norm
        )
        for name, network in list(self.networks.items()):
            normal_init_(network, config.init_gain)
            self.optimizers[name] = self.adam(network)
        self.loss = adversarial(config.gan_mode)

    def update(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """One step on inputs a and targets b, both [N, C, H, W]."""
        made = self.generator(a)
        real_pair, fake_pair = cat([a, b], dim=1), cat([a, made], dim=1)

        self.optimizers["discriminator"].zero_grad()
        real_logits = self.discriminator(real_pair)
        fake_logits = self.discriminator(fake_pair.detach())
        d_loss = 0.5 * (self.loss.real(real_logits) + self.loss.fake(fake_logits))
        if self.config.penalty != "none":
            held_down = penalty(
                self.config.penalty, self._mean_logits, real_pair, fake_pair.detach()
            )
            d_loss = d_loss + self.config.penalty_weight * held_down
        d_loss.backward()
        self.optimizers["discriminator"].step()

        self.optimizers["generator"].zero_grad()
        with base.frozen(self.discriminator):
            g_gan_loss = self.loss.generator(self.discriminator(fake_pair))
            g_l1_loss = F.l1_loss(made, b)
            g_loss = g_gan_loss + self.config.lambda_L1 * g_l1_loss
            g_loss.backward()
        self.optimizers["generator"].step()

        with no_grad():
            return {
                "d_loss": d_loss.detach(),
                "g_loss": g_loss.detach(),
                "g_gan_loss": g_gan_loss.detach(),
                "g_l1_loss": g_l1_loss.detach(),
                "d_x": self.loss.score(real_logits).mean(),
                "d_g_z": self.loss.score(fake_logits).mean(),
            }

    def _mean_logits(self, pairs: Tensor) -> Tensor:
        """[N]: D's opinion of whole pairs, the mean over its patches."""
        return self.discriminator(pairs).flatten(1).mean(1)

    def translate(self, images: Any, seed: int = 0) -> np.ndarray:
        """G's outputs for images [N,C,H,W] in [-1,1]: float32 of the same shape.

        The same seed gives the same dropout. Batches have the size of training, because with
        `norm` batch the images of a batch are normalised together.
        """
        return self.translated("generator", images, seed, self.config.batch_size)

    def pictures(
        self, seed: int, examples: Sequence[np.ndarray] | None = None
    ) -> dict[str, tuple[np.ndarray, int]]:
        """ "samples": the examples' inputs, what G makes of them, and the targets, a row each."""
        if examples is None:
            self._needs_images()
        a, b = examples[:2]
        return {"samples": panel(a, self.translate(a, seed), b)}
