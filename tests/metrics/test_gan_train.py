"""GAN-train: real digits teach, wrong labels do not, and the same seed gives the same result."""

import numpy as np
import pytest

import minigan as mg
from minigan import random
from minigan.errors import ConfigError, DataError, ShapeError
from minigan.metrics import gan_train_accuracy


@pytest.fixture(scope="module")
def digits(real_digits):
    """1,500 digits in the place of generated ones, and 500 to test."""
    images, labels = real_digits
    return images[:1500], labels[:1500], images[1500:], labels[1500:]


def test_real_digits_teach_and_the_same_seed_gives_the_same(digits):
    first = gan_train_accuracy(*digits, n_epochs=3, batch_size=32)
    assert first > 0.8
    mg.manual_seed(99)  # what was drawn outside changes nothing
    before = random.get_state()
    assert gan_train_accuracy(*digits, n_epochs=3, batch_size=32) == first
    assert random.get_state() == before


def test_wrong_labels_teach_what_is_wrong(digits):
    images, labels, real, real_labels = digits
    assert gan_train_accuracy(images, (labels + 1) % 10, real, real_labels, n_epochs=2) < 0.1


def test_a_generator_without_half_of_the_digits_loses_them(digits):
    images, labels, real, real_labels = digits
    low = labels < 5
    accuracy = gan_train_accuracy(images[low], labels[low], real, real_labels, n_epochs=2)
    assert accuracy <= (real_labels < 5).mean()


def test_other_sizes_are_resized(digits):
    images, labels, real, real_labels = digits
    larger = np.repeat(np.repeat(images[:256], 2, axis=2), 2, axis=3)
    gan_train_accuracy(larger, labels[:256], real[:10], real_labels[:10], n_epochs=1)


def test_wrong_arguments_are_refused(digits):
    images, labels, real, real_labels = digits
    with pytest.raises(DataError, match="60 generated images do not fill a batch of 64"):
        gan_train_accuracy(images[:60], labels[:60], real, real_labels)
    with pytest.raises(ShapeError, match=r"generated labels must be \[100\]"):
        gan_train_accuracy(images[:100], labels[:90], real, real_labels)
    with pytest.raises(DataError, match=r"expected 0..9"):
        gan_train_accuracy(images[:100], labels[:100] + 5, real, real_labels)
    with pytest.raises(ConfigError, match="n_epochs is 0"):
        gan_train_accuracy(images[:100], labels[:100], real, real_labels, n_epochs=0)
