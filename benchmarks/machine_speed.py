"""What the machine itself gives to so many threads: multiply-adds in registers, and memory.

Two virtual cores may be the halves of one, or share memory with a neighbour's; no step gains more
by threads than the machine does. Both do a fixed work, in small parts.

To be imported after MINIGAN_NUM_THREADS is set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.backends.cpu.aligned import aligned_empty
from minigan.backends.cpu.pointwise import add_to
from minigan.backends.cpu.register_block import (
    COLUMNS,
    ROWS,
    WIDE,
    add_terms,
    no_terms,
    put_rows,
    row_places,
)
from minigan.backends.cpu.threads import kernel, run

_PARTS = 64
_BLOCKS, _TERMS = 1 << 9, 128  # register blocks of a part, and terms of their sums
_NUMBERS = 1 << 24  # 64 MB, more than caches hold


def arithmetic() -> Callable[[], Any]:
    """A function that multiplies and adds what stays in the first-level cache."""
    a, b = aligned_empty(ROWS * _TERMS), aligned_empty(_TERMS * COLUMNS)
    a[:], b[:] = 1, 1
    out = aligned_empty(_PARTS, ROWS * COLUMNS)
    return lambda: run(_multiply_add, _PARTS, a, b, out)


@kernel
def _multiply_add(chunk, chunks, a, b, out):
    zero, whole = np.uintp(0), np.uintp(COLUMNS)
    places = row_places(0, _TERMS, ROWS)
    for _ in range(_BLOCKS):
        sums = add_terms(no_terms(), a, places, np.uintp(1), b, zero, np.uintp(WIDE), whole, _TERMS)
        put_rows(out[chunk], zero, whole, ROWS, sums, True)


def memory() -> Callable[[], Any]:
    """A function that reads two large arrays and writes one."""
    total, values = np.zeros(_NUMBERS, np.float32), np.ones(_NUMBERS, np.float32)
    return lambda: add_to(total, values)
