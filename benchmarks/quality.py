"""How well the variants learn: train each, judge it, and write docs/results.md.

    python -m benchmarks.quality --data_dir DIR                     all of them: hours on a CPU
    python -m benchmarks.quality --data_dir DIR --models gan vae    some
    python -m benchmarks.quality --report                           only docs/results.md, anew

A training that was interrupted goes on where it stopped, and one that is done is only judged. Each
result is a JSON file in benchmarks/results/ with the command, the machine and the commit that made
it; the table is made of these files and of nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import facts
from benchmarks.quality_report import PAGE, write_report
from benchmarks.result_file import RESULTS
from minigan import models
from minigan.cli import one_line_errors
from minigan.errors import ConfigError
from minigan.training.options import parse_flags

PICTURES = PAGE.parent / "pictures"  # shown by docs/variants.md

# What is trained on, and for how long: what two CPU cores can do in minutes to an hour each.
PROTOCOLS: dict[str, tuple[str, ...]] = {
    "gan": ("--data", "mnist", "--n_epochs", "25"),
    "dcgan": ("--data", "mnist", "--n_epochs", "3"),
    "cgan": ("--data", "mnist", "--n_epochs", "25"),
    # The defaults are made for three epochs; in more, D at their rate leaves G behind without R1.
    "acgan": (
        *("--data", "mnist", "--n_epochs", "6", "--n_epochs_decay", "6", "--lr", "0.0005"),
        *("--dropout", "0.0", "--penalty", "r1", "--penalty_weight", "0.1"),
        *("--asked_class_weight", "0.1"),
    ),
    "infogan": (
        # With weights of 1 fewer test digits are named: docs/variants.md has the figures.
        *("--data", "mnist", "--n_epochs", "6", "--fix_sigma"),
        *("--lambda_categorical", "0.1", "--lambda_continuous", "0.1"),
    ),
    "stackedgan": (
        # The default weight of 10, made for twenty times as many steps, leaves the noise unused.
        *("--data", "mnist", "--n_epochs", "10", "--lambda_entropy", "100"),
        *("--encoder_steps", "1800", "--independent_steps", "2400"),
    ),
    "lsgan": ("--data", "mnist", "--n_epochs", "10"),
    "wgan": ("--data", "mnist", "--n_epochs", "60"),
    "wgan_gp": ("--data", "mnist", "--n_epochs", "5"),
    "ebgan": ("--data", "mnist", "--n_epochs", "8"),
    "vae": ("--data", "mnist"),
    "pix2pix": (
        *("--data", "mnist-edges", "--img_size", "32", "--channels", "1", "--batch_size", "16"),
        *("--ngf", "16", "--ndf", "16", "--n_epochs", "1", "--n_epochs_decay", "1"),
    ),
    "cyclegan": (
        *("--data", "mnist-inverted", "--img_size", "32", "--channels", "1", "--batch_size", "8"),
        *("--ngf", "16", "--ndf", "16", "--n_blocks", "3", "--n_layers_D", "2"),
        *("--n_epochs", "1", "--n_epochs_decay", "0", "--max_steps", "3000"),
    ),
}


@dataclass(frozen=True)
class Options:
    """Which variants to train and judge, and where."""

    models: tuple[str, ...] = ()
    """Variants; all without it."""
    data_dir: Path | None = None
    """Folder that holds the data; without it the user cache, then a download."""
    runs: Path = Path("runs/quality")
    """Folder of the run folders."""
    seeds: tuple[int, ...] = (0,)
    """Seeds; each is a training of its own."""
    device: str = "cpu"
    """Where to train: cpu, cuda or cuda:N."""
    n: int = 10_000
    """Images to judge."""
    report: bool = False
    """Only write docs/results.md from the results that are there."""


def main(args: list[str]) -> int:
    """Train, judge and report. Raises MiniganError with the one line to print."""
    options = parse_flags(Options, args, "python -m benchmarks.quality", "Quality of the variants.")
    names = options.models or tuple(PROTOCOLS)
    for name in names:
        models.get(name)  # a wrong name is found before hours of training
        if name not in PROTOCOLS:
            raise ConfigError(f"there is no protocol for {name}: use {', '.join(PROTOCOLS)}")
    if not options.report:
        for name in names:
            for seed in options.seeds:
                _measure(name, seed, options)
    print(write_report(RESULTS))
    return 0


def _measure(name: str, seed: int, options: Options) -> None:
    run = options.runs / f"{name}-seed{seed}"
    flags = [*PROTOCOLS[name], "--seed", str(seed), "--device", options.device]
    common = [] if options.data_dir is None else ["--data_dir", str(options.data_dir)]
    minutes = _train(name, run, [*flags, *common]) / 60
    _minigan("evaluate", str(run), "--n", str(options.n), *common)
    if seed == options.seeds[0]:
        PICTURES.mkdir(exist_ok=True)
        _minigan("sample", str(run), "--out", str(PICTURES / f"{name}.png"))
    evaluation = json.loads((run / "evaluation.json").read_text())
    result = {
        "kind": "quality",
        "model": name,
        "seed": seed,
        "device": options.device,
        "command": " ".join(["minigan train", name, *flags]),
        "steps": evaluation["step"],
        "minutes": round(minutes, 1),
        "machine": facts(),
        "figures": evaluation["figures"],
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"quality-{name}-seed{seed}-{options.device.replace(':', '')}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")


def _train(name: str, run: Path, flags: list[str]) -> float:
    """Train, or go on with it; returns the seconds that all parts of it took."""
    spent = run / "training_seconds.json"
    before = float(json.loads(spent.read_text())) if spent.exists() else 0.0
    resume = ["--resume"] if (run / "config.json").exists() else []
    start = time.perf_counter()
    try:
        _minigan("train", name, *flags, "--run_dir", str(run), *resume)
    finally:
        if run.exists():
            spent.write_text(json.dumps(before + time.perf_counter() - start))
    return before + time.perf_counter() - start


def _minigan(*args: str) -> None:
    """Run the command in a process of its own: what one training leaves behind slows no other."""
    status = subprocess.run([sys.executable, "-m", "minigan", *args]).returncode
    if status:
        raise ConfigError(f"minigan {' '.join(args)} ended with status {status}")


if __name__ == "__main__":
    sys.exit(one_line_errors(lambda: main(sys.argv[1:])))
