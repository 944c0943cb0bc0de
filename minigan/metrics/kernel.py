"""Kernel distance: squared maximum mean discrepancy with a cubic kernel (Binkowski et al. 2018).

    k(x, y) = (x.y / D + 1)^3,    MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y)

Unlike the Frechet distance its estimate has no bias, so 0 is expected of two samples of one
distribution at any size; single values may be negative. The paper calls it KID on Inception
features; here the features are those of the digit classifier.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minigan.errors import ConfigError
from minigan.metrics.checks import at_least, feature_pair

_SUBSET_SIZE = 1000


class KernelDistance(NamedTuple):
    """MMD^2 over random subsets."""

    mean: float
    std: float  # between subsets, not of the mean


def kernel_distance(
    real_features: np.ndarray,
    generated_features: np.ndarray,
    *,
    subsets: int = 100,
    subset_size: int | None = None,
    seed: int = 0,
) -> KernelDistance:
    """Unbiased MMD^2 of features [N,D] and [M,D], over `subsets` pairs of random subsets.

    subset_size: rows of each set in a subset, drawn without replacement; by default 1000, or half
    of the smaller set if that is less. Raises ShapeError, DataError or ConfigError.
    """
    real, generated = feature_pair(real_features, generated_features, at_least=4)
    real, generated = real.astype(np.float64), generated.astype(np.float64)
    smaller = min(len(real), len(generated))
    size = min(_SUBSET_SIZE, smaller // 2) if subset_size is None else subset_size
    if not 2 <= size <= smaller:
        raise ConfigError(
            f"subset_size is {size}: it must be at least 2, and at most {smaller}, the rows of "
            "the smaller set"
        )
    rng = np.random.default_rng(seed)
    values = np.empty(at_least("subsets", subsets, 1))
    for i in range(subsets):
        x = real[rng.choice(len(real), size, replace=False)]
        y = generated[rng.choice(len(generated), size, replace=False)]
        values[i] = unbiased_mmd2(x, y)
    return KernelDistance(float(values.mean()), float(values.std()))


def unbiased_mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """MMD^2 of float64 x [N,D] and y [M,D]: the mean over all pairs of different rows."""
    return _mean_of_pairs(x) + _mean_of_pairs(y) - 2 * float(_kernel(x, y).mean())


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    base = x @ y.T
    base /= x.shape[1]
    base += 1
    return base * base * base  # `** 3` takes a general power, many times slower


def _mean_of_pairs(x: np.ndarray) -> float:
    """The mean of k over pairs of different rows."""
    values = _kernel(x, x)
    n = len(x)
    return float((values.sum() - np.trace(values)) / (n * (n - 1)))
