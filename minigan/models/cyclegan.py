"""CycleGAN: images into images without pairs (Zhu et al. 2017).

The data are two heaps of images, A and B: horses and zebras, digits and their negatives. Nobody
says which b belongs to an a, so there is nothing to compare G_A(a) with. Two things are asked
instead. G_A(a) must look like an image of B, which the discriminator D_A judges, and G_B must be
able to make a of it again: a translation that can be undone has kept what a showed. With the
discriminators' outputs as numbers that should be 1 for data and 0 for generated images,

    G_A: A -> B, judged by D_A         G_B: B -> A, judged by D_B

    both G minimise    E (D_A(G_A(a)) - 1)^2 + E (D_B(G_B(b)) - 1)^2
                       + lambda_A E |G_B(G_A(a)) - a| + lambda_B E |G_A(G_B(b)) - b|
                       + lambda_idt (lambda_B E |G_A(b) - b| + lambda_A E |G_B(a) - a|)
    D_A minimises      1/2 E (D_A(b) - 1)^2 + 1/2 E D_A(history(G_A(a)))^2,  D_B alike

The last line of G's loss, the identity term, says that an image which is in B already needs no
translation. Without it G may invert colours and invert them back. `history` is image_pool.py.

What goes wrong in copies of this model, and how it is here: D_A judges images of B, as G_A's name
says, not of A. Borders are mirrored by as many pixels as the convolution takes, whatever the number
of channels. A resumed run goes on with its optimisers, learning rates and history, not only with
its weights. There is no dropout, and InstanceNorm is the same in training and afterwards: what is
sampled is what was trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from minigan import cat
from minigan.errors import CheckpointError, ConfigError
from minigan.models import base
from minigan.models.config import WithAdversary, multiple_of, not_negative
from minigan.models.image_pair import (
    ImagePairModel,
    PairConfig,
    discriminator,
    normal_init_,
    panel,
)
from minigan.models.image_pool import ImagePool
from minigan.models.resnet_generator import ResNetGenerator, Upsampling
from minigan.nn import Module
from minigan.nn import functional as F
from minigan.objectives import adversarial, penalty
from minigan.tensor import Tensor


@dataclass(frozen=True)
class Config(PairConfig, WithAdversary):
    """Defaults of the authors' code."""

    gan_mode: Literal["vanilla", "minimax", "lsgan", "hinge", "wasserstein"] = "lsgan"
    """Adversarial loss: least squares (lsgan), cross-entropy (vanilla), ..."""
    n_blocks: int = 0
    """Residual blocks of the generators; 0 for 6 below 256 pixels and 9 from there on."""
    upsampling: Upsampling = "transposed"
    """How the generators enlarge: transposed convolutions, or nearest and a convolution."""
    lambda_A: float = 10.0
    """Weight of the cycle A -> B -> A."""
    lambda_B: float = 10.0
    """Weight of the cycle B -> A -> B."""
    lambda_idt: float = 0.5
    """Weight of the identity term, on top of lambda_A and lambda_B; 0 for none."""
    pool_size: int = 50
    """Images in each discriminator's history; 0 for none."""

    @property
    def blocks(self) -> int:
        """Residual blocks, with 0 decided."""
        return self.n_blocks or (6 if self.img_size < 256 else 9)

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self, "n_blocks", "lambda_A", "lambda_B", "lambda_idt", "pool_size")
        multiple_of(self, 4, "the generators halve the image twice")
        if self.img_size < 8:
            raise ConfigError(
                f"img_size is {self.img_size}: a quarter of it has no border to mirror; use 8 or "
                "more"
            )


