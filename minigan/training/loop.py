"""The training loop. It knows the interface of a model, and no model.

Every step's losses are logged, but read from the device at most once a second; a step itself
never waits for a value. What is on the disk at a checkpoint is all that a resumed run needs to
write, from there on, the bytes that an uninterrupted run would have written.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from minigan.errors import CheckpointError, ConfigError
from minigan.training import checkpoint as checkpoints
from minigan.training import pictures
from minigan.training.checkpoint import Checkpoint
from minigan.training.files import write_file
from minigan.training.interrupt import StopRequest
from minigan.training.metrics_log import MetricsLog, Row, read_metrics
from minigan.training.options import TrainOptions
from minigan.training.progress import Progress
from minigan.training.run_folder import RunFolder
from minigan.training.tensorboard import EventLog


@dataclass(frozen=True)
class Result:
    """How a training ended: the steps done in all, and the signal that stopped it, if one did."""

    step: int
    signal_number: int | None = None


def total_steps(n_epochs: int, batches: int, max_steps: int | None) -> int:
    """Steps of a whole training: its epochs, or `max_steps` if that is less."""
    total = n_epochs * batches
    return total if max_steps is None else min(total, max_steps)


def train(gan: Any, loader: Any, options: TrainOptions, run: RunFolder, step: int = 0) -> Result:
    """Train `gan` on the batches of `loader` after the first `step` steps, and write `run`.

    Ends after gan.config.n_epochs epochs or options.max_steps steps, or on Ctrl-C, which finishes
    the step and saves. Raises MiniganError when a loss becomes NaN or infinite, CheckpointError
    when the run folder cannot be written; the checkpoints before that stay whole.
    """
    total = total_steps(gan.config.n_epochs, len(loader), options.max_steps)
    events = EventLog(run.path / "tensorboard", step) if options.tensorboard else None
    recorder = Recorder(gan, loader, options, run, events)
    progress = Progress(step, total, gan.config.n_epochs)
    try:
        with StopRequest() as stop:
            while step < total and not stop:
                for batch in loader:
                    step += 1
                    epoch = (step - 1) // len(loader) + 1
                    recorder.metrics.add(step, epoch, gan.step(batch))
                    if step % len(loader) == 0:
                        gan.end_epoch(epoch)
                    progress.advance(len(batch[0]))
                    last = step == total or bool(stop)
                    if recorder.metrics.due or last:
                        progress.show(recorder.flush())
                    if step == total or _every(gan.config.sample_interval, step):
                        recorder.sample(step)
                    if last or _every(options.checkpoint_interval, step):
                        recorder.checkpoint(step)
                    if last:
                        break
            # A stop right now would only make the run look unfinished.
            if step == total:
                recorder.finish(step)
                return Result(step)
            return Result(step, stop.signal_number)
    finally:
        progress.close()
        if events is not None:
            events.close()


class Recorder:
    """Writes what a training leaves in its run folder."""

    def __init__(
        self, gan: Any, loader: Any, options: TrainOptions, run: RunFolder, events: EventLog | None
    ) -> None:
        self.metrics = MetricsLog(run.metrics)
        self._gan, self._loader, self._options = gan, loader, options
        self._run, self._events = run, events

    def flush(self) -> Row:
        """Read and log the losses of the steps so far; return those of the last one."""
        rows = self.metrics.flush()
        if self._events is not None:
            self._events.scalars(rows)
        return rows[-1]

    def sample(self, step: int) -> None:
        """Write the picture of the run's fixed latents."""
        pixels = pictures.sample_grid(*self._gan.sample_grid(self._options.seed))
        write_file(self._run.sample_path(step), pictures.png(pixels))
        if self._events is not None:
            self._events.image(pixels, step)

    def checkpoint(self, step: int) -> None:
        """Log all losses, so that no diverged state is saved, then save and plot."""
        if self.metrics.waiting:
            self.flush()
        self._run.save_checkpoint(self._snapshot(step), self._options.keep_checkpoints)
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
    """Put `gan` and `loader` into the state that a checkpoint of `train` holds.

    Raises CheckpointError when the networks differ from the checkpoint's, or the data does.
    """
    networks = checkpoint.state["networks"]
    checkpoints.check_networks(networks, gan.state_dict()["networks"])
    progress = checkpoint.state["progress"]
    if loader is not None:
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


def _every(interval: int, step: int) -> bool:
    if interval < 0:
        raise ConfigError(f"interval is {interval}: use 0 (only at the end) or more")
    return interval > 0 and step % interval == 0
