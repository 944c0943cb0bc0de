"""A GPU for tests without one: the stand-in for CuPy, with our kernels compiled by g++."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minigan import backends
from minigan.backends import reference
from minigan.backends.cuda import availability, memory
from minigan.backends.cuda.launch import use_launcher
from minigan.backends.protocol import NAMES
from tests.cuda_on_cpu import emulator, fake_cupy

can_emulate = (
    shutil.which("g++") is not None and platform.machine() == "x86_64" and sys.platform == "linux"
)


@pytest.fixture(scope="session")
def kernel_library(tmp_path_factory: Any) -> Path:
    if not can_emulate:
        pytest.skip("the emulator needs g++ on 64-bit x86 Linux")
    return emulator.build("plain", tmp_path_factory.mktemp("kernels"))


@pytest.fixture
def gpu(kernel_library: Path) -> Iterator[fake_cupy.FakeLauncher]:
    """device="cuda" works inside the test, on two stand-in GPUs."""
    launcher = fake_cupy.FakeLauncher(kernel_library)
    _forget()
    with use_launcher(launcher):
        yield launcher
    fake_cupy.reset()
    _forget()


@pytest.fixture
def fast_gpu(gpu: fake_cupy.FakeLauncher) -> fake_cupy.FakeLauncher:
    """The GPU, its kernels (all but the random numbers) computed by the reference with NumPy."""
    kernels = backends.backend("cuda")
    for name in NAMES:
        if not name.startswith("philox"):
            setattr(kernels, name, fake_cupy.as_one_launch(getattr(reference, name)))
    return gpu


def _forget() -> None:
    backends.backend.cache_clear()
    availability.require.cache_clear()
    memory._constants.clear()
