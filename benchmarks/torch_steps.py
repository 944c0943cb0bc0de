"""The PyTorch side of benchmarks.steps: the steps that the tests compare minigan's with."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

Step = Callable[[], Any]


def step_of(torch: Any, gan: Any, batch: tuple[Any, Any], memory_format: Any) -> Step:
    """A function that takes one step of the model in PyTorch, from the same weights."""
    twin, step = _TWINS[gan.name](torch, gan, batch)
    for network in twin.networks.values():
        network.to(memory_format=memory_format)
    return step


def _latent(torch: Any, gan: Any) -> Any:
    config = gan.config
    values = np.random.default_rng(1).standard_normal((config.batch_size, config.latent_dim))
    return torch.tensor(values.astype(np.float32))


def _asked(gan: Any) -> np.ndarray:
    return np.random.default_rng(2).integers(0, gan.config.n_classes, gan.config.batch_size)


def _unconditional(file: str, name: str) -> Callable[..., tuple[Any, Step]]:
    def make(torch: Any, gan: Any, batch: tuple[Any, Any]) -> tuple[Any, Step]:
        twin = getattr(importlib.import_module(f"tests.models.{file}"), name)(gan)
        images, latent = torch.tensor(batch[0]), _latent(torch, gan)
        return twin, lambda: twin.step(images, latent)

    return make


def _cgan(torch: Any, gan: Any, batch: tuple[Any, Any]) -> tuple[Any, Step]:
    from tests.models.cgan_torch import TorchCGAN

    twin = TorchCGAN(gan)
    images, labels, asked = (torch.tensor(v) for v in (*batch, _asked(gan)))
    latent = _latent(torch, gan)
    return twin, lambda: twin.step(images, labels, latent, asked)


def _acgan(torch: Any, gan: Any, batch: tuple[Any, Any]) -> tuple[Any, Step]:
    from tests.models.acgan_torch import TorchACGAN

    twin, latent, asked = TorchACGAN(torch, gan), _latent(torch, gan).numpy(), _asked(gan)
    return twin, lambda: twin.step(*batch, latent, asked)


def _wgan_gp(torch: Any, gan: Any, batch: tuple[Any, Any]) -> tuple[Any, Step]:
    from tests.models.wgan_torch import TorchWGANGP

    twin, images, latent = TorchWGANGP(gan), torch.tensor(batch[0]), _latent(torch, gan)
    share = torch.rand(len(images), 1, 1, 1)

    def step() -> None:
        for _ in range(gan.config.n_critic):
            twin.critic_step(images, latent, share)
        twin.generator_step(latent)

    return twin, step


_TWINS: dict[str, Callable[..., tuple[Any, Step]]] = {
    "gan": _unconditional("gan_torch", "TorchGAN"),
    "dcgan": _unconditional("dcgan_torch", "TorchDCGAN"),
    "lsgan": _unconditional("dcgan_torch", "TorchLSGAN"),
    "cgan": _cgan,
    "acgan": _acgan,
    "wgan_gp": _wgan_gp,
}
