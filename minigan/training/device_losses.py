"""Losses that stay on the GPU until somebody reads one: then a block of steps comes in one copy.

A copy to the host waits for the GPU, and takes as long for a thousand numbers as for one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backends import kernels_for
from minigan.tensor import Tensor

_STEPS = 64  # in a block


class _Block:
    """The losses of some steps, which have the same names."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.rows: list[Any] = []  # of each step an array [names] on the GPU
        self._read: np.ndarray | None = None

    @property
    def is_closed(self) -> bool:
        return self._read is not None or len(self.rows) == _STEPS

    def value(self, row: int, column: int) -> float:
        if self._read is None:
            self._read = kernels_for(self.rows[0]).xp.stack(self.rows).get()
            self.rows = []
        return float(self._read[row, column])


class _Loss:
    """One number of a block; float() reads it."""

    def __init__(self, block: _Block, row: int, column: int) -> None:
        self._place = block, row, column

    def __float__(self) -> float:
        block, row, column = self._place
        return block.value(row, column)


class DeviceLosses:
    """Keeps what the steps of a training return."""

    def __init__(self) -> None:
        self._block = _Block([])

    def keep(self, losses: dict[str, Any]) -> dict[str, Any]:
        """The losses of one step, to be read by float(); those on the host as they are."""
        first = next(iter(losses.values()), None)
        if not isinstance(first, Tensor) or first.device.type == "cpu":
            return losses
        names = list(losses)
        if self._block.is_closed or self._block.names != names:
            self._block = _Block(names)
        block, row = self._block, len(self._block.rows)
        arrays = [loss._array for loss in losses.values()]
        block.rows.append(kernels_for(arrays[0]).xp.stack(arrays))
        return {name: _Loss(block, row, column) for column, name in enumerate(names)}
