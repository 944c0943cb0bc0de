"""How long a user waits before the first step: import, and the first step itself.

    python -m benchmarks.startup                    minigan
    python -m benchmarks.startup --compare torch    and PyTorch's import and first step

Each figure is the median of new processes. "Fresh" is the first step after an installation, which
compiles the CPU kernels; it is measured once, with an empty folder for what is compiled.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.machine import cores
from benchmarks.result_file import RESULTS, require_torch, result_file
from benchmarks.steps import chosen
from minigan.cli import one_line_errors
from minigan.errors import ConfigError
from minigan.training.options import parse_flags

_IMPORT = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
_STEP = (
    "import time; t = time.perf_counter(); from benchmarks import steps; "
    "step = steps.{}; step(); print(time.perf_counter() - t)"
)


@dataclass(frozen=True)
class Options:
    """What to time."""

    workloads: tuple[str, ...] = ("acgan",)
    """Workloads of benchmarks.steps."""
    compare: Literal["none", "torch"] = "none"
    """What to compare with."""
    rounds: int = 5
    """New processes for each figure."""
    out: Path = RESULTS
    """Folder for the JSON file."""


def main(args: list[str]) -> int:
    """Time the starts, print them and write a JSON file."""
    options = parse_flags(Options, args, "python -m benchmarks.startup", "Time the start.")
    names = chosen(options.workloads)
    if options.compare == "torch":
        require_torch()
    programs = {"import minigan": _IMPORT.format("minigan")}
    if options.compare == "torch":
        programs["import torch"] = _IMPORT.format("torch")
    for name in names:
        programs[f"{name}: import to first step"] = _STEP.format(f"minigan_step({name!r})")
        if options.compare == "torch":
            twin = f"torch_step({name!r}, {cores()}, 'default')"
            programs[f"{name} in PyTorch: import to first step"] = _STEP.format(twin)
    with result_file("startup", args, options.out) as result:
        result["seconds"] = rows = {}
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                program = _STEP.format(f"minigan_step({name!r})")
                fresh = _seconds(program, {"NUMBA_CACHE_DIR": folder})
            rows[f"{name}: import to first step, fresh installation"] = fresh
        times: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(options.rounds):
            for name, program in programs.items():
                times[name].append(_seconds(program))
        rows |= {name: statistics.median(values) for name, values in times.items()}
        for name, seconds in rows.items():
            print(f"{name:<52} {seconds:7.2f} s")
    return 0


def _seconds(program: str, environment: dict[str, str] | None = None) -> float:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | (environment or {}),
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ConfigError(f"a timed program failed: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    sys.exit(one_line_errors(lambda: main(sys.argv[1:])))
