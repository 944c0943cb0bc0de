"""One pass of the classifier gives features, probabilities and labels that belong together."""

import numpy as np
import pytest

from minigan import data
from minigan.errors import DataError
from minigan.metrics import classify, features, probabilities, read
from minigan.metrics.classifier import load_classifier


def test_shapes_and_ranges(reading):
    assert reading.features.shape == (2000, 128) and reading.features.dtype == np.float32
    assert reading.probabilities.shape == (2000, 10)
    assert reading.features.min() >= 0
    np.testing.assert_allclose(reading.probabilities.sum(1), 1, rtol=1e-5)


def test_it_agrees_with_classify_and_with_its_parts(real_digits, reading):
    images = real_digits[0][:600]  # more than one batch
    assert (reading.labels[:600] == classify(images)).all()
    np.testing.assert_allclose(features(images), reading.features[:600], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(probabilities(images), reading.probabilities[:600], atol=1e-5)


def test_the_last_layer_turns_features_into_the_probabilities(reading):
    layer = load_classifier().logits
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    logits = reading.features @ weight.T + bias
    odds = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(odds / odds.sum(1, keepdims=True), reading.probabilities, atol=1e-5)


def test_other_sizes_are_resized_as_classify_does(real_digits):
    images, labels = data.load("mnist-embedded", train=False, img_size=32)[:600]
    found = read(images)
    assert (found.labels == classify(images)).all()
    assert (found.labels == labels).mean() > 0.97


def test_float64_images_are_read_as_float32_ones(real_digits):
    images = real_digits[0][:3]
    np.testing.assert_array_equal(features(images.astype(np.float64)), features(images))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 3, 28, 28), np.float32), r"\[N,1,H,W\].*\(2, 3, 28, 28\)"),
        (np.zeros((28, 28), np.float32), r"\[N,1,H,W\]"),
        (np.zeros((0, 1, 28, 28), np.float32), "at least one"),
        (np.full((1, 1, 28, 28), np.nan, np.float32), "row 0 holds NaN"),
        (np.full((1, 1, 28, 28), 255.0, np.float32), r"from 255 to 255: scale pixels to \[-1,1\]"),
    ],
)
def test_other_images_are_refused(images, message):
    with pytest.raises(DataError, match=message):
        read(images)


def test_the_row_with_nan_is_named():
    images = np.zeros((4, 1, 28, 28), np.float32)
    images[2, 0, 5, 5] = np.inf
    with pytest.raises(DataError, match="row 2 holds NaN or infinity"):
        features(images)
