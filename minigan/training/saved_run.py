"""Reading a run folder back: its settings, its model, and images drawn from it."""

from __future__ import annotations

import dataclasses
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np

from minigan import models
from minigan.data import Dataset, load
from minigan.errors import CheckpointError, ConfigError
from minigan.training import checkpoint as checkpoints
from minigan.training import pictures
from minigan.training.checkpoint import Checkpoint
from minigan.training.files import write_file
from minigan.training.options import SampleOptions, TrainOptions
from minigan.training.recorder import restore
from minigan.training.run_folder import RunFolder


def open_run(path: Path, model: str | None = None) -> RunFolder:
    """The run in `path`. Raises CheckpointError if there is none, or it is of another model."""
    if not path.exists():
        raise CheckpointError(f"there is no run in {path}")
    run = RunFolder.open(path)
    if model is not None and run.model != model:
        raise CheckpointError(f"{path} is a run of {run.model!r}, not of {model!r}")
    return run


def stored_config(run: RunFolder) -> Any:
    """The model's Config that the run was started with."""
    return _rebuild(models.get(run.model).Config, run.about["config"], run)


def stored_options(run: RunFolder) -> TrainOptions:
    """The TrainOptions that the run was started with, pointed at where it is now."""
    stored = {**run.about["options"], "run_dir": run.path}
    if stored.get("data_dir") is not None:
        stored["data_dir"] = Path(stored["data_dir"])
    return _rebuild(TrainOptions, stored, run)


def open_data(options: TrainOptions, gan: Any, train: bool) -> Dataset:
    """The data that `options` name, in the size of the model's images. Raises MiniganError."""
    config = gan.config
    return load(
        options.data,
        train,
        options.data_dir,
        config.img_size,
        config.channels,
        load_size=options.load_size,
        flip=options.flip,
        direction=options.direction,
    )


def fields(config: Any) -> dict[str, Any]:
    """The fields of a dataclass and their values."""
    return {each.name: getattr(config, each.name) for each in dataclasses.fields(config)}


def new_gan(run: RunFolder, device: str = "cpu") -> Any:
    """The model of a run, with new weights."""
    return models.create(run.model, device=device, **fields(stored_config(run)))


def newest(run: RunFolder) -> Checkpoint | None:
    """The newest whole checkpoint of a run, or None; says which newer ones it had to skip."""
    checkpoint, errors = run.newest_checkpoint()
    for error in errors:
        print(f"minigan: skipped a broken checkpoint: {error}", file=sys.stderr)
    return checkpoint


def saved_step(run: RunFolder, folder: Path | None = None) -> int:
    """The step of the checkpoint that `saved_gan` takes."""
    return _usable(run, folder).step


def saved_gan(run: RunFolder, folder: Path | None = None, device: str = "cpu") -> Any:
    """The model of a run as the checkpoint in `folder`, or the newest one, holds it.

    Raises CheckpointError if there is no whole one.
    """
    checkpoint = _usable(run, folder)
    gan = new_gan(run, device)
    restore(gan, None, checkpoint)
    return gan


def _usable(run: RunFolder, folder: Path | None) -> Checkpoint:
    checkpoint = newest(run) if folder is None else checkpoints.load(folder, run.model)
    if checkpoint is None:
        raise CheckpointError(f"{run.path} has no checkpoint that can be used yet")
    return checkpoint


def draw_samples(options: SampleOptions) -> Path:
    """Draw images from a run into a .png or .npy file, and return its path. Raises MiniganError."""
    name = "sample" if options.picture is None else options.picture
    out = options.out or options.run / f"{name}.png"
    if out.suffix not in (".png", ".npy"):
        raise ConfigError(f"cannot write {out}: give --out a name that ends in .png or .npy")
    run = open_run(options.run)
    gan = saved_gan(run, options.checkpoint, options.device)
    if options.picture is not None or gan.takes_pairs:
        images, columns = _picture(gan, run, options)
    else:
        images, columns = _samples(gan, options)
    if out.suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, images)
        write_file(out, buffer.getvalue())
    else:
        write_file(out, pictures.png(pictures.sample_grid(images, columns)))
    return out


def _samples(gan: Any, options: SampleOptions) -> tuple[np.ndarray, int]:
    if options.labels and not gan.needs_labels:
        raise ConfigError(f"{gan.name} has no classes: leave --labels out")
    columns = len(options.labels) or (gan.config.n_classes if gan.needs_labels else 8)
    n = (10 * columns if gan.needs_labels else 64) if options.n is None else options.n
    if n < 1:
        raise ConfigError(f"n is {n}: draw at least 1 image")
    labels = np.resize(np.array(options.labels, np.int64), n) if options.labels else None
    return gan.sample(n, labels=labels, seed=options.seed), min(columns, n)


def _picture(gan: Any, run: RunFolder, options: SampleOptions) -> tuple[np.ndarray, int]:
    if options.labels:
        raise ConfigError("--labels and --picture exclude each other: a picture has its own labels")
    test = open_data(stored_options(run), gan, train=False)
    n = 8 if options.n is None else options.n
    if not 1 <= n <= len(test):
        raise ConfigError(f"n is {n}: a picture can start from 1 to {len(test)} test images")
    drawn = gan.pictures(options.seed, test.batch(np.arange(n)))
    name = options.picture or "samples"
    if name not in drawn:
        raise ConfigError(f"{gan.name} has no picture {name!r}: it has {', '.join(drawn)}")
    return drawn[name]


def _rebuild(kind: Any, stored: dict[str, Any], run: RunFolder) -> Any:
    """A dataclass from its JSON, in which tuples have become lists."""
    known = {each.name for each in dataclasses.fields(kind)}
    unknown = [name for name in stored if name not in known]
    if unknown:
        raise CheckpointError(
            f"{run.path / 'config.json'} has the unknown setting {unknown[0]!r}: it was written by "
            "another version of minigan"
        )
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()})
