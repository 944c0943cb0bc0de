"""The training loop. It knows the interface of a model, and no model.

Every step's losses are logged, but read from the device at most once a second; a step itself
never waits for a value. What is on the disk at a checkpoint is all that a resumed run needs to
write, from there on, the bytes that an uninterrupted run would have written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from minigan.training.interrupt import StopRequest
from minigan.training.options import TrainOptions
from minigan.training.progress import Progress
from minigan.training.recorder import Recorder
from minigan.training.run_folder import RunFolder
from minigan.training.tensorboard import EventLog


@dataclass(frozen=True)
class Result:
    """How a training ended: the steps done in all, and the signal that stopped it, if one did."""

    step: int
    signal_number: int | None = None

    @property
    def exit_status(self) -> int:
        """0, or what a shell reports for a program that the signal ended: 130 for Ctrl-C."""
        return 0 if self.signal_number is None else 128 + self.signal_number


def total_steps(n_epochs: int, batches: int, max_steps: int | None) -> int:
    """Steps of a whole training: its epochs, or `max_steps` if that is less."""
    total = n_epochs * batches
    return total if max_steps is None else min(total, max_steps)


def train(gan: Any, loader: Any, options: TrainOptions, run: RunFolder, step: int = 0) -> Result:
    """Train `gan` on the batches of `loader` after the first `step` steps, and write `run`.

    Ends after all epochs of its config or options.max_steps steps, or on Ctrl-C, which finishes the
    step and saves. Raises MiniganError when a loss becomes NaN or infinite, CheckpointError
    when the run folder cannot be written; the checkpoints before that stay whole.
    """
    total = total_steps(gan.config.total_epochs, len(loader), options.max_steps)
    if step >= total:
        # The process that did the last step may have died before it wrote these.
        recorder = Recorder(gan, loader, options, run)
        recorder.plot()
        recorder.finish(step)
        return Result(step)
    events = EventLog(run.path / "tensorboard", step) if options.tensorboard else None
    recorder = Recorder(gan, loader, options, run, events)
    progress = Progress(step, total, gan.config.total_epochs)
    try:
        with StopRequest() as stop:
            for batch in _epochs(loader):
                step += 1
                epoch = (step - 1) // len(loader) + 1
                recorder.add(step, epoch, gan.step(batch))
                if step % len(loader) == 0:
                    gan.end_epoch(epoch)
                progress.advance(len(batch[0]))
                last = step == total or bool(stop)
                if recorder.due or last:
                    progress.show(recorder.flush())
                if step == total or _every(gan.config.sample_interval, step):
                    recorder.sample(step)
                if last or _every(options.checkpoint_interval, step):
                    recorder.checkpoint(step)
                    recorder.plot()
                if last:
                    break
            if step < total:
                return Result(step, stop.signal_number)
            recorder.finish(step)
            return Result(step)
    finally:
        progress.close()
        if events is not None:
            events.close()


def _epochs(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


def _every(interval: int, step: int) -> bool:
    """Whether `step` is one of those; interval 0 means never."""
    return interval > 0 and step % interval == 0