class CycleGAN(ImagePairModel):
    """One step on a of A and b of B, which need not fit: both generators, both discriminators."""

    name = "cyclegan"
    description = "Images into images, learned without pairs: there and back must give the same."
    averaged: ClassVar[tuple[str, ...]] = ("generator_a", "generator_b")
    Config = Config

    def build(self) -> None:
        config = self.config
        shape = (config.channels, config.img_size, config.img_size)

        def generator() -> Module:
            return ResNetGenerator(config.channels, config.ngf, config.blocks, config.upsampling)

        self.generator_a, self.generator_b = generator(), generator()
        self.discriminator_a, self.discriminator_b = (
            discriminator(config, config.channels, "instance") for _ in range(2)
        )
        self.networks |= {
            "generator_a": self.generator_a,
            "generator_b": self.generator_b,
            "discriminator_a": self.discriminator_a,
            "discriminator_b": self.discriminator_b,
        }
        for network in self.networks.values():
            normal_init_(network, config.init_gain)
        self.optimizers["generators"] = self.adam(self.generator_a, self.generator_b)
        self.optimizers["discriminators"] = self.adam(self.discriminator_a, self.discriminator_b)
        self.pools = {side: ImagePool(config.pool_size, shape, self.device) for side in "ab"}
        self.loss = adversarial(config.gan_mode)

    @property
    def step_kind(self) -> str | None:
        """None while the pools fill: each image has a place of its own in them."""
        return "step" if all(pool.is_full for pool in self.pools.values()) else None

    def update(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """One step on images a of A and b of B, both [N, C, H, W]."""
        fake_b, idt_a_loss = self._translated_and_identity(self.generator_a, a, b)
        fake_a, idt_b_loss = self._translated_and_identity(self.generator_b, b, a)
        g_losses = self._train_generators(a, b, fake_a, fake_b, idt_a_loss, idt_b_loss)

        shown_b = self.pools["b"].exchange(fake_b.detach())
        shown_a = self.pools["a"].exchange(fake_a.detach())
        self.optimizers["discriminators"].zero_grad()
        d_a_loss = self._discriminator_loss(self.discriminator_a, b, shown_b)
        d_b_loss = self._discriminator_loss(self.discriminator_b, a, shown_a)
        (d_a_loss + d_b_loss).backward()
        self.optimizers["discriminators"].step()
        return {"d_a_loss": d_a_loss.detach(), "d_b_loss": d_b_loss.detach()} | g_losses

    def _translated_and_identity(
        self, generator: Module, source: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """G(source), and E |G(target) - target| where it counts."""
        if not self.config.lambda_idt:
            return generator(source), None
        # InstanceNorm takes each image by itself, so one pass can do both.
        n = source.shape[0]
        made = generator(cat([source, target], 0))
        return made[:n], F.l1_loss(made[n:], target)

    def _train_generators(
        self,
        a: Tensor,
        b: Tensor,
        fake_a: Tensor,
        fake_b: Tensor,
        idt_a_loss: Tensor | None,
        idt_b_loss: Tensor | None,
    ) -> dict[str, Tensor]:
        config = self.config
        self.optimizers["generators"].zero_grad()
        with base.frozen(self.discriminator_a), base.frozen(self.discriminator_b):
            losses = {
                "g_a_loss": self.loss.generator(self.discriminator_a(fake_b)),
                "g_b_loss": self.loss.generator(self.discriminator_b(fake_a)),
                "cycle_a_loss": F.l1_loss(self.generator_b(fake_b), a),
                "cycle_b_loss": F.l1_loss(self.generator_a(fake_a), b),
            }
            loss = losses["g_a_loss"] + losses["g_b_loss"]
            loss = loss + config.lambda_A * losses["cycle_a_loss"]
            loss = loss + config.lambda_B * losses["cycle_b_loss"]
            if idt_a_loss is not None and idt_b_loss is not None:
                losses |= {"idt_a_loss": idt_a_loss, "idt_b_loss": idt_b_loss}
                identity = config.lambda_B * idt_a_loss + config.lambda_A * idt_b_loss
                loss = loss + config.lambda_idt * identity
            loss.backward()
        self.optimizers["generators"].step()
        return {"g_loss": loss.detach()} | {k: v.detach() for k, v in losses.items()}

    def _discriminator_loss(self, judge: Module, real: Tensor, shown: Tensor) -> Tensor:
        loss = 0.5 * (self.loss.real(judge(real)) + self.loss.fake(judge(shown)))
        if self.config.penalty == "none":
            return loss

        def mean_logits(images: Tensor) -> Tensor:
            return judge(images).flatten(1).mean(1)

        held_down = penalty(self.config.penalty, mean_logits, real, shown)
        return loss + self.config.penalty_weight * held_down

    # --- images ---------------------------------------------------------------------------------
    def translate(
        self, images: Any, direction: Literal["AtoB", "BtoA"] = "AtoB", seed: int = 0
    ) -> np.ndarray:
        """G_A's outputs for images [N,C,H,W] of A in [-1,1], or G_B's for images of B: float32 of
        the same shape. There is no noise, so `seed` changes nothing.

        Raises ConfigError for another direction.
        """
        networks = {"AtoB": "generator_a", "BtoA": "generator_b"}
        if direction not in networks:
            raise ConfigError(f"direction is {direction!r}: use AtoB or BtoA")
        return self.translated(networks[direction], images, seed)

    def pictures(
        self, seed: int, examples: Sequence[np.ndarray] | None = None
    ) -> dict[str, tuple[np.ndarray, int]]:
        """ "samples": images a, G_A(a), back again by G_B, and G_B(a), which should be a; a row
        each. "samples_b": images b, G_B(b), back again by G_A, and G_A(b)."""
        if examples is None:
            self._needs_images()
        a, b = examples[:2]
        return {
            "samples": self._panel(a, "AtoB", "BtoA"),
            "samples_b": self._panel(b, "BtoA", "AtoB"),
        }

    def _panel(
        self, images: np.ndarray, there: Literal["AtoB", "BtoA"], back: Literal["AtoB", "BtoA"]
    ) -> tuple[np.ndarray, int]:
        made = self.translate(images, there)
        return panel(images, made, self.translate(made, back), self.translate(images, back))

    # --- state ----------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        pools = {side: pool.state_dict() for side, pool in self.pools.items()}
        return super().state_dict() | {"pools": pools}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if set(state.get("pools", ())) != set(self.pools):
            raise CheckpointError(f"{self.name}: the state lacks the history of generated images")
        super().load_state_dict(state)
        for side, pool in self.pools.items():
            pool.load_state_dict(state["pools"][side])
