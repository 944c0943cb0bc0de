"""The shipped judge of digits: it reads real digits, and its file cannot change unnoticed."""

import numpy as np
import pytest

from minigan import data
from minigan.errors import CheckpointError, DataError
from minigan.metrics import accuracy, classifier, classify


@pytest.fixture(scope="module")
def digits():
    return data.load("mnist-embedded", train=False)[:]


def test_it_reads_at_least_99_percent_of_real_test_digits(digits):
    assert accuracy(*digits) >= 0.99


def test_it_reads_them_resized_too(digits):
    # 99.14% on all 10,000 test digits at 32x32, against 99.46% at their own size.
    images, labels = data.load("mnist-embedded", train=False, img_size=32)[:]
    assert accuracy(images, labels) >= 0.98


def test_it_reads_noise_no_better_than_chance(digits):
    noise = np.random.default_rng(0).uniform(-1, 1, (500, 1, 28, 28)).astype(np.float32)
    assert accuracy(noise, digits[1][:500]) < 0.3


def test_features_are_128_numbers(digits):
    from minigan import tensor

    features = classifier.load_classifier().features(tensor(digits[0][:3]))
    assert tuple(features.shape) == (3, 128)


def test_a_changed_file_is_refused(tmp_path, monkeypatch):
    content = bytearray(classifier.WEIGHTS.read_bytes())
    content[-1] ^= 1
    changed = tmp_path / "mnist_classifier.safetensors"
    changed.write_bytes(content)
    monkeypatch.setattr(classifier, "WEIGHTS", changed)
    classifier.load_classifier.cache_clear()
    with pytest.raises(CheckpointError, match="reinstall"):
        classifier.load_classifier()
    monkeypatch.undo()
    classifier.load_classifier.cache_clear()


def test_images_of_another_kind_are_refused():
    with pytest.raises(DataError, match="N,1,H,W"):
        classify(np.zeros((2, 3, 28, 28), np.float32))
