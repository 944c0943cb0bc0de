"""Stacked MNIST: what is in the channels, what the labels say, and that it never changes."""

import numpy as np
import pytest

from minigan.data import ArrayDataset, load
from minigan.data.stacked import N_TEST, N_TRAIN, StackedDigits
from minigan.errors import ConfigError
from minigan.metrics.stacked import classify_stacked


def test_channels_are_digits_and_labels_their_number():
    digits = load("mnist-embedded", train=False)
    data = StackedDigits(digits, "stacked")
    images, labels = data[1000:1200]
    assert images.shape == (200, 3, 28, 28) and images.dtype == np.float32
    assert labels.dtype == np.int64
    known = {image.tobytes(): label for image, label in zip(*digits[:], strict=True)}
    for image, label in zip(images, labels, strict=True):
        red, green, blue = (known[channel[None].tobytes()] for channel in image)
        assert label == 100 * red + 10 * green + blue


def test_the_judge_reads_the_same_numbers():
    images, labels = load("stacked-mnist-embedded", train=False)[:300]
    assert (classify_stacked(images) == labels).mean() > 0.95


@pytest.mark.parametrize(("train", "n"), [(True, N_TRAIN), (False, N_TEST)])
def test_every_number_occurs_about_as_often(train, n):
    pixels = np.zeros((1000, 1, 1), np.uint8)
    data = StackedDigits(ArrayDataset(pixels, np.arange(1000) % 10, train=train), "stacked")
    assert (len(data), data.n_classes, data.channels) == (n, 1000, 3)
    counts = np.bincount(data[:][1], minlength=1000)
    expected = n / 1000
    assert len(counts) == 1000
    assert 850 < ((counts - expected) ** 2 / expected).sum() < 1145  # 999 degrees, p = 0.001


def test_which_digits_are_stacked_is_pinned():
    """A changed draw would make figures of different versions incomparable."""
    pixels = np.zeros((10, 1, 1), np.uint8)
    train, test = (
        StackedDigits(ArrayDataset(pixels, np.arange(10), train=train), "stacked")
        for train in (True, False)
    )
    assert train[:5][1].tolist() == [420, 870, 646, 787, 804]
    assert test[:5][1].tolist() == [428, 181, 873, 342, 512]


def test_only_rgb():
    assert load("stacked-mnist-embedded", channels=3).channels == 3
    with pytest.raises(ConfigError, match="channels is 1: stacked-mnist-embedded is RGB, use 3"):
        load("stacked-mnist-embedded", channels=1)
