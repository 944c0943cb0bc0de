"""Every variant in a size that a test can afford, and batches for it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from minigan import models

NAMES = models.list()
_SMALL = {"img_size": 32, "n_critic": 2, "ngf": 4, "ndf": 4}
_OWN = {
    "gan": {"img_size": 8},
    "dcgan": {"img_size": 16, "trunk": "strided"},
    "cgan": {"img_size": 8},
    "wgan": {"img_size": 8},
    "wgan_gp": {"img_size": 28},
    "infogan": {"img_size": 28},
    "stackedgan": {"img_size": 16, "encoder_steps": 3, "independent_steps": 3},
    "ebgan": {"img_size": 16},
    "vae": {"img_size": 28},
    "cyclegan": {"img_size": 24, "n_blocks": 1, "pool_size": 4},
}


def small(name: str, device: str = "cpu", seed: int = 1, **options: Any) -> Any:
    fields = {field.name for field in dataclasses.fields(models.get(name).Config)}
    own = {key: value for key, value in _SMALL.items() if key in fields}
    return models.create(name, device, seed, **(own | _OWN.get(name, {}) | options))


def batch(gan: Any, seed: int = 0, n: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """What the DataLoader would give: images and labels, or two sets of images."""
    config, rng = gan.config, np.random.default_rng(seed)
    shape = (2, n, config.channels, config.img_size, config.img_size)
    a, b = rng.uniform(-1, 1, shape).astype(np.float32)
    return (a, b) if gan.takes_pairs else (a, rng.integers(0, 2, n))


def numbers(losses: dict[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in losses.items()}


def flat(state: Any, prefix: str = "") -> dict[str, Any]:
    """A model's state_dict() by dotted names."""
    if isinstance(state, dict | list):
        pairs = state.items() if isinstance(state, dict) else enumerate(state)
        return {k: v for key, value in pairs for k, v in flat(value, f"{prefix}.{key}").items()}
    return {prefix: state}


def differences(one: Any, two: Any) -> list[str]:
    """The names of what differs between two states, by a bit."""
    a, b = flat(one.state_dict()), flat(two.state_dict())
    assert list(a) == list(b)
    return [name for name in a if not np.array_equal(a[name], b[name])]


# As the reference implementation trains it: two steps stay close enough to compare weights.
REFERENCE_ACGAN = {"lr": 2e-4, "dropout": 0.25, "fake_class_weight": 1.0, "ema": 0.0}
