"""Launches that go element by element: see kernels/elements.cuh."""

from __future__ import annotations

import numpy as np

from minigan.backends.cuda.launch import launcher
from minigan.backends.protocol import Array

_THREADS, _NEIGHBOURS = 256, 4


def elementwise(file: str, kernel: str, arrays: tuple[Array, ...], *scalars: float) -> Array:
    """A new array from float32 arrays, which have one shape."""
    to, xp = launcher(), launcher().xp
    out = xp.empty(arrays[0].shape, dtype=np.float32)
    if out.size:
        inputs = map(xp.ascontiguousarray, arrays)
        args = (*inputs, out, np.int64(out.size), *map(np.float32, scalars))
        to.launch(file, kernel, (-(-out.size // (_NEIGHBOURS * _THREADS)),), _THREADS, args)
    return out
