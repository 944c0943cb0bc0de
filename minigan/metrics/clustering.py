"""How well codes found without labels agree with the digits (InfoGAN's unsupervised error).

A code, such as the argmax of Q(c|x), is a number without a meaning. It gets one from labelled
training images, and is then judged on test images. The InfoGAN paper does not say how codes are
matched to digits, so both ways are here.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from minigan.metrics.checks import class_labels

_NO_CLASS = -1  # the class of a code that was matched with none: always an error


def majority_error(
    train_codes: np.ndarray,
    train_labels: np.ndarray,
    test_codes: np.ndarray,
    test_labels: np.ndarray,
) -> float:
    """Test error, from 0 to 1, when each code stands for its most frequent label in training.

    All four are integers [N] or [M] from 0. Several codes may stand for one label; one that never
    occurs in training is an error. Raises ShapeError or DataError.
    """
    counts = _contingency(train_codes, train_labels)
    meaning = np.where(counts.any(axis=1), counts.argmax(axis=1), _NO_CLASS)
    return _error(meaning, test_codes, test_labels)


def hungarian_error(
    train_codes: np.ndarray,
    train_labels: np.ndarray,
    test_codes: np.ndarray,
    test_labels: np.ndarray,
) -> float:
    """Test error, from 0 to 1, under the best one-to-one matching of codes with labels in training.

    Arguments as in `majority_error`, and never less than it where that is measured on the training
    images. Codes left without a label are errors. Raises ShapeError or DataError.
    """
    counts = _contingency(train_codes, train_labels)
    codes, labels = linear_sum_assignment(counts, maximize=True)
    meaning = np.full(len(counts), _NO_CLASS)
    meaning[codes] = labels
    return _error(meaning, test_codes, test_labels)


def _contingency(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """int64 [codes, labels]: how often each code meets each label."""
    labels = class_labels("training labels", labels)
    codes = class_labels("training codes", codes, len(labels))
    counts = np.zeros((codes.max() + 1, labels.max() + 1), dtype=np.int64)
    np.add.at(counts, (codes, labels), 1)
    return counts


def _error(meaning: np.ndarray, codes: np.ndarray, labels: np.ndarray) -> float:
    labels = class_labels("test labels", labels)
    codes = class_labels("test codes", codes, len(labels))
    missing = max(int(codes.max()) + 1 - len(meaning), 0)
    meaning = np.pad(meaning, (0, missing), constant_values=_NO_CLASS)
    return float((meaning[codes] != labels).mean())
