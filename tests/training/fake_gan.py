"""A model with the interface of minigan.models and no engine: a few NumPy arrays that drift.

Run as a script it is the `minigan` command with this model and a data set of 22 tiny images, for
tests that need a process of their own.
"""

import math
import sys
import time
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from minigan.data import ArrayDataset
from minigan.errors import ConfigError


@dataclass(frozen=True)
class Config:
    """Options of the fake."""

    n_epochs: int = 2
    """Passes over the data."""
    batch_size: int = 4
    """Images per step."""
    lr: float = 0.1
    """Learning rate."""
    b1: float = 0.5
    b2: float = 0.999
    latent_dim: int = 5
    img_size: int = 8
    channels: int = 1
    sample_interval: int = 3
    ema: float = 0.0
    n_classes: int = 10
    widths: tuple[int, ...] = (4, 3)
    """Sizes of the layers."""
    diverge_at: int = 0
    """Step at which g_loss becomes NaN; 0 for none."""
    step_seconds: float = 0.0
    """How long a step takes."""

    @property
    def total_epochs(self) -> int:
        return self.n_epochs

    def __post_init__(self) -> None:
        if self.img_size % 8:
            raise ConfigError(f"img_size is {self.img_size}: use a multiple of 8")


class Scalar:
    """A 0-d tensor that counts how often any of them was read."""

    reads = 0

    def __init__(self, value: float) -> None:
        self._value = value

    def __float__(self) -> float:
        Scalar.reads += 1
        return float(self._value)


class FakeGAN:
    name = "fake"
    description = "A fake that trains nothing."
    needs_labels = True
    min_batch = 2
    takes_pairs = False
    Config = Config

    def __init__(self, config: Config, device: str, seed: int) -> None:
        self.config, self.device = config, device
        self._noise = np.random.default_rng(seed)
        self._lr = config.lr
        self.epochs_ended: list[tuple[int, int]] = []  # epoch, steps done by then
        self._weights = {
            name: self._noise.standard_normal(config.widths).astype(np.float32)
            for name in ("generator", "discriminator")
        }
        self._moments = {name: np.zeros_like(w) for name, w in self._weights.items()}
        self._steps = 0
        self.networks = {
            name: SimpleNamespace(parameters=lambda weight=weight: iter([weight]))
            for name, weight in self._weights.items()
        }
        self.optimizers = dict.fromkeys(self._weights)

    def capture(self):
        """There is nothing to record."""

    def step(self, batch):
        # In short naps: Python misses a signal that comes just before it sleeps until the nap ends,
        # and a step that computes looks for signals all the time.
        until = time.monotonic() + self.config.step_seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
        images, labels = batch
        self._steps += 1
        losses = {}
        for name, weight in self._weights.items():
            grad = self._noise.standard_normal(weight.shape).astype(np.float32)
            grad += np.float32(images.mean() + labels.sum())
            self._moments[name] += grad
            weight -= self._lr * self._moments[name]
            losses[f"{name[0]}_loss"] = Scalar(np.abs(weight).mean())
        if self._steps == self.config.diverge_at:
            losses["g_loss"] = Scalar(math.nan)
        return {**losses, "accuracy": Scalar(labels.mean() / 10)}

    def end_epoch(self, epoch: int) -> None:
        self.epochs_ended.append((epoch, self._steps))
        self._lr *= 0.5

    def sample(self, n, labels=None, codes=None, seed=None):
        labels = np.arange(n) % 10 if labels is None else np.asarray(labels)
        if labels.shape != (n,) or n < 1 or labels.max() >= self.config.n_classes:
            raise ConfigError(f"labels must be {n} integers below {self.config.n_classes}")
        size = self.config.img_size
        images = np.random.default_rng(seed).uniform(-1, 1, (n, 1, size, size))
        shift = np.sin(self._weights["generator"].mean()) + labels.reshape(-1, 1, 1, 1) / 10
        return np.tanh(images + shift).astype(np.float32)

    def pictures(self, seed, examples=None):
        return {"samples": (self.sample(6, seed=seed), 3), "examples": (examples[0], 4)}

    def state_dict(self):
        return {
            "networks": {name: {"weight": w} for name, w in self._weights.items()},
            "optimizers": {"adam": {"state": {0: {"moments": self._moments}}, "lr": self._lr}},
            "random": self._noise.bit_generator.state,
            "steps": self._steps,
            "ema": None,
        }

    def load_state_dict(self, state):
        for name, arrays in state["networks"].items():
            self._weights[name][:] = arrays["weight"]
            self._moments[name][:] = state["optimizers"]["adam"]["state"][0]["moments"][name]
        self._lr = state["optimizers"]["adam"]["lr"]
        self._noise.bit_generator.state = state["random"]
        self._steps = state["steps"]


def get(name):
    if name != "fake":
        raise ConfigError(f"unknown model {name!r}: use one of fake")
    return FakeGAN


def create(name, device="cpu", seed=0, **overrides):
    return get(name)(Config(**overrides), device, seed)


def dataset(n=22):
    pixels = np.random.default_rng(1).integers(0, 256, (n, 8, 8), dtype=np.uint8)
    return ArrayDataset(pixels, np.arange(n) % 10, name="tiny", source="22 tiny images")


def install(replace):
    """Put the fake in the place of minigan's models and data; `replace` is like setattr."""
    from minigan import models
    from minigan.training import saved_run

    replace(models, "get", get)
    replace(models, "create", create)
    replace(models, "list", lambda: ("fake",))
    replace(saved_run, "load", lambda *_, **__: dataset())


if __name__ == "__main__":
    from minigan.cli import main

    install(setattr)
    sys.exit(main())
