"""What all variants share: the interface, their random numbers, EMA, sampling and state.

A variant defines its Config, builds `networks` and `optimizers` in `build()`, says in
`update(images, labels)` what one training step does, and in `decode(latent, ...)` how images come
from a latent vector. `update` never reads a value back to the host, so that a whole step can be
captured; where one step differs from the next, `step_kind` says which it is.

One file although it is long: it is the interface, and read as a whole.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from minigan import creation, nn, optim, random
from minigan.autograd import no_grad
from minigan.backends import graphs_on, kernels_on
from minigan.backends.recorded import tape
from minigan.device import device as as_device
from minigan.errors import CaptureError, CheckpointError, ConfigError, DataError
from minigan.models import latent_pictures
from minigan.models.config import Config
from minigan.tensor import Tensor

if TYPE_CHECKING:
    from minigan.models.captured import CapturedSteps

_SAMPLING_BATCH = 256  # images generated at once: bounds the memory of large samples
_SAMPLING_STREAM = 0x5A4D504C  # keeps unseeded samples apart from the training's numbers


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


@contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """The networks in eval mode and nothing recorded; afterwards as it was."""
    modes = [network.training for network in networks]
    for network in networks:
        network.eval()
    try:
        with no_grad():
            yield
    finally:
        for network, training in zip(networks, modes, strict=True):
            network.train(training)


class Model:
    """A GAN, or a model trained like one: networks, optimisers and one training step."""

    name: ClassVar[str]
    description: ClassVar[str]
    needs_labels: ClassVar[bool] = False
    takes_pairs: ClassVar[bool] = False  # its batch is (a, b): two sets of images
    min_batch: ClassVar[int] = 2  # batch norm can make nothing of a single image
    averaged: ClassVar[tuple[str, ...]] = ("generator",)  # networks that make samples
    Config: ClassVar[type[Any]] = Config

    def __init__(self, config: Any, device: str = "cpu", seed: int = 0) -> None:
        self.config = config
        self.device = as_device(device)
        kernels_on(self.device)  # says at once what is missing, before anything is built
        self.seed = seed
        self.iteration = 0  # steps done
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, optim.Optimizer] = {}
        self._captured: CapturedSteps | None = None
        self._random = random.Generator(seed).get_state()
        self._sampling = random.Generator(seed ^ _SAMPLING_STREAM)
        with self._own_random():
            self.build()
        for network in self.networks.values():
            network.to(self.device)
        if config.ema:
            for name in self.averaged:
                average = copy.deepcopy(self.networks[name])
                self.networks[f"{name}_ema"] = average.requires_grad_(False).eval()
        self._averagings = creation.zeros((), device=self.device)  # counted where a graph can
        self._schedule(finished_epochs=0)

    # --- what a variant defines -----------------------------------------------------------------
    def build(self) -> None:
        """Fill `networks` and `optimizers`."""
        raise TypeError(f"{type(self).__name__} defines no build()")

    def update(self, images: Tensor, labels: Any) -> dict[str, Tensor]:
        """Update the networks on a batch; returns 0-d tensors by name.

        labels: Tensor [N] if the model needs them, else None; the second images of a pair.
        """
        raise TypeError(f"{type(self).__name__} defines no update()")

    def decode(self, latent: Tensor, labels: Any = None, codes: Any = None) -> Tensor:
        """Images of given latent vectors [N, ...], by the networks that samples come from."""
        raise TypeError(f"{type(self).__name__} defines no decode()")

    @property
    def step_kind(self) -> Hashable | None:
        """What the next step does, where steps differ: those of one kind make the same launches.

        None for a step that can be no graph.
        """
        return "step"

    def draw_latent(self, n: int, source: random.Generator | None = None) -> Tensor:
        """Latent vectors [n, latent_dim] ~ N(0, I), from `source` or the model's own stream."""
        return creation.randn(n, self.config.latent_dim, generator=source, device=self.device)

    def sample_grid(self, seed: int) -> tuple[np.ndarray, int]:
        """The images of the run's picture, and its number of columns; fixed by `seed`."""
        return self.sample(64, seed=seed), 8

    def pictures(
        self, seed: int, examples: Sequence[np.ndarray] | None = None
    ) -> dict[str, tuple[np.ndarray, int]]:
        """All pictures of a run by name, each as images and columns; "samples" comes first.

        examples: a batch of the data, for pictures that start from real images.
        """
        return {
            "samples": self.sample_grid(seed),
            "interpolation": latent_pictures.interpolation(self, seed),
        }

    def end_epoch(self, epoch: int) -> None:
        """Called after each epoch (1, 2, ...): sets the learning rates of the next."""
        for schedule in self._schedules:
            schedule.step()

    def _schedule(self, finished_epochs: int) -> None:
        self._schedules = [
            optim.lr_scheduler.LambdaLR(optimizer, self.config.lr_factor, finished_epochs - 1)
            for optimizer in self.optimizers.values()
        ]

    # --- training -----------------------------------------------------------------------------
    def step(self, batch: Sequence[Any]) -> dict[str, Tensor]:
        """One training step on a batch of the DataLoader; returns its losses, unread."""
        if (outer := tape()) is not None:  # what this step counts on the host is not on the tape
            outer.refuse("it takes a step of another model")
        inputs = self._checked(batch)
        with self._own_random():
            if self._captured is None:
                losses = self._advance(*(None if x is None else x.to(self.device) for x in inputs))
            else:
                losses = self._captured.step(inputs)
        self.iteration += 1
        return losses

    def capture(self, warm_up: int = 2) -> None:
        """From now on a step is recorded, after `warm_up` runs to prepare it, and then launched as
        one: as a CUDA graph, or on the CPU as a table of kernel calls.

        It gives the same numbers, bit for bit. A step that cannot be captured says why in one
        CaptureWarning and runs as before. Raises CaptureError where the reference computes.
        """
        if graphs_on(self.device) is None:
            raise CaptureError("capture() records compiled kernels: the reference has none")
        from minigan.models.captured import CapturedSteps

        self._captured = CapturedSteps(self, warm_up)

    def _advance(self, images: Any, labels: Any) -> dict[str, Tensor]:
        """All that a step does on the device."""
        losses = self.update(images, labels)
        if self.config.ema:
            self._update_averages()
        return losses

    def adam(self, *networks: nn.Module, lr: float | None = None) -> optim.Adam:
        """Adam over all parameters of `networks`, with the config's settings."""
        parameters = [p for network in networks for p in network.parameters()]
        config = self.config
        return optim.Adam(
            parameters, lr=config.lr if lr is None else lr, betas=(config.b1, config.b2)
        )

    def _checked(self, batch: Sequence[Any]) -> tuple[Tensor, Tensor | None]:
        """The batch as tensors, where it lies."""
        if self.takes_pairs:
            if len(batch) < 2 or np.ndim(batch[1]) != 4:
                raise DataError(f"{self.name} needs pairs of images, and this data has none")
            return self._checked_images(batch[0]), self._checked_images(batch[1])
        images = self._checked_images(batch[0])
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
        return images, creation.as_tensor(batch[1])

    def _images(self, value: Any) -> Tensor:
        """Images of the model's shape, on its device."""
        return self._checked_images(value).to(self.device)

    def _checked_images(self, value: Any) -> Tensor:
        images = creation.as_tensor(value)
        expected = (self.config.channels, self.config.img_size, self.config.img_size)
        if tuple(images.shape[1:]) != expected:
            raise DataError(
                f"{self.name} expects images of shape {expected}; this batch has "
                f"{tuple(images.shape[1:])}: set img_size and channels to fit"
            )
        return images

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

    @no_grad()
    def _update_averages(self) -> None:
        # The first steps count less, or the initial weights would be seen in a short training.
        self._averagings.add_(1.0)
        decay = (self._averagings / (self._averagings + 9.0)).clamp(max=self.config.ema)
        new = 1.0 - decay
        for name in self.averaged:
            live, average = self.networks[name], self.networks[f"{name}_ema"]
            for mean, p in zip(average.parameters(), live.parameters(), strict=True):
                mean.mul_(decay).add_(p.detach() * new)
            # Running statistics belong to the weights that made them, so they are averaged
            # too: those of the live network would not normalise the averaged one.
            for kept, buffer in zip(average.buffers(), live.buffers(), strict=True):
                if buffer.is_floating_point():
                    kept.mul_(decay).add_(buffer * new)
                else:
                    kept.copy_(buffer)

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
        if self.needs_labels and labels is None:
            labels = np.arange(n) % self.config.n_classes
        images = []
        for start in range(0, n, _SAMPLING_BATCH):
            count = min(_SAMPLING_BATCH, n - start)
            part = slice(start, start + count)
            asked, code = (None if v is None else np.asarray(v)[part] for v in (labels, codes))
            images.append(self.render(self.draw_latent(count, source), asked, code))
        return np.concatenate(images)

    def render(self, latent: Any, labels: Any = None, codes: Any = None) -> np.ndarray:
        """The images of given latent vectors, float32 [N,C,H,W] in [-1,1], in eval mode."""
        latent = creation.as_tensor(latent, device=self.device)
        with self.sampling():
            return self.decode(latent, labels, codes).numpy()

    def sampler(self, name: str = "generator") -> nn.Module:
        """The network that samples come from: the average of `name` if there is one."""
        return self.networks.get(f"{name}_ema", self.networks[name])

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Samplers in eval mode and nothing recorded; afterwards as it was."""
        with evaluating(*(self.sampler(name) for name in self.averaged)):
            yield

    def class_labels(self, labels: Any, n: int) -> Tensor:
        """The labels that were asked for, int64 [n]. Raises ConfigError where they do not fit."""
        n_classes = self.config.n_classes
        labels = np.asarray(labels, dtype=np.int64)
        if labels.shape != (n,):
            raise ConfigError(f"{n} images need {n} labels; got shape {labels.shape}")
        wrong = labels[(labels < 0) | (labels >= n_classes)]
        if wrong.size:
            raise ConfigError(f"label {wrong[0]} is none of 0..{n_classes - 1}")
        return creation.as_tensor(labels, device=self.device)

    def class_grid(self, seed: int) -> tuple[np.ndarray, int]:
        """Ten rows of samples; column k asks for class k."""
        n_classes = self.config.n_classes
        labels = np.tile(np.arange(n_classes), 10)
        return self.sample(len(labels), labels=labels, seed=seed), n_classes

    # --- state ----------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """Everything a bit-exact resume needs, as arrays and JSON scalars."""
        return {
            "networks": {name: _host(net.state_dict()) for name, net in self.networks.items()},
            "optimizers": {name: _host(o.state_dict()) for name, o in self.optimizers.items()},
            "random": dict(self._random),
            "iteration": self.iteration,
            "finished_epochs": max((s.last_epoch for s in self._schedules), default=0),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict()`. Raises CheckpointError where it does not fit."""
        for part, mine in (("networks", self.networks), ("optimizers", self.optimizers)):
            if part not in state or set(state[part]) != set(mine):
                raise CheckpointError(
                    f"{self.name}: the state's {part} are {sorted(state.get(part, ()))}, "
                    f"not {sorted(mine)}"
                )
        if self.config.n_epochs_decay and "finished_epochs" not in state:
            raise CheckpointError(
                f"{self.name}: the state lacks finished_epochs, which n_epochs_decay needs"
            )
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        if self._captured is not None:
            self._captured.forget()  # the optimisers' moments lie elsewhere now
        self._random = {key: int(value) for key, value in state["random"].items()}
        self.iteration = int(state["iteration"])
        # Anew, not as it was saved: a run that is resumed for longer gets the rates of its length.
        self._schedule(int(state.get("finished_epochs", 0)))
        with no_grad():
            self._averagings.copy_(float(self.iteration))


def _host(tree: Any) -> Any:
    """Tensors in nested containers as NumPy arrays."""
    if isinstance(tree, Tensor):
        return tree.detach().numpy()
    if isinstance(tree, Mapping):
        return {key: _host(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_host(value) for value in tree]
    return tree
