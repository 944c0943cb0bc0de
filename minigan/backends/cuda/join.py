"""Arrays joined along an axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigan.backends.cuda.launch import launcher
from minigan.backends.protocol import Array


def concatenate(arrays: Sequence[Array], axis: int) -> Array:
    """numpy.concatenate, by a copy for each array. CuPy's own uploads a table of addresses, which
    could be no part of a captured step."""
    first = arrays[0]
    axis %= first.ndim
    length = sum(array.shape[axis] for array in arrays)
    shape = (*first.shape[:axis], length, *first.shape[axis + 1 :])
    out = launcher().xp.empty(shape, np.result_type(*(array.dtype for array in arrays)))
    start = 0
    for array in arrays:
        stop = start + array.shape[axis]
        out[(slice(None),) * axis + (slice(start, stop),)] = array
        start = stop
    return out
