"""Kernel launches: who compiles and runs the kernels of a file in kernels/."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from minigan.backends.protocol import Array


class Launcher(Protocol):
    """CuPy, or the tests' emulator."""

    xp: Any

    @property
    def capability(self) -> tuple[int, int]:
        """The GPU's compute capability."""

    @property
    def multiprocessors(self) -> int:
        """How many of them the GPU has."""

    def launch(
        self,
        file: str,
        kernel: str,
        grid: tuple[int, ...],
        block: int,
        args: tuple[Any, ...],
        pointed: Iterable[Array] = (),
    ) -> None:
        """Run `kernel` of kernels/`file`; args are arrays and NumPy scalars of the C types.

        `pointed` are the arrays whose addresses stand inside a struct among the args.
        """

    def address(self, array: Array) -> int:
        """Where the array's first element lies, for a struct of pointers."""


class CupyLauncher:
    """Compiles with NVRTC at the first launch; CuPy keeps the result on disk."""

    def __init__(self) -> None:
        import cupy

        self.xp = cupy

    @cached_property
    def capability(self) -> tuple[int, int]:
        attributes = self.xp.cuda.Device().attributes
        return attributes["ComputeCapabilityMajor"], attributes["ComputeCapabilityMinor"]

    @cached_property
    def multiprocessors(self) -> int:
        return self.xp.cuda.Device().attributes["MultiProcessorCount"]

    def launch(
        self,
        file: str,
        kernel: str,
        grid: tuple[int, ...],
        block: int,
        args: tuple[Any, ...],
        pointed: Iterable[Array] = (),
    ) -> None:
        # CuPy copies structs of any size from 0-d arrays, not from NumPy's structured scalars.
        args = tuple(np.asarray(a) if isinstance(a, np.void) else a for a in args)
        _function(file, kernel)(grid, (block,), args)

    def address(self, array: Array) -> int:
        return int(array.data.ptr)


@cache
def _function(file: str, kernel: str) -> Any:
    return module(file).get_function(kernel)


@cache
def module(file: str) -> Any:
    """The compiled kernels of kernels/`file`."""
    import cupy

    return cupy.RawModule(code=source(file), options=("--std=c++17",))


def source(file: str) -> str:
    """A file of kernels/ with its headers in their places: NVRTC looks for no files."""
    return _inlined(file, set())


def kernel_folder() -> Path:
    """Inside an installed package; beside it in a checkout."""
    package = Path(__file__).parents[2]
    installed = package / "kernels"
    return installed if installed.is_dir() else package.parent / "kernels"


def _inlined(file: str, seen: set[str]) -> str:
    lines = []
    for line in (kernel_folder() / file).read_text().splitlines():
        if not line.startswith("#include "):
            lines.append(line)
        elif (header := line.split('"')[1]) not in seen:
            seen.add(header)
            lines.append(_inlined(header, seen).replace("#pragma once\n", ""))
    return "\n".join(lines) + "\n"


_chosen: list[Launcher] = []


def launcher() -> Launcher:
    """The launcher in use: CuPy's unless `use_launcher` says otherwise."""
    if not _chosen:
        _chosen.append(CupyLauncher())
    return _chosen[-1]


def is_replaced() -> bool:
    """Whether `use_launcher` has put another launcher in the place of CuPy's."""
    return bool(_chosen) and not isinstance(_chosen[-1], CupyLauncher)


@contextmanager
def use_launcher(other: Launcher) -> Iterator[None]:
    """Launch through another inside the block."""
    _chosen.append(other)
    try:
        yield
    finally:
        _chosen.remove(other)


def covered(*arrays: Array | None) -> bool:
    """float32, and small enough for the kernels' 32-bit sizes."""
    return all(a is None or (a.dtype == np.float32 and a.size < 1 << 31) for a in arrays)


NULL = np.uint64(0)  # the argument for an array that is not there


def pointer(array: Array | None) -> Array:
    """An optional array as a kernel's argument."""
    return NULL if array is None else array
