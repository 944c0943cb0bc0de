"""Memory whose addresses stay: what an array leaves when it dies serves the next, as in a heap.

A recorded step runs again at the addresses of its recording, so nobody else may have them, and they
must be few: arrays that never live at the same time share them.
"""

from __future__ import annotations

import bisect
import math
from typing import Any

import numpy as np

_LINE = 64  # bytes: what each array begins at, for the processor's vectors
_SMALLEST = 1 << 25  # bytes taken from the system at once


class Lease:
    """A stretch of the arena's memory, in use until this object dies."""

    __slots__ = ("_arena", "_end", "_start")

    def __init__(self, arena: Arena, start: int, end: int) -> None:
        self._arena, self._start, self._end = arena, start, end

    def __del__(self) -> None:
        self._arena.give_back(self._start, self._end)


class Arena:
    """Arrays in large pieces of memory, which are kept until the arena dies."""

    def __init__(self) -> None:
        self._pieces: list[tuple[int, np.ndarray]] = []  # the first line's address, and the memory
        self._free: list[tuple[int, int]] = []  # addresses from and to, in order; none adjoin

    def empty(self, shape: Any, dtype: Any) -> tuple[np.ndarray, Lease]:
        """An array, not filled, and what it must be kept with."""
        dtype, shape = np.dtype(dtype), tuple(shape)
        size = max(_LINE, -(-math.prod(shape) * dtype.itemsize // _LINE) * _LINE)
        start = self._take(size)
        memory = next(m for first, m in self._pieces if first <= start < first + m.nbytes)
        array = np.ndarray(shape, dtype, memory, start - memory.ctypes.data)
        return array, Lease(self, start, start + size)

    def _take(self, size: int) -> int:
        """The address of so many bytes: of the free stretches that hold them the smallest."""
        fitting = [(end - start, start) for start, end in self._free if end - start >= size]
        if not fitting:
            self._grow(size)
            return self._take(size)
        length, start = min(fitting)
        place = bisect.bisect_left(self._free, (start, 0))
        rest = [(start + size, start + length)] if length > size else []
        self._free[place : place + 1] = rest
        return start

    def _grow(self, size: int) -> None:
        memory = np.empty(max(size, _SMALLEST) + _LINE, np.uint8)
        first = -(-memory.ctypes.data // _LINE) * _LINE
        self._pieces.append((first, memory))
        bisect.insort(self._free, (first, first + max(size, _SMALLEST)))

    def give_back(self, start: int, end: int) -> None:
        """Let others have a stretch again."""
        place = bisect.bisect_left(self._free, (start, end))
        if place < len(self._free) and self._free[place][0] == end:
            end = self._free.pop(place)[1]
        if place and self._free[place - 1][1] == start:
            place -= 1
            start = self._free.pop(place)[0]
        self._free.insert(place, (start, end))
