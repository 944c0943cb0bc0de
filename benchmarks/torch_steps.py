"""The PyTorch side of benchmarks.steps: the steps that the tests compare minigan's with."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

Step = Callable[[], Any]
# A twin, what takes one of its steps, and the arrays that it takes it on.
Twin = tuple[Any, ...]


def step_of(torch: Any, gan: Any, batch: tuple[Any, Any], memory_format: Any) -> Step:
    """A function that takes one step of the model in PyTorch, from the same weights."""
    twin, step = twin_of(torch, gan, batch)
    for network in twin.networks.values():
        network.to(memory_format=memory_format)
    return step


def twin_of(torch: Any, gan: Any, batch: tuple[Any, Any], device: str = "cpu") -> tuple[Any, Step]:
    """The model in PyTorch, whose `networks` have the same weights, and a function that takes one
    of its steps, always on the same tensors."""
    twin, step, *inputs = _TWINS[gan.name](torch, gan, batch)
    for network in twin.networks.values():
        network.to(device)
    tensors = [torch.as_tensor(value, device=device) for value in inputs]
    return twin, lambda: step(*tensors)


def _latent(gan: Any) -> np.ndarray:
    config = gan.config
    values = np.random.default_rng(1).standard_normal((config.batch_size, config.latent_dim))
    return values.astype(np.float32)


def _asked(gan: Any) -> np.ndarray:
    return np.random.default_rng(2).integers(0, gan.config.n_classes, gan.config.batch_size)


def _unconditional(file: str, name: str) -> Callable[..., Twin]:
    def make(torch: Any, gan: Any, batch: tuple[Any, Any]) -> Twin:
        twin = getattr(importlib.import_module(f"tests.models.{file}"), name)(gan)
        return twin, twin.step, batch[0], _latent(gan)

    return make


def _cgan(torch: Any, gan: Any, batch: tuple[Any, Any]) -> Twin:
    from tests.models.cgan_torch import TorchCGAN

    twin = TorchCGAN(gan)
    return twin, twin.step, *batch, _latent(gan), _asked(gan)


def _acgan(torch: Any, gan: Any, batch: tuple[Any, Any]) -> Twin:
    from tests.models.acgan_torch import TorchACGAN

    twin = TorchACGAN(torch, gan)
    return twin, twin.step, *batch, _latent(gan), _asked(gan)


def _wgan_gp(torch: Any, gan: Any, batch: tuple[Any, Any]) -> Twin:
    from tests.models.wgan_torch import TorchWGANGP

    twin = TorchWGANGP(gan)

    def step(images: Any, latent: Any, share: Any) -> None:
        for _ in range(gan.config.n_critic):
            twin.critic_step(images, latent, share)
        twin.generator_step(latent)

    return twin, step, batch[0], _latent(gan), torch.rand(len(batch[0]), 1, 1, 1)


def _wgan(torch: Any, gan: Any, batch: tuple[Any, Any]) -> Twin:
    from tests.models.wgan_torch import TorchWGAN

    twin = TorchWGAN(gan)

    def step(images: Any, latent: Any) -> None:
        for _ in range(gan.config.n_critic):
            twin.critic_step(images, latent)
        twin.generator_step(latent)

    return twin, step, batch[0], _latent(gan)


def _infogan(torch: Any, gan: Any, batch: tuple[Any, Any]) -> Twin:
    from tests.models.infogan_torch import TorchInfoGAN

    twin, config, rng = TorchInfoGAN(gan), gan.config, np.random.default_rng(1)
    n = config.batch_size
    noise = rng.uniform(-1, 1, (n, config.latent_dim)).astype(np.float32)
    codes = rng.uniform(-1, 1, (n, config.code_dim)).astype(np.float32)
    return twin, twin.step, batch[0], noise, codes, _asked(gan)


def _ebgan(torch: Any, gan: Any, batch: tuple[Any, Any]) -> Twin:
    from tests.models.ebgan_torch import TorchEBGAN

    class Twin(TorchEBGAN):
        def pulling_away(self, codes: Any) -> Any:
            """All pairs at once; the tests' twin takes them one by one."""
            n = len(codes)
            directions = torch.nn.functional.normalize(codes.flatten(1))
            return ((directions @ directions.T).square().sum() - n) / (n * (n - 1))

    twin = Twin(torch, gan)
    return twin, twin.step, batch[0], _latent(gan)


def _vae(torch: Any, gan: Any, batch: tuple[Any, Any]) -> Twin:
    from tests.models.vae_torch import TorchVAE

    twin = TorchVAE(torch, gan)
    return twin, twin.step, batch[0], _latent(gan)


def _stackedgan(torch: Any, gan: Any, batch: tuple[Any, Any]) -> Twin:
    from tests.models.stackedgan_torch import TorchStackedGAN

    twin, config = TorchStackedGAN(gan), gan.config
    shape = (config.batch_size, config.z1_dim + config.z0_dim)
    latent = np.random.default_rng(1).uniform(size=shape).astype(np.float32)
    return twin, partial(twin.levels_step, joint=True), *batch, latent


def _pix2pix(torch: Any, gan: Any, batch: tuple[Any, Any]) -> Twin:
    from tests.models.pix2pix_torch import TorchPix2Pix

    twin = TorchPix2Pix(torch, gan, dropout=lambda: torch.nn.Dropout(0.5))
    return twin, twin.step, *batch


def _cyclegan(torch: Any, gan: Any, batch: tuple[Any, Any]) -> Twin:
    from tests.models.cyclegan_torch import TorchCycleGAN

    twin = TorchCycleGAN(gan)
    return twin, twin.step, *batch


_TWINS: dict[str, Callable[..., Twin]] = {
    "gan": _unconditional("gan_torch", "TorchGAN"),
    "dcgan": _unconditional("dcgan_torch", "TorchDCGAN"),
    "lsgan": _unconditional("dcgan_torch", "TorchLSGAN"),
    "cgan": _cgan,
    "acgan": _acgan,
    "infogan": _infogan,
    "stackedgan": _stackedgan,
    "wgan": _wgan,
    "wgan_gp": _wgan_gp,
    "ebgan": _ebgan,
    "vae": _vae,
    "pix2pix": _pix2pix,
    "cyclegan": _cyclegan,
}
