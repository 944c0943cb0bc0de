"""Where something was measured: what a figure is worthless without."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path

_PACKAGES = ("numpy", "numba", "scipy", "torch", "cupy-cuda12x", "cupy-cuda13x")
_VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2"}  # the widest first


def facts() -> dict[str, object]:
    """Processor, cores, versions, commit and time of this moment, for a result's JSON."""
    now = datetime.datetime.now()
    return {
        "date": now.date().isoformat(),
        "time": f"{now:%H:%M}",
        "commit": commit(),
        "cpu": _cpu(),
        "cores": cores(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": _versions(),
    }


def commit() -> str:
    """The short hash of the checked-out commit, with a + if files were changed since, other than
    the results of benchmarks."""
    root = Path(__file__).parent

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", *args], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", ":/", ":(exclude)results")
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: what this process may use, not what there is
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu() -> str:
    """Its name and its widest vectors: virtual machines give several processors one name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux: the interpreter knows a little
        return platform.processor() or platform.machine()
    known = dict(re.split(r"\s*:\s*", line, maxsplit=1) for line in lines if ":" in line)
    flags = known.get("flags", "").split()
    widest = next((f" ({name})" for flag, name in _VECTORS.items() if flag in flags), "")
    return known.get("model name", platform.machine()) + widest


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
