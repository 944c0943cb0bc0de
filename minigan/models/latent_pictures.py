"""Walks through a latent space, as rows of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan import random


def interpolation(gan: Any, seed: int, rows: int = 8, columns: int = 10) -> tuple[np.ndarray, int]:
    """Each row goes from one latent vector to another; a conditional model keeps one class a row.

    Returns the images [rows * columns, C, H, W] and `columns`. The way is spherical, because
    almost all of a Gaussian lies near a sphere and a straight line would leave it (White 2016).
    """
    source = random.Generator(seed)
    ends = gan.draw_latent(2 * rows, source).numpy()
    path = spherical(ends[:rows], ends[rows:], np.linspace(0.0, 1.0, columns))
    labels = None
    if gan.needs_labels:
        labels = np.repeat(np.arange(rows) % gan.config.n_classes, columns)
    return gan.render(path.reshape(rows * columns, *ends.shape[1:]), labels), columns


def spherical(start: np.ndarray, end: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """[N, K] and [N, K] -> float32 [N, len(shares), K] along the great circle between them."""
    # In float32 the cosine of a small angle would lose the angle.
    start, end = start.astype(np.float64), end.astype(np.float64)
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (start, end)]
    angle = np.arccos(np.clip((unit[0] * unit[1]).sum(1), -1.0, 1.0))[:, None, None]
    t = shares[None, :, None]
    nearly_parallel = np.sin(angle) < 1e-4
    safe = np.where(nearly_parallel, 1.0, angle)
    weights = [
        np.where(nearly_parallel, straight, np.sin(straight * safe) / np.sin(safe))
        for straight in (1.0 - t, t)
    ]
    path = weights[0] * start[:, None, :] + weights[1] * end[:, None, :]
    return path.astype(np.float32)
