"""Stacked MNIST: three digits in the three channels of an image are a number from 0 to 999."""

from __future__ import annotations

import numpy as np

from minigan import nn
from minigan.errors import DataError
from minigan.metrics.classifier import classify

N_STACKED_CLASSES = 1000


def classify_stacked(images: np.ndarray, model: nn.Module | None = None) -> np.ndarray:
    """Numbers 0..999, int64 [N], for images [N,3,H,W] in [-1,1]: 100 red + 10 green + blue.

    Each channel is read by the digit classifier. Raises DataError for images of another kind.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1] != 3:
        raise DataError(f"stacked digits must be [N,3,H,W]; got shape {images.shape}")
    n, channels, height, width = images.shape
    digits = classify(images.reshape(n * channels, 1, height, width), model)
    return digits.reshape(n, channels) @ np.array([100, 10, 1])
