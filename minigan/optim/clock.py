"""A group's learning rate and step counts, in the memory of the device that takes the steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backends.protocol import Array
from minigan.backends.recorded import recorded


class Clock:
    """`array` is float64: the learning rate, then the steps that each parameter has taken.

    `held` is what the array is known to hold: kernels that count its steps up say so there.
    """

    def __init__(self, xp: Any) -> None:
        self._xp = xp
        self._array: Array = None
        self.held: list[float] = []

    @property
    def array(self) -> Array:
        """For kernels."""
        return recorded(self._array)

    def set(self, values: list[float]) -> None:
        """Write the values, unless they are there already: then nothing goes to the device."""
        if values == self.held:
            return
        if len(values) != len(self.held):
            self._array = self._xp.empty(len(values), dtype="float64")
        self._array[...] = self._xp.asarray(np.array(values))
        self.held = values
