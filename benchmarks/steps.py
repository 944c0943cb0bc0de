"""How long a training step takes, beside the same step in PyTorch.

    python -m benchmarks.steps                          minigan on the CPU
    python -m benchmarks.steps --compare torch          against PyTorch, in turns
    python -m benchmarks.steps --compare torch --workloads acgan dcgan_64

minigan's step is recorded, as in `minigan train`. PyTorch takes the same step, eagerly, on networks
of the same shape, on as many threads, its discriminator frozen while the generator learns, in the
default memory layout and in channels_last; the faster of the two counts. Peak memory is that of
the whole process, imports and data included.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.alternating import ProgramError, alternate
from benchmarks.machine import cores
from benchmarks.result_file import RESULTS, require_torch, result_file
from minigan import models
from minigan.cli import one_line_errors
from minigan.errors import ConfigError

# workload -> model, options, and the ratio (PyTorch's time / minigan's) that we want to reach
WORKLOADS: dict[str, tuple[str, dict[str, Any], float]] = {
    # As the reference implementation trains it, which is what both sides compute.
    "acgan": ("acgan", {"ema": 0.0, "fake_class_weight": 1.0}, 2.0),
    "dcgan_28": ("dcgan", {}, 1.5),
    "dcgan_32": ("dcgan", {"img_size": 32}, 1.5),
    "dcgan_64": ("dcgan", {"img_size": 64}, 1.3),
    "lsgan": ("lsgan", {}, 1.5),
    "infogan": ("infogan", {}, 1.5),
    "ebgan": ("ebgan", {}, 1.5),
    # The last phase, in which all levels learn; in the others a part of the work falls away.
    "stackedgan": ("stackedgan", {"encoder_steps": 0, "independent_steps": 0}, 1.5),
    "wgan_gp": ("wgan_gp", {}, 1.5),
    "gan": ("gan", {}, 1.5),
    "cgan": ("cgan", {}, 1.5),
    "wgan": ("wgan", {}, 1.5),
    "vae": ("vae", {}, 1.5),
    "pix2pix_256": ("pix2pix", {}, 1.2),
    "cyclegan_128": ("cyclegan", {"img_size": 128, "n_blocks": 9}, 1.5),
    "cyclegan_256": ("cyclegan", {}, 1.5),
}

LAYOUTS = ("default", "channels_last")  # of PyTorch's tensors


@dataclass(frozen=True)
class Options:
    """What to time, against what, and for how long."""

    workloads: tuple[str, ...] = ()
    """Workloads; all without it."""
    compare: Literal["none", "torch"] = "none"
    """What to compare with."""
    device: Literal["cpu"] = "cpu"
    """Where to compute."""
    threads: int = 0
    """Threads of each side; 0 for all cores."""
    rounds: int = 5
    """Turns of each side."""
    seconds: float = 3.0
    """Length of a turn."""
    out: Path = RESULTS
    """Folder for the JSON file."""


def main(args: list[str]) -> int:
    """Time the workloads, print a table and write a JSON file."""
    from minigan.training.options import parse_flags  # gpu_check runs without tyro

    options = parse_flags(Options, args, "python -m benchmarks.steps", "Time training steps.")
    names = chosen(options.workloads)
    if options.compare == "torch":
        require_torch()
    threads = options.threads or cores()
    os.environ["MINIGAN_NUM_THREADS"] = str(threads)  # for the processes that are timed
    rows: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    with result_file("steps", args, options.out, options.device) as result:
        result |= {"threads": threads, "workloads": rows, "failed": failed}
        heads = f"{'minigan ms':>14} {'PyTorch ms':>14} {'ratio':>6} {'goal':>5}   MB"
        print(f"{'workload':<14} {heads}")
        for name in names:
            try:
                rows.append(row := _measure(name, options, threads))
            except ProgramError as error:  # the other workloads are worth their time still
                failed[name] = str(error)
                print(f"{name:<14} failed: {error}", flush=True)
            else:
                print(_line(row), flush=True)
    return 1 if failed else 0


def chosen(workloads: tuple[str, ...]) -> tuple[str, ...]:
    """The workloads asked for, or all. Raises ConfigError for one that there is not."""
    for name in workloads:
        if name not in WORKLOADS:
            raise ConfigError(f"unknown workload {name!r}: use one of {', '.join(WORKLOADS)}")
    return workloads or tuple(WORKLOADS)


def _measure(name: str, options: Options, threads: int) -> dict[str, Any]:
    programs: dict[str, Any] = {"minigan": (minigan_step, (name,))}
    if options.compare == "torch":
        for layout in LAYOUTS:
            programs[f"torch {layout}"] = (torch_step, (name, threads, layout))
    timings = alternate(programs, options.rounds, options.seconds)
    row: dict[str, Any] = {"workload": name, "goal": WORKLOADS[name][2]}
    row["minigan"] = asdict(timings.pop("minigan"))
    if timings:
        layout, best = min(timings.items(), key=lambda item: item[1].median)
        row["torch"] = asdict(best) | {"layout": layout.removeprefix("torch ")}
        row["ratio"] = best.median / row["minigan"]["median"]
    return row


def _line(row: dict[str, Any]) -> str:
    def milliseconds(timing: dict[str, Any]) -> str:
        spread = (timing["high"] - timing["low"]) / 2
        return f"{1e3 * timing['median']:.1f} +- {1e3 * spread:.1f}"

    memory = f"{row['minigan']['peak_mb']:.0f}"
    if "torch" not in row:
        return (
            f"{row['workload']:<14} {milliseconds(row['minigan']):>14} {'':>14} {'':>12}   {memory}"
        )
    return (
        f"{row['workload']:<14} {milliseconds(row['minigan']):>14} "
        f"{milliseconds(row['torch']):>14} {row['ratio']:>6.2f} {row['goal']:>5}   "
        f"{memory} / {row['torch']['peak_mb']:.0f}"
    )


def batch_for(gan: models.Model) -> tuple[np.ndarray, np.ndarray]:
    """Random images and labels (or second images) of the size that a model is trained on."""
    rng, config = np.random.default_rng(0), gan.config
    shape = (config.batch_size, config.channels, config.img_size, config.img_size)
    images = rng.uniform(-1, 1, shape).astype(np.float32)
    if gan.takes_pairs:
        return images, rng.uniform(-1, 1, shape).astype(np.float32)
    return images, rng.integers(0, 10, config.batch_size)


def minigan_step(workload: str, changes: dict[str, Any] | None = None) -> Any:
    """A function that takes one step of the workload, with other options where `changes` says."""
    model, overrides, _ = WORKLOADS[workload]
    gan = models.create(model, **(overrides | (changes or {})))
    batch = batch_for(gan)
    gan.capture()  # as `minigan train` does
    for pool in getattr(gan, "pools", {}).values():  # which a training fills in its first steps
        pool.load_state_dict({"images": np.zeros((pool.size, *batch[0].shape[1:]), np.float32)})

    def step() -> None:
        for _ in range(updates(gan)):
            losses = gan.step(batch)
        float(next(iter(losses.values())))  # as a progress bar would

    step.warm_up = 3  # type: ignore[attr-defined]  # until the step is recorded
    return step


def updates(gan: models.Model) -> int:
    """How often `gan.step` makes what is called a step here: until each network was updated."""
    return getattr(gan.config, "n_critic", 1)


def torch_step(
    workload: str, threads: int, layout: str, changes: dict[str, Any] | None = None
) -> Any:
    """A function that takes the same step in PyTorch, in one of LAYOUTS."""
    import torch

    from benchmarks.torch_steps import step_of

    torch.set_num_threads(threads)
    model, overrides, _ = WORKLOADS[workload]
    gan = models.create(model, **(overrides | (changes or {})))
    memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    return step_of(torch, gan, batch_for(gan), memory_format)


if __name__ == "__main__":
    sys.exit(one_line_errors(lambda: main(sys.argv[1:])))
