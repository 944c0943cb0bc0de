"""Raw array kernels, no autograd. `kernels_for(array)` picks the backend that owns the array.

On the CPU the numba backend is the default; `MINIGAN_BACKEND=reference`, or
`use_backend("reference")` in a `with` block, runs plain NumPy instead; so does an installation
without numba, and says so in a warning. An array on a GPU belongs to the CUDA backend, and asking
for its kernels makes its GPU the current one, as CuPy wants it.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from minigan.backends.protocol import NAMES, Kernels
from minigan.device import Device, gpu_index
from minigan.errors import ConfigError

_MODULES = {
    "reference": "minigan.backends.reference",
    "cpu": "minigan.backends.cpu",
    "cuda": "minigan.backends.cuda",
}


@cache
def backend(name: str) -> Kernels:
    """The backend called `name`: its own kernels, and the reference's for all others."""
    from minigan.backends import reference

    if name not in _MODULES:
        raise ConfigError(f"unknown backend {name!r}: use one of {', '.join(_MODULES)}")
    own = importlib.import_module(_MODULES[name])
    table = {kernel: getattr(own, kernel, getattr(reference, kernel)) for kernel in NAMES}
    if name == "cuda":
        from minigan.backends.cuda.join import concatenate
        from minigan.backends.cuda.launch import launcher
        from minigan.backends.cuda.memory import constant

        xp, made = launcher().xp, {"constant": constant, "concatenate": concatenate}
    else:
        xp, made = np, {"constant": np.asarray, "concatenate": np.concatenate}
    return SimpleNamespace(xp=xp, name=name, **made, **table)


class _Choice:
    cpu: str | None = None  # decided at the first kernel, so that importing minigan stays cheap


def _default_cpu() -> str:
    chosen = os.environ.get("MINIGAN_BACKEND", "")
    if chosen:
        return chosen
    if importlib.util.find_spec("numba"):
        return "cpu"
    slow = (
        "numba is not installed: CPU kernels run as plain NumPy, many times slower; install numba"
    )
    warnings.warn(f"{slow}, or set MINIGAN_BACKEND=reference", RuntimeWarning, stacklevel=3)
    return "reference"


def kernels_for(array: Any) -> Kernels:
    """The kernels for the device that holds `array`."""
    if type(array) is not np.ndarray and (index := gpu_index(array)) is not None:
        return _on_gpu(index)
    if _Choice.cpu is None:
        _Choice.cpu = _default_cpu()
    return backend(_Choice.cpu)


def kernels_on(device: Device) -> Kernels:
    """The kernels for a device, for work that starts from no array (random numbers, zeros).

    Raises DeviceError with what to install when the device cannot be used here.
    """
    if device.type == "cuda":
        require_cuda(device)
        return _on_gpu(device.index or 0)
    return kernels_for(None)


def _on_gpu(index: int) -> Kernels:
    kernels = backend("cuda")
    cuda = kernels.xp.cuda
    if cuda.runtime.getDevice() != index:
        cuda.Device(index).use()
    return kernels


class Graphs(NamedTuple):
    """How a device records a step, to repeat it."""

    memory: Callable[[], Any]  # what the graphs of a model share
    graph: Callable[[Any], Any]  # in that memory
    inbox: Callable[[tuple[int, ...], Any], Any]  # (shape, dtype)
    mode: Callable[[], Hashable]  # what a recording depends on beside its inputs


def graphs_on(device: Device) -> Graphs | None:
    """What records steps on a device; None for the reference, which computes each step anew."""
    name = kernels_on(device).name
    if name == "cuda":
        from minigan.backends.cuda import graph as cuda
        from minigan.backends.cuda.memory import Inbox
        from minigan.backends.cuda.precision import get_precision

        return Graphs(lambda: None, lambda _: cuda.Graph(), Inbox, get_precision)
    if name == "cpu":
        from minigan.backends.cpu import graph as cpu

        return Graphs(cpu.Memory, cpu.Graph, cpu.Inbox, lambda: None)
    return None


def describe(device: Device) -> str:
    """For people: the device, its backend, and on a GPU how exactly convolutions multiply."""
    kernels = kernels_on(device)
    if device.type == "cpu":
        return f"cpu, backend {kernels.name}"
    from minigan.backends.cuda.precision import get_precision

    name = kernels.xp.cuda.runtime.getDeviceProperties(device.index or 0)["name"].decode()
    return f"{device}, {name}, backend {kernels.name}, convolutions in {get_precision()}"


def own_kernels(name: str) -> tuple[list[str], list[str]]:
    """Kernels of the protocol that the backend called `name` has itself, and those that it takes
    from the reference."""
    module = importlib.import_module(_MODULES[name])
    own = [kernel for kernel in NAMES if hasattr(module, kernel)]
    return own, [kernel for kernel in NAMES if kernel not in own]


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Run CPU kernels of the backend called `name` inside the block."""
    if name == "cuda":
        raise ConfigError("the cuda backend computes on arrays of a GPU: use device='cuda'")
    backend(name)
    before, _Choice.cpu = _Choice.cpu, name
    try:
        yield
    finally:
        _Choice.cpu = before


def require_cuda(device: Device) -> None:
    """Raise DeviceError, saying what to do, unless kernels can run on this GPU."""
    from minigan.backends.cuda.availability import require

    require(device.index or 0)
