"""Precision and recall: identical, disjoint, collapsed and half-covered sets."""

import numpy as np
import pytest

from minigan.errors import ConfigError, DataError
from minigan.metrics import distances, precision_recall


def by_definition(real, generated, k):
    def radii(rows):
        return np.sort(np.linalg.norm(rows[:, None] - rows, axis=2), axis=1)[:, k]

    between = np.linalg.norm(generated[:, None] - real, axis=2)
    precision = (between <= radii(real)).any(1).mean()
    recall = (between <= radii(generated)[:, None]).any(0).mean()
    return precision, recall


@pytest.mark.parametrize("k", [1, 3])
def test_it_is_the_papers_definition(rng, monkeypatch, k):
    monkeypatch.setattr(distances, "_BLOCK_ELEMENTS", 1000)  # several blocks
    real, generated = rng.normal(size=(60, 4)), rng.normal(0.7, 0.6, size=(45, 4))
    found = precision_recall(real, generated, k)
    assert found == pytest.approx(by_definition(real, generated, k))
    assert 0 < found.recall < found.precision


def test_identical_sets_are_perfect(rng):
    rows = rng.normal(size=(100, 8))
    assert precision_recall(rows, rows) == (1, 1)


def test_disjoint_sets_share_nothing(rng):
    rows = rng.normal(size=(100, 8))
    assert precision_recall(rows, rows + 1000) == (0, 0)


def test_a_collapsed_generator_is_precise_without_recall(rng):
    real = rng.normal(size=(200, 8))
    generated = np.repeat(real[:1], 200, axis=0)
    found = precision_recall(real, generated)
    assert found.precision == 1
    assert found.recall <= 1 / 200


def test_half_of_the_modes_gives_half_the_recall(rng):
    real = rng.normal(size=(400, 4))
    real[:200] += 100
    found = precision_recall(real, rng.normal(size=(400, 4)))
    assert found.precision > 0.9
    assert 0.4 < found.recall <= 0.5


def test_real_digits_have_a_high_floor(two_halves, reading):
    first, second = two_halves
    floor = precision_recall(first, second)
    assert min(floor) > 0.75
    # A generator of the digits 0 to 4 alone lacks the other half.
    low = precision_recall(first, reading.features[reading.labels < 5])
    assert low.recall < floor.recall - 0.25


def test_wrong_arguments_are_refused(rng):
    rows = rng.normal(size=(10, 4))
    for k in (0, 10):
        with pytest.raises(ConfigError, match=f"k is {k}: it must be from 1 to 9"):
            precision_recall(rows, rows, k=k)
    with pytest.raises(DataError, match="0 rows"):
        precision_recall(rows, rows[:0])
