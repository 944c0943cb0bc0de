"""How a step's time grows with the batch and the image, and shrinks with threads.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --compare torch        beside the same steps in PyTorch
    python -m benchmarks.scaling --workloads acgan gan --rounds 5

Time per image should not depend on the batch, time per pixel not on the image, and two threads
should take about half the time of one, as far as the machine has two cores to give: its own
arithmetic and its memory are timed among the settings. Each figure is the median over rounds that
go through all settings in turn, so that a slow minute of the machine does not fall on one of them.
Of PyTorch's two memory layouts the faster counts, setting by setting, as in benchmarks.steps.
"""

from __future__ import annotations

import math
import os
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchmarks.alternating import ProgramError, alternate_cases
from benchmarks.machine import cores
from benchmarks.result_file import RESULTS, require_torch, result_file
from benchmarks.steps import LAYOUTS, chosen, minigan_step, torch_step
from minigan.cli import one_line_errors
from minigan.errors import ConfigError
from minigan.training.options import parse_flags

BATCHES = (16, 32, 64, 128, 256, 512)
SIZES = (32, 64, 128, 256)
_RESIZABLE = ("acgan", "dcgan_32", "lsgan")  # whose networks take every one of SIZES
_SIZE_BATCH = 8
_MACHINE = ("arithmetic", "memory")  # what is timed of it
_BASES = {"threads": 1, "batch": 64, "size": 64}  # what each figure is relative to


class Setting(NamedTuple):
    """What is varied, its value, and what to run for it."""

    by: str
    value: int
    threads: int
    changes: dict[str, int]


@dataclass(frozen=True)
class Options:
    """What to time, and for how long."""

    workloads: tuple[str, ...] = ("acgan", "gan")
    """Workloads of benchmarks.steps."""
    compare: Literal["none", "torch"] = "none"
    """What to compare with."""
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
    workloads = chosen(options.workloads)
    if options.compare == "torch":
        require_torch()
    with result_file("scaling", args, options.out) as result:
        result["rows"] = rows = []
        for workload in workloads:
            for row in _rows(workload, options):
                rows.append(row)
                print(_line(row), flush=True)
    return 0


def _settings(workload: str) -> list[Setting]:
    threads = cores()
    numbers = range(1, threads + 1)
    settings = [Setting(what, n, n, {}) for what in _MACHINE for n in numbers]
    settings += [Setting("threads", n, n, {}) for n in numbers]
    settings += [Setting("batch", n, threads, {"batch_size": n}) for n in BATCHES]
    if workload in _RESIZABLE:
        changes = {"batch_size": _SIZE_BATCH}
        settings += [Setting("size", n, threads, changes | {"img_size": n}) for n in SIZES]
    return settings


def _rows(workload: str, options: Options) -> list[dict[str, Any]]:
    """A row of figures for each setting."""
    settings = _settings(workload)
    here, there = _timed(workload, settings, options)
    rows: list[dict[str, Any]] = []
    for i, setting in enumerate(settings):
        row = {"workload": workload, "by": setting.by, "value": setting.value}
        if setting.by in _MACHINE:
            row |= {"workload": f"the machine's {setting.by}", "by": "threads"}
        rows.append(row | {"seconds": here[i], "relative": _relative(setting, settings, here)})
        if there and setting.by not in _MACHINE:
            relative = _relative(setting, settings, there)
            rows[-1]["torch"] = {"seconds": there[i], "relative": relative}
            rows[-1]["ratio"] = there[i] / here[i]
    return rows


def _line(row: dict[str, Any]) -> str:
    line = (
        f"{row['workload']:<24} {row['by']:<8} {row['value']:>4} {1e3 * row['seconds']:10.1f} ms "
        f"{row['relative']:6.2f}"
    )
    if "torch" not in row:
        return line
    torch = row["torch"]
    return f"{line}   PyTorch {1e3 * torch['seconds']:10.1f} ms {torch['relative']:6.2f}   " + (
        f"ratio {row['ratio']:.2f}"
    )


def _timed(
    workload: str, settings: list[Setting], options: Options
) -> tuple[list[float], list[float]]:
    """The median times of each setting, from rounds that go through all: minigan's and PyTorch's.

    The second list is empty where nothing is compared.
    """
    layouts = LAYOUTS if options.compare == "torch" else ()
    makers: dict[str, Callable[..., Any]] = {}
    cases: list[dict[str, tuple[Any, ...]]] = []
    for by, _, threads, changes in settings:
        if by in _MACHINE:
            makers[f"{by} {threads}"] = machine_on
            cases.append({f"{by} {threads}": (threads, by)})
            continue
        case: dict[str, tuple[Any, ...]] = {f"minigan {threads}": (threads, workload, changes)}
        makers[f"minigan {threads}"] = step_on
        for layout in layouts:
            makers[f"{layout} {threads}"] = torch_step
            case[f"{layout} {threads}"] = (workload, threads, layout, changes)
        cases.append(case)
    times: list[list[list[float]]] = [[[] for _ in ("minigan", *layouts)] for _ in settings]
    timed = alternate_cases(makers, cases * options.rounds, 1, options.seconds)
    for i, timing in enumerate(timed):
        if isinstance(timing, ProgramError):
            raise timing  # a figure relative to one that is missing says nothing
        # The machine has one side only.
        for values, one in zip(times[i % len(settings)], timing.values(), strict=False):
            values.append(one.median)
    medians = [[statistics.median(values) for values in sides if values] for sides in times]
    here = [sides[0] for sides in medians]
    return here, [min(sides[1:], default=math.nan) for sides in medians if layouts]


def step_on(threads: int, workload: str, changes: dict[str, int]) -> Callable[[], Any]:
    """A function that takes one step on so many threads; a process keeps its first number."""
    os.environ["MINIGAN_NUM_THREADS"] = str(threads)
    return minigan_step(workload, changes)


def machine_on(threads: int, what: str) -> Callable[[], Any]:
    """A function that does one of _MACHINE on so many threads, in a process of its own."""
    os.environ["MINIGAN_NUM_THREADS"] = str(threads)
    from benchmarks import machine_speed

    function: Callable[[], Any] = getattr(machine_speed, what)()
    return function


def _relative(setting: Setting, settings: list[Setting], seconds: list[float]) -> float:
    """Threads: how many times faster than one. Batch: time per image against batch 64. Size: time
    per pixel against 64x64."""
    base = _BASES.get(setting.by, 1)
    here = seconds[settings.index(setting)]
    at_base = next(
        time
        for other, time in zip(settings, seconds, strict=True)
        if (other.by, other.value) == (setting.by, base)
    )
    if setting.by in ("threads", *_MACHINE):
        return at_base / here
    power = 1 if setting.by == "batch" else 2
    return (here / setting.value**power) / (at_base / base**power)


if __name__ == "__main__":
    sys.exit(one_line_errors(lambda: main(sys.argv[1:])))
