"""Raw array kernels, no autograd. `kernels_for(array)` picks the backend that owns the array.

On the CPU the numba backend is the default; `MINIGAN_BACKEND=reference`, or
`use_backend("reference")` in a `with` block, runs plain NumPy instead.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from minigan.backends.protocol import NAMES, Kernels
from minigan.device import Device
from minigan.errors import ConfigError, DeviceError

_MODULES = {"reference": None, "cpu": "minigan.backends.cpu"}


@cache
def backend(name: str) -> Kernels:
    """The backend called `name`: its own kernels, and the reference's for all others."""
    from minigan.backends import reference

    if name not in _MODULES:
        raise ConfigError(f"unknown backend {name!r}: use one of {', '.join(_MODULES)}")
    path = _MODULES[name]
    own = importlib.import_module(path) if path else reference
    table = {kernel: getattr(own, kernel, getattr(reference, kernel)) for kernel in NAMES}
    return SimpleNamespace(xp=np, name=name, **table)


class _Choice:
    cpu: str | None = None  # decided at the first kernel, so that importing minigan stays cheap


def _default_cpu() -> str:
    chosen = os.environ.get("MINIGAN_BACKEND", "")
    if chosen:
        return chosen
    return "cpu" if importlib.util.find_spec("numba") else "reference"


def kernels_for(array: Any) -> Kernels:
    """The kernels for the device that holds `array`."""
    if _Choice.cpu is None:
        _Choice.cpu = _default_cpu()
    return backend(_Choice.cpu)


def kernels_on(device: Device) -> Kernels:
    """The kernels for a device, for work that starts from no array (random numbers, zeros).

    Raises DeviceError with what to install when the device cannot be used here.
    """
    if device.type == "cuda":
        require_cuda(device)
    return kernels_for(None)


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Run CPU kernels of the backend called `name` inside the block."""
    backend(name)
    before, _Choice.cpu = _Choice.cpu, name
    try:
        yield
    finally:
        _Choice.cpu = before


def require_cuda(device: Device) -> None:
    """Raise DeviceError, saying what to install, unless kernels can run on this GPU."""
    if importlib.util.find_spec("cupy") is None:
        raise DeviceError(
            f"device '{device}' needs CuPy: pip install 'minigan[cuda12]' (CUDA 12) or "
            "'minigan[cuda13]' (CUDA 13), or use --device cpu"
        )
    raise DeviceError(
        f"device '{device}': this version's CUDA backend is not complete; use --device cpu"
    )
