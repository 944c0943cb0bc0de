"""What the tests of one family of kernels share.

A family is a module with FILES, its files in kernels/; CHECKS, functions of a device that compare
its kernels with the reference; DEFECTS, changes (file, old text, new text) that the checks must
find in the race build, with what is then said; and SANITIZER_DEFECTS, changes that the address
sanitizer must find. `test_families.py` runs all of them.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.cuda_on_cpu import emulator

needs_gcc = pytest.mark.skipif(
    shutil.which("g++") is None or platform.machine() != "x86_64" or sys.platform != "linux",
    reason="the emulator needs g++ on 64-bit x86 Linux",
)

_UNDER_ASAN = """
import importlib, sys
from pathlib import Path
from minigan.backends.cuda.launch import use_launcher
from tests.cuda_on_cpu import emulator
device = emulator.Emulator(Path(sys.argv[1]))
with use_launcher(device):
    for check in importlib.import_module(sys.argv[2]).CHECKS:
        check(device)
print("clean")
"""


def under_asan(library: Path, module: str) -> subprocess.CompletedProcess[str]:
    """Run the checks of a family on the asan build, in a process that loads its runtime first."""
    preload = [
        subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True,
                       check=True).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]  # fmt: skip
    environment = os.environ | {
        "LD_PRELOAD": " ".join(preload), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc",
        "MINIGAN_BACKEND": "reference",  # numba's code would be watched too
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-c", _UNDER_ASAN, str(library), module], env=environment,
        capture_output=True, text=True, cwd=emulator.HERE.parents[1],
    )  # fmt: skip


def schedules(device: emulator.Emulator) -> Iterator[None]:
    """Set each order of threads in turn."""
    for schedule in emulator.SCHEDULES.values():
        device.schedule = schedule
        yield


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal float32 numbers, the same for the same arguments."""
    rng = np.random.default_rng((seed, *shape))
    return rng.standard_normal(shape).astype(np.float32)


def close(actual: np.ndarray, expected: np.ndarray, tolerance: float = 3e-6) -> None:
    """Equal in shape and dtype, and up to rounding, measured by the largest value expected."""
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    scale = np.abs(expected).max(initial=1e-3)
    np.testing.assert_allclose(actual / scale, expected / scale, atol=tolerance)
