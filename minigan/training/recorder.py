"""What a training leaves in its run folder, and what a checkpoint of one is made of."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from minigan.errors import CheckpointError
from minigan.training import checkpoint as checkpoints
from minigan.training import pictures
from minigan.training.checkpoint import Checkpoint
from minigan.training.files import write_file
from minigan.training.metrics_log import MetricsLog, Row, read_metrics
from minigan.training.options import TrainOptions
from minigan.training.run_folder import RunFolder
from minigan.training.tensorboard import EventLog

_EXAMPLES = 8  # images of the data in pictures that start from real ones


class Recorder:
    """Writes what a training leaves in its run folder."""

    def __init__(
        self,
        gan: Any,
        loader: Any,
        options: TrainOptions,
        run: RunFolder,
        events: EventLog | None = None,
    ) -> None:
        self._metrics = MetricsLog(run.metrics)
        self._gan, self._loader, self._options = gan, loader, options
        self._run, self._events = run, events

    def add(self, step: int, epoch: int, losses: dict[str, Any]) -> None:
        """Keep the losses of a step, unread."""
        self._metrics.add(step, epoch, losses)

    @property
    def due(self) -> bool:
        """Whether it is time to read and show the losses."""
        return self._metrics.due

    def flush(self) -> Row:
        """Read and log the losses of the steps so far; return those of the last one."""
        rows = self._metrics.flush()
        if self._events is not None:
            self._events.scalars(rows)
        return rows[-1]

    def sample(self, step: int) -> None:
        """Write the pictures of the run's fixed latents and first images."""
        dataset = self._loader.dataset
        examples = dataset.batch(np.arange(min(_EXAMPLES, len(dataset))))
        for name, grid in self._gan.pictures(self._options.seed, examples).items():
            pixels = pictures.sample_grid(*grid)
            write_file(self._run.sample_path(step, name), pictures.png(pixels))
            if self._events is not None and name == "samples":
                self._events.image(pixels, step)

    def checkpoint(self, step: int) -> None:
        """Log all losses, so that no diverged state is saved, then save."""
        if self._metrics.waiting:
            self.flush()
        self._run.save_checkpoint(self._snapshot(step), self._options.keep_checkpoints)

    def plot(self) -> None:
        """Draw losses.png from all rows of the log."""
        plot = pictures.loss_plot(read_metrics(self._run.metrics), title=self._gan.name)
        write_file(self._run.path / "losses.png", plot)

    def finish(self, step: int) -> None:
        """Write final/, the state after the last step."""
        checkpoints.save(self._run.final, self._snapshot(step))

    def _snapshot(self, step: int) -> Checkpoint:
        state = dict(self._gan.state_dict())
        networks = state.pop("networks")
        progress = {"dataset": _fingerprint(self._loader), "loader": self._loader.state_dict()}
        return Checkpoint(
            model=self._gan.name,
            config=asdict(self._gan.config),
            step=step,
            state={"networks": networks, "gan": state, "progress": progress},
        )


def restore(gan: Any, loader: Any, checkpoint: Checkpoint) -> None:
    """Put `gan`, and `loader` if there is one, into the state that a checkpoint of a run holds.

    Raises CheckpointError when the networks differ from the checkpoint's, or the data does.
    """
    if not {"networks", "gan", "progress"} <= checkpoint.state.keys():
        raise CheckpointError(f"the checkpoint of step {checkpoint.step} is not one of a training")
    networks = checkpoint.state["networks"]
    checkpoints.check_networks(networks, gan.state_dict()["networks"])
    if loader is not None:
        progress = checkpoint.state["progress"]
        trained_on, now = progress["dataset"], _fingerprint(loader)
        if trained_on != now:
            raise CheckpointError(
                f"the run was trained on {trained_on}, but the data is now {now}: its order "
                "cannot be continued; give the same --data_dir as before"
            )
        loader.load_state_dict(progress["loader"])
    gan.load_state_dict({"networks": networks, **checkpoint.state["gan"]})


def _fingerprint(loader: Any) -> str:
    return f"{len(loader.dataset):,} images of {loader.dataset.name!r}"
