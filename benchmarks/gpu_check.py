"""Checks and measures the CUDA backend on the GPU at hand, in one command.

    python -m benchmarks.gpu_check --out DIR             everything, less than 10 minutes on an H100
    python -m benchmarks.gpu_check --out DIR --quick     the most important, about 2 minutes
    python -m benchmarks.gpu_check --out DIR --stages steps profile

Each stage runs in a process of its own for a limited time, and leaves what it has found in
DIR/stages/NAME.json as it goes, its output in NAME.log: one that fails, hangs or is killed costs
the rest of itself and nothing else. At the end DIR has one JSON file of everything and the tables.
Without a GPU it says so in one line and ends with status 2; with status 1 if anything failed.

It runs from a checkout with nothing installed but CuPy, PyTorch, numba and pytest.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu_tables import missed, tables
from benchmarks.result_file import result_file
from minigan.backends import require_cuda
from minigan.cli import one_line_errors
from minigan.device import device
from minigan.errors import ConfigError

ROOT = Path(__file__).parents[1]

# stage -> most seconds that it may take, in full and in a quick run
STAGES: dict[str, tuple[float, float]] = {
    "versions": (40, 40),  # what is installed, which GPU
    "compile": (100, 60),  # all of kernels/*.cu with NVRTC
    "launches": (40, 20),  # what a launch, a ufunc and a graph's node cost
    "kernels": (60, 30),  # the checks of the emulated kernels, on the GPU
    "agree": (60, 20),  # calls of the workloads' sizes against float64
    "steps": (230, 60),  # training steps, against PyTorch
    "tests": (120, 60),  # pytest -m cuda
    "convolutions": (120, 30),  # each convolution of the workloads, against PyTorch
    "profile": (60, 30),  # where the time goes in steps that miss their goal
    "sanitizer": (90, 0),  # compute-sanitizer on small kernels
}
MOST_SECONDS = (570.0, 150.0)  # of all stages


@dataclass(frozen=True)
class Outcome:
    """How a stage ended, and what it left."""

    status: str  # "ok", or what went wrong
    seconds: float
    found: dict[str, Any]

    @property
    def good(self) -> bool:
        return self.status == "ok"


def main(args: list[str]) -> int:
    """Run the stages; print the tables and write everything. 1 if a stage failed."""
    options = _parsed(args)
    names = _chosen(options)
    require_cuda(device("cuda"))  # in one line, before anything is written
    signal.signal(signal.SIGTERM, _stopped)
    end = time.monotonic() + MOST_SECONDS[options.quick]
    bad = False
    with result_file("gpu_check", args, options.out, "cuda") as result:
        result |= {"quick": options.quick, "stages": (stages := {})}
        folder = options.out / "stages"
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / f"{name}.json").unlink(missing_ok=True)  # another run's
        try:
            for name in names:
                limit = min(STAGES[name][options.quick], end - time.monotonic())
                outcome = run_stage(name, folder, limit, options.quick)
                stages[name] = {"status": outcome.status, "seconds": outcome.seconds}
                stages[name]["found"] = outcome.found
                bad = bad or not outcome.good
                print(f"{name:<13} {outcome.seconds:6.1f} s  {outcome.status}", flush=True)
        finally:
            text = "\n".join(tables(result)) + "\n"
            (options.out / "gpu_check.md").write_text(text)
            print(f"\n{text}", flush=True)
            result["missed"] = missed(stages)
    return 1 if bad else 0


def _parsed(args: list[str]) -> argparse.Namespace:
    """The flags: without tyro, which the other benchmarks use and a bare machine has not."""
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m benchmarks.gpu_check", description=__doc__, formatter_class=as_it_is
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the results")
    parser.add_argument("--quick", action="store_true", help="the most important only")
    parser.add_argument("--stages", nargs="+", default=[], metavar="STAGE", help=", ".join(STAGES))
    return parser.parse_args(args)


def _chosen(options: argparse.Namespace) -> list[str]:
    for name in options.stages:
        if name not in STAGES:
            raise ConfigError(f"unknown stage {name!r}: use some of {', '.join(STAGES)}")
    wanted = options.stages or [n for n, limits in STAGES.items() if limits[options.quick]]
    return [name for name in STAGES if name in wanted]  # each may use what earlier ones found


def run_stage(name: str, folder: Path, limit: float, quick: bool) -> Outcome:
    """Run a stage for at most `limit` seconds, and read what it left in `folder`."""
    start = time.monotonic()
    if limit <= 0:
        return Outcome("not run: no time was left", 0.0, {})
    command = [*stage_command(), name, str(folder), "--quick" if quick else "--full"]
    with (
        open(folder / f"{name}.log", "w") as log,
        _group(subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True, env=_environment(limit),
        )) as process,
    ):  # fmt: skip
        try:
            status = _said(process.wait(timeout=limit))
        except subprocess.TimeoutExpired:
            status = f"stopped after {limit:.0f} s"
    found = read(folder, name)
    if status == "ok" and found.get("failed"):
        status = f"failed: {len(found['failed'])}, see {name}.json"
    return Outcome(status, time.monotonic() - start, found)


def stage_command() -> list[str]:
    """The program that runs one stage."""
    return [sys.executable, "-m", "benchmarks.gpu_stage"]


def _environment(limit: float) -> dict[str, str]:
    """The stage knows when it will be stopped, and imports from the checkout; where the CPU backend
    lacks what it needs, the reference makes the first weights."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    added = {"PYTHONPATH": path, "GPU_STAGE_SECONDS": f"{limit:.0f}"}
    if importlib.util.find_spec("numba") is None:
        added["MINIGAN_BACKEND"] = "reference"
    return os.environ | added


@contextlib.contextmanager
def _group(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Whatever happens in the block, the process and those that it started are gone after it."""
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _said(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return "ok" if status == 0 else f"ended with status {status}, see its log"


def read(folder: Path, name: str) -> dict[str, Any]:
    """What a stage has left so far."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _stopped(*_: object) -> None:
    raise KeyboardInterrupt  # as Ctrl-C: what was measured is written


if __name__ == "__main__":
    sys.exit(one_line_errors(lambda: main(sys.argv[1:])))
