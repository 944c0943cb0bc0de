"""What all variants share: the interface, their random numbers, EMA, sampling and state.

A variant defines its Config, builds `networks` and `optimizers` in `build()`, and says in
`update(images, labels)` what one training step does. `update` never reads a value back to the
host, so that a whole step can be captured.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minigan import creation, nn, optim, random
from minigan.autograd import no_grad
from minigan.backends import kernels_on
from minigan.device import device as as_device
from minigan.errors import CheckpointError, ConfigError, DataError
from minigan.tensor import Tensor

_SAMPLING_BATCH = 256  # images generated at once: bounds the memory of large samples
_SAMPLING_STREAM = 0x5A4D504C  # keeps unseeded samples apart from the training's numbers


@dataclass(frozen=True)
class Config:
    """Options that every variant has; each variant sets its paper's defaults."""

    n_epochs: int = 200
    """Passes over the data."""
    batch_size: int = 64
    """Images per step."""
    lr: float = 0.0002
    """Learning rate of Adam."""
    b1: float = 0.5
    """Adam's decay of the gradient's mean."""
    b2: float = 0.999
    """Adam's decay of the gradient's square."""
    latent_dim: int = 100
    """Length of the latent vector."""
    img_size: int = 32
    """Height and width of the images."""
    channels: int = 1
    """Channels of the images: 1 gray, 3 RGB."""
    sample_interval: int = 400
    """Steps between sample grids; 0 for one at the end."""
    ema: float = 0.0
    """Decay of an average of the generator's weights, used for samples; 0 for none."""

    def __post_init__(self) -> None:
        for name in ("n_epochs", "batch_size", "latent_dim", "img_size", "channels"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.lr <= 0:
            raise ConfigError(f"lr is {self.lr}: it must be positive")
        for name in ("b1", "b2", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: use 0 <= {name} < 1")
        if self.sample_interval < 0:
            raise ConfigError(f"sample_interval is {self.sample_interval}: use 0 or more")


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Compute no gradients for the module's parameters; gradients still flow through it."""
    wanted = [p for p in module.parameters() if p.requires_grad]
    for p in wanted:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in wanted:
            p.requires_grad_(True)


class Model:
    """A GAN, or a model trained like one: networks, optimisers and one training step."""

    name: ClassVar[str]
    description: ClassVar[str]
    needs_labels: ClassVar[bool] = False
    Config: ClassVar[type[Any]] = Config

    def __init__(self, config: Any, device: str = "cpu", seed: int = 0) -> None:
        self.config = config
        self.device = as_device(device)
        kernels_on(self.device)  # says at once what is missing, before anything is built
        self.seed = seed
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, optim.Optimizer] = {}
        self._random = random.Generator(seed).get_state()
        self._sampling = random.Generator(seed ^ _SAMPLING_STREAM)
        with self._own_random():
            self.build()
        for network in self.networks.values():
            network.to(self.device)
        if config.ema:
            self.networks["generator_ema"] = average = copy.deepcopy(self.networks["generator"])
            average.requires_grad_(False).eval()

    # --- what a variant defines -----------------------------------------------------------------
    def build(self) -> None:
        """Fill `networks` and `optimizers`."""
        raise TypeError(f"{type(self).__name__} defines no build()")

    def update(self, images: Tensor, labels: Any) -> dict[str, Tensor]:
        """Update every network once, labels being a Tensor [N] or None; 0-d tensors by name."""
        raise TypeError(f"{type(self).__name__} defines no update()")

    def generate(
        self, generator: nn.Module, n: int, labels: Any, codes: Any, source: random.Generator
    ) -> Tensor:
        """n images, with latents drawn from `source`."""
        raise TypeError(f"{type(self).__name__} defines no generate()")

    def sample_grid(self, seed: int) -> tuple[np.ndarray, int]:
        """The images of the run's picture, and its number of columns; fixed by `seed`."""
        return self.sample(64, seed=seed), 8

    def end_epoch(self, epoch: int) -> None:
        """Called after each epoch (1, 2, ...), for schedules."""

    # --- training -----------------------------------------------------------------------------
    def step(self, batch: Sequence[Any]) -> dict[str, Tensor]:
        """One training step on a batch of the DataLoader; returns its losses, unread."""
        images, labels = self._checked(batch)
        with self._own_random():
            losses = self.update(images, labels)
        if self.config.ema:
            self._update_average()
        return losses

    def _checked(self, batch: Sequence[Any]) -> tuple[Tensor, Tensor | None]:
        images = _as_tensor(batch[0], self.device)
        expected = (self.config.channels, self.config.img_size, self.config.img_size)
        if tuple(images.shape[1:]) != expected:
            raise DataError(
                f"{self.name} expects images of shape {expected}; this batch has "
                f"{tuple(images.shape[1:])}: set img_size and channels to fit"
            )
        if not self.needs_labels:
            return images, None
        if len(batch) < 2 or batch[1] is None:
            raise DataError(f"{self.name} needs labels, and this data has none")
        if isinstance(batch[1], np.ndarray) and batch[1].size:
            low, high = int(batch[1].min()), int(batch[1].max())
            if low < 0 or high >= self.config.n_classes:
                raise DataError(
                    f"{self.name}: labels {low}..{high} do not fit n_classes="
                    f"{self.config.n_classes}: labels count from 0"
                )
        return images, _as_tensor(batch[1], self.device)

    @contextmanager
    def _own_random(self) -> Iterator[None]:
        """Draw from this model's random stream: what others draw changes nothing here."""
        outer = random.get_state()
        random.set_state(self._random)
        try:
            yield
        finally:
            self._random = random.get_state()
            random.set_state(outer)

    def _update_average(self) -> None:
        decay = self.config.ema
        live, average = self.networks["generator"], self.networks["generator_ema"]
        with no_grad():
            for mean, p in zip(average.parameters(), live.parameters(), strict=True):
                mean.mul_(decay).add_(p.detach() * (1.0 - decay))
            for copied, buffer in zip(average.buffers(), live.buffers(), strict=True):
                copied.copy_(buffer)

    # --- sampling -------------------------------------------------------------------------------
    def sample(
        self, n: int, labels: Any = None, codes: Any = None, seed: int | None = None
    ) -> np.ndarray:
        """n images, float32 [n,C,H,W] in [-1,1], from the averaged generator if there is one.

        The generator runs in eval mode. The same seed gives the same images.
        """
        if n < 1:
            raise ConfigError(f"cannot sample {n} images: ask for at least 1")
        source = self._sampling if seed is None else random.Generator(seed)
        generator = self.networks.get("generator_ema", self.networks["generator"])
        images = []
        training = generator.training
        generator.eval()
        try:
            with no_grad():
                for start in range(0, n, _SAMPLING_BATCH):
                    part = slice(start, min(start + _SAMPLING_BATCH, n))
                    count = part.stop - start
                    asked, code = (
                        None if v is None else np.asarray(v)[part] for v in (labels, codes)
                    )
                    made = self.generate(generator, count, asked, code, source)
                    images.append(made.numpy())
        finally:
            generator.train(training)
        return np.concatenate(images)

    # --- state ----------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """Everything a bit-exact resume needs, as arrays and JSON scalars."""
        return {
            "networks": {name: _host(net.state_dict()) for name, net in self.networks.items()},
            "optimizers": {name: _host(o.state_dict()) for name, o in self.optimizers.items()},
            "random": dict(self._random),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict()`. Raises CheckpointError where it does not fit."""
        for part, mine in (("networks", self.networks), ("optimizers", self.optimizers)):
            if part not in state or set(state[part]) != set(mine):
                raise CheckpointError(
                    f"{self.name}: the state's {part} are {sorted(state.get(part, ()))}, "
                    f"not {sorted(mine)}"
                )
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self._random = {key: int(value) for key, value in state["random"].items()}


def _as_tensor(value: Any, device: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.to(device)
    return creation.as_tensor(value, device=device)


def _host(tree: Any) -> Any:
    """Tensors in nested containers as NumPy arrays."""
    if isinstance(tree, Tensor):
        return tree.detach().numpy()
    if isinstance(tree, Mapping):
        return {key: _host(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_host(value) for value in tree]
    return tree
