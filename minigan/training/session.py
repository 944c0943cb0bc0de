"""From flags to a finished run: check everything, build everything, then touch the run folder."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from minigan import models
from minigan.backends import describe, graphs_on, require_cuda
from minigan.backends.cuda.precision import set_precision
from minigan.data import DataLoader, Dataset, kind, names
from minigan.device import device
from minigan.errors import CheckpointError, ConfigError
from minigan.training.loop import Result, total_steps, train
from minigan.training.options import TrainOptions, parse_train_flags
from minigan.training.recorder import restore
from minigan.training.run_folder import RunFolder, check_free
from minigan.training.saved_run import (
    fields,
    newest,
    open_data,
    open_run,
    stored_config,
    stored_options,
)
from minigan.training.tensorboard import require_tensorboard

# What --resume may change: how long to train and how to watch it, not what is trained.
_CHANGEABLE_CONFIG = ("n_epochs", "n_epochs_decay", "sample_interval")
_FIXED_OPTIONS = ("seed", "data", "load_size", "flip", "direction")


def train_from_flags(model: str, args: Sequence[str], prog: str) -> Result:
    """What `minigan train MODEL ARGS` does. With --resume, the run's own settings are the
    defaults of all flags. Raises MiniganError with the one line to print."""
    gan_class = models.get(model)
    options, config = parse_train_flags(gan_class, args, prog)
    if options.resume:
        run = open_run(run_dir(model, options), model)
        stored = stored_options(run), stored_config(run)
        options, config = parse_train_flags(gan_class, args, prog, *stored)
    return run_training(model, options, config)


def run_training(model: str, options: TrainOptions, config: Any) -> Result:
    """Train a model as `options` and its `config` say, and print what is done.

    What can be refused (device, image size, data, run folder) is refused before anything is
    written. Raises MiniganError.
    """
    _check_kind(models.get(model), options.data)
    target = device(options.device)
    if target.type == "cuda":
        require_cuda(target)
    if options.tensorboard:
        require_tensorboard()
    path = run_dir(model, options)
    run = None
    if options.resume:
        run = open_run(path, model)
        _check_unchanged(run, options, config)
    else:
        check_free(path, options.overwrite)
    if options.precision is not None:
        set_precision(options.precision)
    if options.threads is not None:
        os.environ["MINIGAN_NUM_THREADS"] = str(options.threads)  # read when the kernels load
    gan = models.create(model, device=options.device, seed=options.seed, **fields(config))
    if options.capture and graphs_on(target) is not None:
        gan.capture()
    dataset = open_data(options, gan, train=True)
    loader = make_loader(gan, dataset, options.seed)
    total = total_steps(config.total_epochs, len(loader), options.max_steps)
    _announce(gan, dataset, options, path)

    about = _about(model, options, config)
    if run is None:
        run = RunFolder.create(path, about, options.overwrite)
    else:
        run.lock()
    step = 0
    try:
        if options.resume:
            step = _continue(gan, loader, run)
            run.describe(about)
        result = _train(gan, loader, options, run, step)
    finally:
        run.unlock()
    _report(result, run, step, total)
    return result


def make_loader(gan: Any, dataset: Dataset, seed: int) -> DataLoader:
    """Shuffled batches of `gan.config.batch_size`; the last, smaller batch of an epoch is used
    too, unless it is smaller than the model's `min_batch`.

    Raises ConfigError when the data has no labels for a model that needs them, more classes than
    the model, or too few images.
    """
    n_classes = gan.config.n_classes if gan.needs_labels else None
    if n_classes is not None and not dataset.n_classes:
        raise ConfigError(
            f"{gan.name} needs labels, and {dataset.name!r} has none: use data with labels, such "
            "as a folder that has one folder of images for each class"
        )
    if n_classes is not None and dataset.n_classes > n_classes:
        raise ConfigError(
            f"n_classes is {n_classes}, but {dataset.name!r} has labels up to "
            f"{dataset.n_classes - 1}: use --n_classes {dataset.n_classes}"
        )
    batch_size = gan.config.batch_size
    if min(batch_size, len(dataset)) < gan.min_batch:
        raise ConfigError(
            f"batch_size is {batch_size} and {dataset.name!r} has {len(dataset)} images: "
            f"{gan.name} needs at least {gan.min_batch} of both"
        )
    drop_last = 0 < len(dataset) % batch_size < gan.min_batch
    return DataLoader(dataset, batch_size, drop_last=drop_last, seed=seed)


def _check_kind(gan_class: Any, data: str) -> None:
    """Raise ConfigError where a model of pairs is given single images, or the reverse."""
    given, taken = kind(data), "pairs" if gan_class.takes_pairs else "images"
    if given != taken:
        sets = ", ".join(name for name in names() if kind(name) == taken)
        raise ConfigError(
            f"{gan_class.name} learns from {taken}, and {data!r} holds {given}: use --data with "
            f"one of {sets}"
        )


def run_dir(model: str, options: TrainOptions) -> Path:
    """options.run_dir, or runs/MODEL-DATA."""
    return options.run_dir or Path("runs") / f"{model}-{options.data}"


def parameter_counts(gan: Any) -> dict[str, int]:
    """How many numbers each network learns."""
    return {
        name: sum(math.prod(parameter.shape) for parameter in network.parameters())
        for name, network in gan.networks.items()
    }


def _check_unchanged(run: RunFolder, options: TrainOptions, config: Any) -> None:
    before = fields(stored_config(run)) | run.about["options"]
    now = fields(config) | {name: getattr(options, name) for name in _FIXED_OPTIONS}
    for name, value in now.items():
        if name not in _CHANGEABLE_CONFIG and value != before[name]:
            raise ConfigError(
                f"--resume keeps {name} at {before[name]}, not {value}: start a new run with "
                "another --run_dir"
            )


def _continue(gan: Any, loader: DataLoader, run: RunFolder) -> int:
    """Load the newest checkpoint, if there is one; returns its step."""
    checkpoint = newest(run)
    step = 0
    if checkpoint is None:
        print("resume: no checkpoint yet, starting from step 0", flush=True)
    else:
        restore(gan, loader, checkpoint)
        step = checkpoint.step
        print(f"resume: after step {step}", flush=True)
    run.rewind(step)
    return step


def _train(
    gan: Any, loader: DataLoader, options: TrainOptions, run: RunFolder, step: int
) -> Result:
    try:
        return train(gan, loader, options, run, step)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; what was saved before is intact: continue with minigan resume {run.path}"
        ) from error


def _announce(gan: Any, dataset: Dataset, options: TrainOptions, path: Path) -> None:
    counts = ", ".join(f"{name} {n:,}" for name, n in parameter_counts(gan).items())
    print(f"model:  {gan.name} on {options.device}; parameters: {counts}")
    print(f"device: {describe(device(options.device))}")
    print(f"data:   {dataset.source}")
    print(f"run:    {path}", flush=True)


def _report(result: Result, run: RunFolder, start: int, total: int) -> None:
    if result.signal_number is not None:
        print(f"stopped after step {result.step} of {total}; continue: minigan resume {run.path}")
    elif start >= total:
        print(f"nothing to do: {start} of {total} steps are done; raise --n_epochs or --max_steps")
    else:
        print(f"done: {result.step} steps; see samples/, losses.png and final/ in {run.path}")


def _about(model: str, options: TrainOptions, config: Any) -> dict[str, Any]:
    # Where the run lies and how this call came to write it are no settings of the run.
    stored = fields(options)
    for name in ("run_dir", "resume", "overwrite"):
        del stored[name]
    if options.data_dir is not None:
        stored["data_dir"] = str(options.data_dir.absolute())
    return {"model": model, "config": asdict(config), "options": stored}
