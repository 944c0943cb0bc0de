"""What the digit classifier sees in images: 128 features each, and the probabilities of 0..9."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minigan import ops
from minigan.autograd import no_grad
from minigan.metrics.classifier import DigitClassifier, digit_batches, load_classifier


class Reading(NamedTuple):
    """One pass of the classifier over N images."""

    features: np.ndarray  # float32 [N,128], not negative
    probabilities: np.ndarray  # float32 [N,10], rows add up to 1

    @property
    def labels(self) -> np.ndarray:
        """The most probable digits, int64 [N]."""
        return self.probabilities.argmax(1)


def read(images: np.ndarray, model: DigitClassifier | None = None) -> Reading:
    """Features and probabilities of images [N,1,H,W] in [-1,1]; resized to 28x28 as `classify`
    does. Raises DataError for images of another kind."""
    model = load_classifier() if model is None else model
    features, probabilities = [], []
    with no_grad():
        for batch in digit_batches(images):
            seen = model.features(batch)
            features.append(seen.numpy())
            probabilities.append(ops.softmax(model.logits(seen), 1).numpy())
    return Reading(np.concatenate(features), np.concatenate(probabilities))


def features(images: np.ndarray, model: DigitClassifier | None = None) -> np.ndarray:
    """The features of `read` alone, float32 [N,128]."""
    return read(images, model).features


def probabilities(images: np.ndarray, model: DigitClassifier | None = None) -> np.ndarray:
    """The probabilities of `read` alone, float32 [N,10]."""
    return read(images, model).probabilities
