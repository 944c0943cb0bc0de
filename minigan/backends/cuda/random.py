"""Launches of the random numbers: the words are those of the CPU, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backends.cuda.graph import recording
from minigan.backends.cuda.launch import launcher, pointer
from minigan.backends.protocol import Array

_THREADS = 256
_WORDS = 4  # a thread


def _launched(
    kernel: str, dtype: Any, seed: int, offset: int, n: int, *scalars: np.float32
) -> Array:
    to = launcher()
    out = to.xp.empty(n, dtype=dtype)
    if n:
        base, graph = None, recording()
        if graph is not None:
            base, offset = graph.counter(seed, offset, n)
        words = (np.uint64(seed & 0xFFFFFFFFFFFFFFFF), np.uint64(offset & 0xFFFFFFFFFFFFFFFF))
        grid = (-(-n // (_WORDS * _THREADS)),)
        to.launch(
            "random.cu", kernel, grid, _THREADS, (out, pointer(base), *words, np.int64(n), *scalars)
        )
    return out


def philox(seed: int, offset: int, n: int) -> Array:
    """See `protocol.py`."""
    return _launched("philox", np.uint32, seed, offset, n)


def philox_uniform(seed: int, offset: int, n: int) -> Array:
    """See `protocol.py`."""
    return _launched("philox_uniform", np.float32, seed, offset, n)


def philox_mask(seed: int, offset: int, n: int, p: float) -> Array:
    """See `protocol.py`."""
    scalars = (np.float32(p), np.float32(1 / (1 - p)))
    return _launched("philox_mask", np.float32, seed, offset, n, *scalars)


def philox_normal(seed: int, offset: int, n: int) -> Array:
    """See `protocol.py`."""
    return _launched("philox_normal", np.float32, seed, offset, n)
