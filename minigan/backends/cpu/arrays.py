"""New arrays, and contiguous ones: NumPy's, or while a step is recorded those of its tape."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backends.protocol import Array
from minigan.backends.recorded import RecordedArray, tape


def empty(shape: Any, dtype: Any) -> Array:
    """numpy.empty."""
    now = tape()
    if now is None:
        return np.empty(shape, dtype)
    return now.empty((shape,) if isinstance(shape, int | np.integer) else shape, dtype)


def cleared(shape: Any, dtype: Any) -> Array:
    """numpy.zeros, for a kernel that goes on from them."""
    if tape() is None:
        return np.zeros(shape, dtype)
    new = empty(shape, dtype)
    new[...] = 0
    return new


def contiguous(array: Array, dtype: Any = None) -> Array:
    """numpy.ascontiguousarray."""
    if not isinstance(array, RecordedArray):
        return np.ascontiguousarray(array, dtype)
    if dtype is not None:
        array = array.astype(dtype, copy=False)
    if array.ndim == 0:
        return array.reshape(1)
    return array if array.flags.c_contiguous else array.copy()
