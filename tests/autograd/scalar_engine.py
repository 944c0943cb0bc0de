"""An oracle of fewer than a hundred lines: scalars, forward-mode derivatives, no graph at all.

Every number carries its value, its gradient and its matrix of second derivatives by the inputs of
the program. It shares no idea with the engine that it checks: nothing runs backwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass
class Number:
    value: float
    slope: np.ndarray  # [inputs]
    curvature: np.ndarray  # [inputs, inputs]

    def apply(self, f: float, df: float, ddf: float) -> Number:
        """f(self), given f and its two derivatives there (Faa di Bruno)."""
        bend = ddf * np.outer(self.slope, self.slope) + df * self.curvature
        return Number(f, df * self.slope, bend)

    def __add__(self, other: Number) -> Number:
        return Number(
            self.value + other.value, self.slope + other.slope, self.curvature + other.curvature
        )

    def __mul__(self, other: Number) -> Number:
        cross = np.outer(self.slope, other.slope)
        return Number(
            self.value * other.value,
            self.value * other.slope + other.value * self.slope,
            self.value * other.curvature + other.value * self.curvature + cross + cross.T,
        )

    def __neg__(self) -> Number:
        return self.apply(-self.value, -1.0, 0.0)

    def __sub__(self, other: Number) -> Number:
        return self + -other

    def reciprocal(self) -> Number:
        r = 1.0 / self.value
        return self.apply(r, -(r**2), 2.0 * r**3)

    def __truediv__(self, other: Number) -> Number:
        return self * other.reciprocal()

    def tanh(self) -> Number:
        t = math.tanh(self.value)
        return self.apply(t, 1.0 - t * t, -2.0 * t * (1.0 - t * t))

    def sigmoid(self) -> Number:
        s = 1.0 / (1.0 + math.exp(-self.value))
        return self.apply(s, s * (1.0 - s), s * (1.0 - s) * (1.0 - 2.0 * s))

    def sin(self) -> Number:
        return self.apply(math.sin(self.value), math.cos(self.value), -math.sin(self.value))

    def leaky_relu(self) -> Number:
        slope = 1.0 if self.value > 0 else 0.2
        return self.apply(slope * self.value, slope, 0.0)


def inputs(values: np.ndarray) -> list[Number]:
    """One Number for each element, differentiated by itself."""
    n = values.size
    return [Number(float(v), np.eye(n)[i], np.zeros((n, n))) for i, v in enumerate(values.flat)]
