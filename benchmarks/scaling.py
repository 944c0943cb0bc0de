"""How a step's time grows with the batch and the image, and shrinks with threads.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --workloads acgan gan --rounds 5

Time per image should not depend on the batch, time per pixel not on the image, and two threads
should take about half the time of one. Each figure is the median over rounds that go through all
settings in turn, so that a slow minute of the machine does not fall on one of them.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.alternating import ProgramError, alternate_cases
from benchmarks.machine import cores
from benchmarks.result_file import RESULTS, result_file
from benchmarks.steps import chosen, minigan_step
from minigan.cli import one_line_errors
from minigan.errors import ConfigError
from minigan.training.options import parse_flags

BATCHES = (16, 32, 64, 128, 256, 512)
SIZES = (32, 64, 128, 256)
_RESIZABLE = ("acgan", "dcgan_32", "lsgan")  # whose networks take every one of SIZES
_SIZE_BATCH = 8

# What is varied, its value, threads, and options of the workload.
Setting = tuple[str, int, int, dict[str, int]]


@dataclass(frozen=True)
class Options:
    """What to time, and for how long."""

    workloads: tuple[str, ...] = ("acgan", "gan")
    """Workloads of benchmarks.steps."""
    rounds: int = 5
    """Rounds through all settings."""
    seconds: float = 1.0
    """Length of a turn."""
    out: Path = RESULTS
    """Folder for the JSON file."""


def main(args: list[str]) -> int:
    """Time all settings, print a table and write a JSON file."""
    options = parse_flags(Options, args, "python -m benchmarks.scaling", "Time steps by size.")
    if options.rounds < 1:
        raise ConfigError(f"--rounds is {options.rounds}: at least 1")
    with result_file("scaling", args, options.out) as result:
        result["rows"] = rows = []
        for workload in chosen(options.workloads):
            settings = _settings(workload)
            seconds = _timed(workload, settings, options)
            for (kind, value, _, _), median in zip(settings, seconds, strict=True):
                row = {"workload": workload, "by": kind, "value": value, "seconds": median}
                rows.append(row | {"relative": _relative(kind, value, median, settings, seconds)})
                print(
                    f"{workload:<10} {kind:<8} {value:>4} {1e3 * median:10.1f} ms "
                    f"{rows[-1]['relative']:6.2f}",
                    flush=True,
                )
    return 0


def _settings(workload: str) -> list[Setting]:
    threads = cores()
    settings: list[Setting] = [("threads", n, n, {}) for n in range(1, threads + 1)]
    settings += [("batch", n, threads, {"batch_size": n}) for n in BATCHES]
    if workload in _RESIZABLE:
        settings += [
            ("size", n, threads, {"img_size": n, "batch_size": _SIZE_BATCH}) for n in SIZES
        ]
    return settings


def _timed(workload: str, settings: list[Setting], options: Options) -> list[float]:
    """The median time of each setting, from rounds that go through all of them."""
    makers: dict[str, Callable[..., Any]] = {
        f"{threads} threads": step_on for _, _, threads, _ in settings
    }
    cases = [
        {f"{threads} threads": (threads, workload, changes)} for _, _, threads, changes in settings
    ]
    times: list[list[float]] = [[] for _ in settings]
    timed = alternate_cases(makers, cases * options.rounds, 1, options.seconds)
    for i, timing in enumerate(timed):
        if isinstance(timing, ProgramError):
            raise timing  # a figure relative to one that is missing says nothing
        times[i % len(settings)] += [t.median for t in timing.values()]
    return [statistics.median(values) for values in times]


def step_on(threads: int, workload: str, changes: dict[str, int]) -> Callable[[], Any]:
    """A function that takes one step on so many threads; a process keeps its first number."""
    os.environ["MINIGAN_NUM_THREADS"] = str(threads)
    return minigan_step(workload, **changes)


def _relative(
    kind: str,
    value: int,
    seconds: float,
    settings: list[Setting],
    all_seconds: list[float],
) -> float:
    """Threads: how many times faster than one. Batch: time per image against batch 64. Size: time
    per pixel against 64x64."""
    base = {"threads": 1, "batch": 64, "size": 64}[kind]
    at_base = next(
        s for (k, v, _, _), s in zip(settings, all_seconds, strict=True) if (k, v) == (kind, base)
    )
    if kind == "threads":
        return at_base / seconds
    power = 1 if kind == "batch" else 2
    return (seconds / value**power) / (at_base / base**power)


if __name__ == "__main__":
    sys.exit(one_line_errors(lambda: main(sys.argv[1:])))
