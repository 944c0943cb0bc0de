"""Builds kernels/*.cu, unmodified, with g++ and launches them on NumPy arrays.

Three builds: `plain`, `race` (conflicting accesses without a barrier, accesses outside the launch's
arrays) and `asan` (overruns of shared memory, misaligned vectors). The schedule says in which order
the threads run; a right kernel gives the same in all.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "kernels"
SCHEDULES = {"forward": 0, "reverse": 1, "random": 2, "copies land early": 8}
PREEMPTED = 6  # random, and threads change at memory accesses too: the race build only

_KERNEL_FLAGS = {
    "plain": ["-O2"],
    "race": ["-O1", "-g", "-fsanitize=thread"],
    "asan": ["-O1", "-g", "-fsanitize=address,alignment,bounds",
             "-fsanitize-sections=cuda_shared"],
}  # fmt: skip
_RUNTIME_FLAGS = {"plain": [], "race": ["-DCUDA_CPU_RACE"], "asan": ["-fsanitize=address"]}
_LINK_FLAGS = {"plain": [], "race": [], "asan": ["-fsanitize=address,alignment,bounds"]}
_DECLARATION = re.compile(r"__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(")


class KernelError(AssertionError):
    """What the emulator found: a race, an access out of bounds, a barrier that not all reach."""


def build(
    kind: str, folder: Path, change: tuple[str, str, str] | None = None, only: tuple[str, ...] = ()
) -> Path:
    """Compile all kernels, or `only` those of some files, into a library in `folder`.

    `change` = (file, old text, new text) plants a defect, to see that it is found.
    """
    sources = folder / "kernels"
    sources.mkdir(parents=True)
    includes: list[str] = []
    for source in sorted(KERNELS.glob("*.cu*")):
        text = source.read_text()
        if change and change[0] == source.name:
            if change[1] not in text:
                raise ValueError(f"{source.name} has no {change[1]!r} to change")
            text = text.replace(change[1], change[2])
        (sources / source.name).write_text(text)
        if source.suffix == ".cu" and (not only or source.name in only):
            includes.append(f'#include "{source.name}"')
    preprocess = ["g++", "-E", "-P", "-DCUDA_ON_CPU", "-x", "c++", "-"]
    expanded = subprocess.run(preprocess, input="\n".join(includes), cwd=sources,
                              capture_output=True, text=True, check=True).stdout  # fmt: skip
    kernels = _DECLARATION.findall(expanded)
    thunks = [
        f'extern "C" NOTSAN void cpu_k_{kernel}(void** args) {{ cpu_call({kernel}, args); }}'
        for kernel in kernels
    ]
    (sources / "all.cpp").write_text("\n".join([*includes, *thunks, ""]))
    common = ["g++", "-std=c++17", "-fPIC", "-w"]
    shim = ["-include", str(HERE / "cuda_on_cpu.h")]
    library = folder / f"{kind}.so"
    for command in (
        [*common, *_KERNEL_FLAGS[kind], *shim, "-c", str(sources / "all.cpp"),
         "-o", str(folder / "kernels.o")],
        [*common, "-O2", "-g", *_RUNTIME_FLAGS[kind], "-c", str(HERE / "runtime.cpp"),
         "-o", str(folder / "runtime.o")],
        [*common, "-shared", *_LINK_FLAGS[kind], str(folder / "kernels.o"),
         str(folder / "runtime.o"), "-o", str(library)],
    ):  # fmt: skip
        subprocess.run(command, check=True)
    return library


class Emulator:
    """Takes the place of CuPy's launches: `launch` has their arguments."""

    xp = np

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self.schedule = 0
        self.capability = (7, 5)  # no tensor cores unless a test wants them
        self.multiprocessors = 132

    def address(self, array: np.ndarray) -> int:
        return array.ctypes.data

    def launch(
        self,
        file: str,
        kernel: str,
        grid: tuple[int, ...],
        block: int,
        args: tuple[Any, ...],
        pointed: Iterable[np.ndarray] = (),
    ) -> None:
        """Run the kernel on the arrays and scalars; raises KernelError for what it does wrong."""
        values = [np.ascontiguousarray(a) if isinstance(a, np.generic) else a for a in args]
        arrays = [a for a in (*args, *pointed) if isinstance(a, np.ndarray)]
        pointers = [
            ctypes.c_void_p(v.ctypes.data) if isinstance(a, np.ndarray) else v
            for a, v in zip(args, values, strict=True)
        ]
        addresses = (ctypes.c_void_p * len(pointers))(
            *[p.ctypes.data if isinstance(p, np.ndarray) else ctypes.addressof(p) for p in pointers]
        )
        ranges = [size for a in arrays for size in (a.ctypes.data, _extent(a))]
        message = ctypes.create_string_buffer(4096)
        status = self._library.cuda_cpu_launch(
            ctypes.cast(getattr(self._library, f"cpu_k_{kernel}"), ctypes.c_void_p),
            addresses,
            (ctypes.c_uint * 3)(*grid, *(1,) * (3 - len(grid))),
            (ctypes.c_uint * 3)(block, 1, 1),
            ctypes.c_uint(0),
            self.schedule,
            ctypes.c_uint64(1),
            (ctypes.c_uint64 * max(1, len(ranges)))(*ranges),
            len(arrays),
            message,
            len(message),
        )
        if status:
            raise KernelError(f"{kernel}: {message.value.decode()}")


def _extent(array: np.ndarray) -> int:
    """Bytes from an array's first element to its last: a view may skip some of them."""
    return (
        array.itemsize + sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True))
        if array.size
        else 0
    )
