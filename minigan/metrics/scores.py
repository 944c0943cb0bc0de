"""Scores of a classifier's answers: is each image clear, and are all classes there?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import rel_entr

from minigan.errors import DataError, ShapeError
from minigan.metrics.checks import at_least, class_labels, feature_rows


class Modes(NamedTuple):
    """Which classes a generator covers, and how evenly."""

    covered: int  # classes with at least one image
    kl: float  # KL(generated || data), in nats


def classifier_score(probabilities: np.ndarray) -> float:
    """exp(E KL(p(y|x) || p(y))) for probabilities [N,K], from 1 (worst) to K.

    The formula of the Inception score (Salimans et al. 2016) on the digit classifier; real test
    digits reach about 9.8. Raises ShapeError, or DataError if rows are no distributions.
    """
    p = feature_rows("probabilities", probabilities).astype(np.float64)
    if p.min() < 0 or np.abs(p.sum(axis=1) - 1).max() > 1e-3:
        raise DataError("rows of probabilities must be 0 or more and add up to 1: apply a softmax")
    return float(np.exp(rel_entr(p, p.mean(axis=0)).sum(axis=1).mean()))


def modes_and_kl(
    predicted: np.ndarray, reference: np.ndarray | None = None, n_classes: int = 10
) -> Modes:
    """Classes covered by predicted labels [N], and KL(generated || data) of their distribution.

    reference: [n_classes], the data's label counts or probabilities; None is uniform, as
    comparisons on the 1000 classes of stacked MNIST take it. Raises ShapeError or DataError, also
    where a class was generated that the reference never has: the KL would be infinite.
    """
    at_least("n_classes", n_classes, 1)
    generated = label_distribution(predicted, n_classes)
    q = np.ones(n_classes) if reference is None else np.asarray(reference, dtype=np.float64)
    if q.shape != (n_classes,):
        raise ShapeError(f"the reference must be [{n_classes}], one a class; got shape {q.shape}")
    if not (np.isfinite(q).all() and q.min() >= 0 and q.sum() > 0):
        raise DataError("the reference must be counts or probabilities, 0 or more and not all 0")
    q = q / q.sum()
    unknown = np.flatnonzero((generated > 0) & (q == 0))
    if unknown.size:
        raise DataError(
            f"class {unknown[0]} was generated, but the reference never has it: count a larger "
            "data set, or compare with uniform classes"
        )
    return Modes(int((generated > 0).sum()), float(rel_entr(generated, q).sum()))


def label_distribution(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """float64 [n_classes]: the share of each class in integer labels [N]."""
    labels = class_labels("labels", labels, n_classes=n_classes)
    return np.bincount(labels, minlength=n_classes) / len(labels)
