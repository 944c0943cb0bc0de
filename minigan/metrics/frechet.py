"""Frechet distance between two sets of features, each taken for a Gaussian (Heusel et al. 2017).

    d^2 = ||m_r - m_g||^2 + tr(S_r) + tr(S_g) - 2 tr((S_r S_g)^(1/2))

On features of the shipped digit classifier this is the "Frechet distance (MNIST-CNN)". It is not
the FID: that one needs the Inception network's features, and its values are on another scale.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from minigan.errors import DataError, ShapeError
from minigan.metrics.checks import feature_pair

FRECHET_NAME = "Frechet distance (MNIST-CNN)"


def frechet_distance(real_features: np.ndarray, generated_features: np.ndarray) -> float:
    """d^2 of features [N,D] and [M,D], in float64; 0 is best.

    Few rows add a bias upwards: compare values only at equal N and M, and give the distance
    between two sets of real images as the floor. Raises ShapeError or DataError.
    """
    real, generated = feature_pair(real_features, generated_features, at_least=2)
    return gaussian_frechet_distance(*mean_and_covariance(real), *mean_and_covariance(generated))


def mean_and_covariance(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [D] and unbiased covariance [D,D] of features [N,D], in float64."""
    features = np.asarray(features, dtype=np.float64)
    mean = features.mean(axis=0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - 1)


def gaussian_frechet_distance(
    mean_a: np.ndarray, covariance_a: np.ndarray, mean_b: np.ndarray, covariance_b: np.ndarray
) -> float:
    """d^2 between N(mean_a, covariance_a) and N(mean_b, covariance_b). Raises ShapeError."""
    mean_a, covariance_a, mean_b, covariance_b = (
        np.asarray(x, dtype=np.float64) for x in (mean_a, covariance_a, mean_b, covariance_b)
    )
    square = (mean_a.size, mean_a.size)
    if mean_a.shape != mean_b.shape or {covariance_a.shape, covariance_b.shape} != {square}:
        raise ShapeError(
            f"two Gaussians need means [D] and covariances [D,D]; got means {mean_a.shape} and "
            f"{mean_b.shape}, covariances {covariance_a.shape} and {covariance_b.shape}"
        )
    # With S = L L^T the eigenvalues of S_a S_b are those of the symmetric (L_a^T L_b)(L_a^T L_b)^T,
    # so the root's trace is a sum of singular values. Unlike a matrix square root, this stays
    # exact where a feature never fires and its row of the covariance is zero.
    product = _factor(covariance_a).T @ _factor(covariance_b)
    root_trace = scipy.linalg.svdvals(product).sum()
    distance = (
        np.square(mean_a - mean_b).sum()
        + np.trace(covariance_a)
        + np.trace(covariance_b)
        - 2 * root_trace
    )
    return max(float(distance), 0.0)  # rounding alone takes it below 0


def _factor(covariance: np.ndarray) -> np.ndarray:
    """L with L L^T = covariance, which may be singular."""
    values, vectors = scipy.linalg.eigh(covariance)
    if values[0] < -1e-6 * max(values[-1], 0.0):
        raise DataError(
            f"a covariance has the eigenvalue {values[0]:.3g} (its largest is {values[-1]:.3g}): "
            "covariances have none below 0"
        )
    return vectors * np.sqrt(np.maximum(values, 0.0))
