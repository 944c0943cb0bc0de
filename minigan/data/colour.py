"""Digits in colours, by a formula that can be turned round.

A hue h is a direction u(h) = (cos h, cos(h - 120 deg), cos(h + 120 deg)) in RGB. Its components
add up to 0, so a step along it changes the hue and leaves the mean of the channels alone. The
grey value g in [-1, 1] of a pixel becomes

    (0.4 g - 0.1) + (0.6 g + 0.1) u(h)

a bright stroke of the hue on a darker ground of the opposite hue, within [-1, 1]. The mean of the
channels, 0.4 g - 0.1, gives g back whatever the hue.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.reference import philox_blocks

_HUES = (0x68756573, 0)  # a Philox key that never changes
_CHANNEL_ANGLES = np.array([0, 2, -2]) * np.pi / 3


def hues(numbers: np.ndarray) -> np.ndarray:
    """int [N] -> float64 [N] in [0, 2 pi): a random hue for each number, always the same."""
    counter = np.zeros((len(numbers), 4), dtype=np.uint32)
    counter[:, 0] = numbers
    return philox_blocks(counter, _HUES)[:, 0] * (2 * np.pi / 2**32)


def coloured_digits(images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Grey images as RGB, float32 [N,3,H,W], in the hues of their numbers int [N]."""
    directions = np.cos(hues(numbers)[:, None] - _CHANNEL_ANGLES).astype(np.float32)
    grey = images[:, :1]
    made = (0.4 * grey - 0.1) + (0.6 * grey + 0.1) * directions[:, :, None, None]
    return np.clip(made, -1, 1)


def uncoloured_digits(images: np.ndarray) -> np.ndarray:
    """float32 [N,3,H,W] in any hues -> grey [N,1,H,W], clipped to [-1, 1]."""
    grey = (images.mean(axis=1, keepdims=True) + 0.1) / 0.4
    return np.clip(grey, -1, 1)
