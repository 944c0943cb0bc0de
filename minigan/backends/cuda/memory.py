"""From the host to the device: values that never change, and batches that always do."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backends.cuda.graph import recording, refuse_while_recording
from minigan.backends.cuda.launch import launcher
from minigan.backends.protocol import Array
from minigan.device import gpu_index

_KEPT = 4096  # constants; a captured graph may use any of them, so none is ever dropped
_LARGEST = 1 << 16  # bytes

_constants: dict[tuple[Any, ...], Array] = {}


def constant(value: Any, dtype: Any = None) -> Array:
    """A number or a small host array on the current GPU, uploaded once: it must not be changed."""
    host = np.asarray(value, dtype=dtype)
    xp = launcher().xp
    # By their bytes: 0.0 and -0.0 are equal, and NaN is not.
    key = (xp.cuda.runtime.getDevice(), host.dtype.str, host.shape, host.tobytes())
    found = _constants.get(key)
    if found is not None:
        return found
    if host.ndim:
        refuse_while_recording("it uploads an array that its first runs did not")
    array = xp.asarray(host)
    # While a graph is recorded nothing runs: the array would not be there for others.
    if recording() is None and len(_constants) < _KEPT and host.nbytes <= _LARGEST:
        _constants[key] = array
    return array


class Inbox:
    """A device array that is filled again and again, at one address.

    From the host it goes through two pieces of pinned memory in turn: the copy runs beside the
    program, which waits only if it comes back for the same piece before its copy is done.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        cuda = launcher().xp.cuda
        self.array = launcher().xp.empty(shape, dtype)
        self._pinned = [_pinned(cuda, shape, np.dtype(dtype)) for _ in range(2)]
        self._copied = [cuda.Event(disable_timing=True) for _ in range(2)]
        self._fills = 0

    def fill(self, values: Array) -> None:
        """Copy `values`, of the same shape and dtype, on the host or on the GPU."""
        if gpu_index(values) is not None:
            self.array[...] = values
            return
        turn = self._fills % 2
        if self._fills >= 2:
            self._copied[turn].synchronize()
        np.copyto(self._pinned[turn], values)
        address = self._pinned[turn].ctypes.data
        self.array.data.copy_from_host_async(address, self.array.nbytes)
        self._copied[turn].record(launcher().xp.cuda.get_current_stream())
        self._fills += 1


def _pinned(cuda: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    count = int(np.prod(shape, dtype=int))
    memory = cuda.alloc_pinned_memory(max(count, 1) * dtype.itemsize)
    return np.frombuffer(memory, dtype, count).reshape(shape)
