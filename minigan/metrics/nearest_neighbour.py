"""Two tests by the nearest neighbour: are generated images told apart, and do they teach digits?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minigan.errors import DataError, ShapeError
from minigan.metrics.checks import class_labels, feature_pair, feature_rows
from minigan.metrics.distances import own_distances, squared_distances


class TwoSampleAccuracy(NamedTuple):
    """0.5 is perfect. Near 1: the sets lie apart. Near 0: generated rows copy real ones."""

    accuracy: float
    real: float  # of real rows alone; low where the generator has them all, but mixed
    generated: float  # of generated rows alone; high where they bunch together


def two_sample_accuracy(
    real_features: np.ndarray, generated_features: np.ndarray
) -> TwoSampleAccuracy:
    """Leave-one-out accuracy of a 1-NN that tells real from generated (Lopez-Paz & Oquab 2017).

    features: [N,D] both, because only for equal sizes chance is 0.5. A tie counts as half.
    Raises ShapeError or DataError.
    """
    real, generated = feature_pair(real_features, generated_features, at_least=2)
    if len(real) != len(generated):
        raise ShapeError(
            f"{len(real)} real and {len(generated)} generated rows: take as many of each, for "
            "chance to be 0.5"
        )
    to_generated = np.empty(len(real), dtype=np.float64)
    to_real = np.full(len(generated), np.inf)
    for rows, distances in squared_distances(real, generated):
        to_generated[rows] = distances.min(axis=1)
        np.minimum(to_real, distances.min(axis=0), out=to_real)
    of_real = _share_below(_nearest_own(real), to_generated)
    of_generated = _share_below(_nearest_own(generated), to_real)
    return TwoSampleAccuracy((of_real + of_generated) / 2, of_real, of_generated)


def nearest_neighbour_error(
    generated: np.ndarray,
    generated_labels: np.ndarray,
    real: np.ndarray,
    real_labels: np.ndarray,
) -> float:
    """The share, from 0 to 1, of real test images that a 1-NN on generated ones misreads.

    Images [N,...] and [M,...] are compared by the Euclidean distance of their pixels, as in the
    supplement of the DCGAN paper (Radford et al. 2016), or of any features. Raises ShapeError or
    DataError.
    """
    known, asked = _flat("generated images", generated), _flat("real images", real)
    if known.shape[1] != asked.shape[1]:
        raise ShapeError(
            f"generated images have {known.shape[1]} values and real ones {asked.shape[1]}: "
            "bring both to one size"
        )
    known_labels = class_labels("generated labels", generated_labels, len(known))
    asked_labels = class_labels("real labels", real_labels, len(asked))
    read = np.empty(len(asked), dtype=np.int64)
    for rows, distances in squared_distances(asked, known):
        read[rows] = known_labels[distances.argmin(axis=1)]
    return float((read != asked_labels).mean())


def _nearest_own(rows: np.ndarray) -> np.ndarray:
    nearest = np.empty(len(rows), dtype=np.float64)
    for part, distances in own_distances(rows, np.inf):
        nearest[part] = distances.min(axis=1)
    return nearest


def _share_below(own: np.ndarray, other: np.ndarray) -> float:
    return float((own < other).mean() + 0.5 * (own == other).mean())


def _flat(name: str, images: np.ndarray) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim < 2:
        raise ShapeError(f"{name} must be [N,...]; got shape {images.shape}")
    if len(images) == 0:
        raise DataError(f"{name}: none given, and at least one is needed")
    return feature_rows(name, images.reshape(len(images), -1))
