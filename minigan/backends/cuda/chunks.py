"""How an array [N,C,L] is cut for kernels that go through its channels: see kernels/chunks.cuh."""

from __future__ import annotations

import numpy as np

from minigan.backends.cuda.launch import launcher
from minigan.backends.protocol import Array

THREADS = 256  # reduce.cuh: REDUCE_THREADS
CHUNK = 16 * THREADS  # chunks.cuh: VALUES
MOST_CHUNKS = 65535  # the grid's second axis
CHANNELS = np.dtype(
    [(field, np.int32) for field in ("batch", "channels", "length", "chunks", "quads")]
)  # Channels


def cut(sizes: tuple[int, int, int], *arrays: Array) -> tuple[int, ...]:
    """The values of Channels for `sizes` (N, C, L) and the arrays that are read or written."""
    batch, _, length = sizes
    address = launcher().address
    quads = length % 4 == 0 and all(address(a) % 16 == 0 for a in arrays if a.size)
    return (*sizes, max(1, -(-batch * length // CHUNK)), quads)
