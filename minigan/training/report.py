"""What `minigan info` prints: facts about this installation, or about a run."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

import minigan
from minigan.backends import describe, kernels_on, own_kernels, require_cuda
from minigan.device import device
from minigan.errors import DeviceError
from minigan.training.metrics_log import read_metrics
from minigan.training.saved_run import new_gan, open_run
from minigan.training.session import parameter_counts

_PACKAGES = ("numpy", "numba", "scipy", "safetensors")


def describe_installation() -> str:
    """Versions, the CPU backend with its threads, and whether a GPU can be used."""
    lines = {"minigan": minigan.__version__, "python": platform.python_version()}
    lines |= {name: _version(name) for name in _PACKAGES}
    lines["backend"] = kernels_on(device("cpu")).name
    lines["threads"] = os.environ.get("MINIGAN_NUM_THREADS") or f"{_usable_cores()} (all cores)"
    lines["devices"] = "cpu"
    try:
        require_cuda(device("cuda"))
        lines["devices"] = "cpu, cuda"
        lines["cuda"] = describe(device("cuda"))
        own, borrowed = own_kernels("cuda")
        lines["cuda kernels"] = f"{len(own)} of our own: {', '.join(own)}"
        lines["through CuPy"] = ", ".join(borrowed) or "none"
    except DeviceError as error:
        lines["no cuda"] = str(error)
    return _table(lines)


def describe_run(path: Path) -> str:
    """Model, parameters, steps, last metrics and config of a run.

    Raises CheckpointError if `path` holds no run.
    """
    run = open_run(path)
    lines: dict[str, Any] = {"run": path, "model": run.model}
    checkpoint, errors = run.newest_checkpoint()
    counts = parameter_counts(new_gan(run))
    lines |= {f"parameters of {name}": f"{n:,}" for name, n in counts.items()}
    lines["checkpoint"] = f"step {checkpoint.step}" if checkpoint else "none yet"
    lines |= {f"broken ({i})": error for i, error in enumerate(errors, start=1)}
    rows = read_metrics(run.metrics)
    if rows:
        lines |= {f"last {name}": f"{value:.6g}" for name, value in rows[-1].items()}
    lines |= {f"--{name}": json.dumps(value) for name, value in run.about["config"].items()}
    lines |= {f"--{name}": json.dumps(value) for name, value in run.about["options"].items()}
    return _table(lines)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux: what this process may use, not what there is
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _table(lines: dict[str, Any]) -> str:
    width = max(len(name) for name in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())
