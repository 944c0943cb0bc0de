"""Improved precision and recall (Kynkaanniemi et al. 2019).

A set's manifold is taken to be the union of balls around its features, each as large as the
distance to the k-th nearest neighbour. Precision: the share of generated images inside the real
manifold (do they look real?). Recall: the share of real ones inside the generated manifold (are
all kinds made?).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minigan.errors import ConfigError
from minigan.metrics.checks import feature_pair
from minigan.metrics.distances import own_distances, squared_distances


class PrecisionRecall(NamedTuple):
    """Both from 0 to 1, and 1 is best."""

    precision: float
    recall: float


def precision_recall(
    real_features: np.ndarray, generated_features: np.ndarray, k: int = 3
) -> PrecisionRecall:
    """Precision and recall of features [N,D] and [M,D]; all distances in blocks of bounded memory.

    Both depend on N and M: compare at equal sizes. Raises ShapeError, DataError, or ConfigError
    for k outside 1..rows-1.
    """
    real, generated = feature_pair(real_features, generated_features, at_least=2)
    smaller = min(len(real), len(generated))
    if not 1 <= k < smaller:
        raise ConfigError(f"k is {k}: it must be from 1 to {smaller - 1} for sets of {smaller}")
    real_radii, generated_radii = _squared_radii(real, k), _squared_radii(generated, k)
    precise = np.empty(len(generated), dtype=bool)
    recalled = np.zeros(len(real), dtype=bool)
    for rows, distances in squared_distances(generated, real):
        precise[rows] = (distances <= real_radii).any(axis=1)
        recalled |= (distances <= generated_radii[rows, None]).any(axis=0)
    return PrecisionRecall(float(precise.mean()), float(recalled.mean()))


def _squared_radii(features: np.ndarray, k: int) -> np.ndarray:
    """[N]: squared distance of each row to its k-th nearest other row."""
    radii = np.empty(len(features), dtype=features.dtype)
    for rows, distances in own_distances(features, np.inf):
        distances.partition(k - 1, axis=1)
        radii[rows] = distances[:, k - 1]
    return radii
