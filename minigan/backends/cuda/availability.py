"""Whether kernels can run on a GPU here; if not, why, and what to do about it."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any

from minigan.errors import DeviceError


@cache  # an error is not kept: the next call looks again
def require(index: int) -> None:
    """Raise DeviceError unless GPU number `index` can be used."""
    device = f"device 'cuda:{index}'"
    cuda = _cupy(device).cuda
    count = cuda.runtime.getDeviceCount()
    if index >= count:
        there = "is only cuda:0" if count == 1 else f"are only cuda:0 to cuda:{count - 1}"
        raise DeviceError(f"{device}: there {there}")


def _cupy(device: str) -> Any:
    """CuPy, or the tests' stand-in; importable, and with a GPU that answers."""
    from minigan.backends.cuda import launch

    if not launch.is_replaced() and importlib.util.find_spec("cupy") is None:
        raise DeviceError(
            f"{device} needs CuPy: pip install 'minigan[cuda12]' (CUDA 12) or "
            "'minigan[cuda13]' (CUDA 13), or use --device cpu"
        )
    try:
        cupy = launch.launcher().xp
    except ImportError as error:
        raise DeviceError(f"{device}: CuPy is installed but cannot be imported: {error}") from None
    # getDeviceCount() raises where there is no driver.
    if not cupy.is_available():
        raise DeviceError(
            f"{device}: CuPy {cupy.__version__} finds no GPU that it can use: see whether "
            "nvidia-smi lists one and its driver is as new as CuPy's CUDA, or use --device cpu"
        )
    return cupy
