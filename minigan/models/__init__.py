"""The GAN variants: one file, one paper. `create(name)` makes one ready to train."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

from minigan.errors import ConfigError
from minigan.models.base import Model

# file name -> class name; a file is imported when it is asked for
_CLASSES = {
    "gan": "GAN",
    "dcgan": "DCGAN",
    "cgan": "CGAN",
    "acgan": "ACGAN",
    "infogan": "InfoGAN",
    "stackedgan": "StackedGAN",
    "lsgan": "LSGAN",
    "wgan": "WGAN",
    "wgan_gp": "WGANGP",
    "ebgan": "EBGAN",
    "vae": "VAE",
    "pix2pix": "Pix2Pix",
    "cyclegan": "CycleGAN",
}


def list() -> tuple[str, ...]:
    """The names that `create` takes."""
    return tuple(_CLASSES)


def get(name: str) -> type[Model]:
    """The class of a variant. Raises ConfigError for an unknown name."""
    if name not in _CLASSES:
        raise ConfigError(f"unknown model {name!r}: use one of {', '.join(_CLASSES)}")
    return getattr(importlib.import_module(f"minigan.models.{name}"), _CLASSES[name])


def create(name: str, device: str = "cpu", seed: int = 0, **overrides: Any) -> Model:
    """A variant with new weights; `overrides` are fields of its Config."""
    model = get(name)
    known = [field.name for field in dataclasses.fields(model.Config)]
    for key in overrides:
        if key not in known:
            raise ConfigError(f"{name} has no option {key!r}: it has {', '.join(known)}")
    return model(model.Config(**overrides), device=device, seed=seed)
