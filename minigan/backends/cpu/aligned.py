"""Memory that begins at a cache line.

NumPy's begins at any 16 bytes. A vector of AVX-512 fills a line, so it would cross two of them, and
Intel's cores take twice as long for each such load and longer for each store.
"""

from __future__ import annotations

import math

import numpy as np

from minigan.backends.cpu.threads import helper
from minigan.backends.protocol import Array
from minigan.backends.recorded import tape

LINE = 16  # float32 numbers


@helper
def aligned_floats(size):
    """float32 [size], not filled: for kernels."""
    room = np.empty(size + LINE, np.float32)
    first = -(room.ctypes.data // 4) % LINE
    return room[first : first + size]


@helper
def aligned_zeros(size):
    """float32 [size] of zeros: for kernels."""
    zeros = aligned_floats(size)
    zeros[:] = 0
    return zeros


def aligned_empty(*shape: int) -> Array:
    """float32 of this shape, not filled."""
    if (now := tape()) is not None:  # whose arrays all begin at a line
        return now.empty(shape, np.float32)
    size = math.prod(shape)
    room = np.empty(size + LINE, np.float32)
    first = -(room.ctypes.data // 4) % LINE
    return room[first : first + size].reshape(shape)
