"""The two tests by the nearest neighbour: told apart or not, and what generated digits teach."""

import numpy as np
import pytest

from minigan.errors import DataError, ShapeError
from minigan.metrics import distances, nearest_neighbour_error, two_sample_accuracy


def test_two_samples_of_one_distribution_are_not_told_apart(rng):
    real, generated = rng.normal(size=(2, 2000, 4))
    assert two_sample_accuracy(real, generated).accuracy == pytest.approx(0.5, abs=0.04)


def test_disjoint_sets_are_told_apart(rng):
    rows = rng.normal(size=(50, 4))
    assert two_sample_accuracy(rows, rows + 100) == (1, 1, 1)


def test_copies_of_the_data_are_always_mistaken(rng):
    rows = rng.normal(size=(50, 4))
    assert two_sample_accuracy(rows, rows.copy()) == (0, 0, 0)


def test_a_tie_counts_as_half():
    same = np.ones((6, 3))
    assert two_sample_accuracy(same, same) == (0.5, 0.5, 0.5)


def test_a_generator_that_bunches_is_seen_in_its_own_share(rng):
    real = rng.normal(size=(400, 4))
    generated = 0.05 * rng.normal(size=(400, 4)) + real[0]
    found = two_sample_accuracy(real, generated)
    assert found.generated > 0.9
    assert found.accuracy == (found.real + found.generated) / 2


def test_it_is_leave_one_out_by_definition(rng, monkeypatch):
    monkeypatch.setattr(distances, "_BLOCK_ELEMENTS", 100)
    real, generated = rng.normal(size=(30, 3)), rng.normal(0.5, 1, size=(30, 3))
    rows = np.concatenate([real, generated])
    is_real = np.arange(60) < 30
    apart = np.linalg.norm(rows[:, None] - rows, axis=2)
    np.fill_diagonal(apart, np.inf)
    right = is_real[apart.argmin(1)] == is_real
    found = two_sample_accuracy(real, generated)
    assert found == (right.mean(), right[:30].mean(), right[30:].mean())


def test_real_digits_are_not_told_from_real_digits(two_halves):
    assert two_sample_accuracy(*two_halves).accuracy == pytest.approx(0.5, abs=0.06)


def test_error_of_a_nearest_neighbour_by_definition(rng, monkeypatch):
    monkeypatch.setattr(distances, "_BLOCK_ELEMENTS", 100)
    known, asked = rng.normal(size=(40, 1, 3, 3)), rng.normal(size=(25, 1, 3, 3))
    known_labels, asked_labels = rng.integers(0, 3, 40), rng.integers(0, 3, 25)
    apart = ((asked[:, None] - known) ** 2).sum((2, 3, 4))
    expected = (known_labels[apart.argmin(1)] != asked_labels).mean()
    found = nearest_neighbour_error(known, known_labels, asked, asked_labels)
    assert found == pytest.approx(expected)
    assert nearest_neighbour_error(known, known_labels, known, known_labels) == 0


def test_real_digits_teach_real_digits(real_digits):
    images, labels = real_digits
    error = nearest_neighbour_error(images[:1500], labels[:1500], images[1500:], labels[1500:])
    assert error < 0.15  # 3.1% with 50,000 instead of 1,500
    wrong = nearest_neighbour_error(
        images[:1500], (labels[:1500] + 1) % 10, images[1500:], labels[1500:]
    )
    assert wrong > 0.85


def test_wrong_arguments_are_refused(rng):
    rows, labels = rng.normal(size=(10, 4)), np.zeros(10, dtype=np.int64)
    with pytest.raises(ShapeError, match="10 real and 9 generated rows"):
        two_sample_accuracy(rows, rows[:9])
    with pytest.raises(ShapeError, match="4 values and real ones 3"):
        nearest_neighbour_error(rows, labels, rows[:, :3], labels)
    with pytest.raises(ShapeError, match=r"generated labels must be \[10\]"):
        nearest_neighbour_error(rows, labels[:9], rows, labels)
    with pytest.raises(DataError, match="real images: none given"):
        nearest_neighbour_error(rows, labels, rows[:0], labels[:0])
    with pytest.raises(ShapeError, match=r"real images must be \[N,...\]"):
        nearest_neighbour_error(rows, labels, rows[:, 0], labels)
