"""Kernel distance: no bias, the paper's estimator, subsets by seed."""

import numpy as np
import pytest

from minigan.errors import ConfigError, DataError
from minigan.metrics import kernel_distance
from minigan.metrics.kernel import unbiased_mmd2


def test_one_estimate_is_the_papers_sum(rng):
    x, y = rng.normal(size=(5, 3)), rng.normal(1, 1, size=(7, 3))

    def k(a, b):
        return (a @ b / 3 + 1) ** 3

    within_x = [k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j]
    within_y = [k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j]
    between = [k(a, b) for a in x for b in y]
    expected = np.mean(within_x) + np.mean(within_y) - 2 * np.mean(between)
    assert unbiased_mmd2(x, y) == pytest.approx(expected)


def test_the_same_distribution_has_mean_zero_at_any_size(rng):
    for n in (20, 200):
        values = [unbiased_mmd2(*rng.normal(size=(2, n, 16))) for _ in range(400)]
        standard_error = np.std(values) / np.sqrt(len(values))
        assert abs(np.mean(values)) < 4 * standard_error
        assert min(values) < 0 < max(values)


def test_a_shift_is_measured(rng):
    # One dimension, y = x + 1 with x ~ N(0,1). The squared differences of the moments of the
    # kernel's features, (xy + 1)^3 = 1 + 3xy + 3(xy)^2 + (xy)^3, are 3 (1)^2 + 3 (1)^2 + (4)^2.
    real, generated = rng.normal(size=(40_000, 1)), rng.normal(size=(40_000, 1)) + 1
    found = kernel_distance(real, generated, subsets=40)
    assert found.mean == pytest.approx(22, abs=4 * found.std / np.sqrt(40))


def test_the_seed_decides(rng):
    real, generated = rng.normal(size=(2, 300, 8))
    first = kernel_distance(real, generated, subsets=5, seed=1)
    assert kernel_distance(real, generated, subsets=5, seed=1) == first
    assert kernel_distance(real, generated, subsets=5, seed=2) != first


def test_small_sets_give_subsets_of_half_their_size(rng):
    real, generated = rng.normal(size=(50, 4)), rng.normal(size=(80, 4))
    found = kernel_distance(real, generated, subsets=10)
    assert found == kernel_distance(real, generated, subsets=10, subset_size=25)
    assert found.std > 0


def test_real_digits_are_nearer_to_each_other_than_half_of_the_digits(two_halves, reading):
    first, second = two_halves
    floor = kernel_distance(first, second, subsets=20)
    low = reading.features[reading.labels < 5]
    collapsed = kernel_distance(first, low, subsets=20)
    assert abs(floor.mean) < collapsed.mean / 10


def test_wrong_arguments_are_refused(rng):
    rows = rng.normal(size=(10, 4))
    with pytest.raises(ConfigError, match="subset_size is 11: .* at most 10"):
        kernel_distance(rows, rows, subset_size=11)
    with pytest.raises(ConfigError, match="subset_size is 1"):
        kernel_distance(rows, rows, subset_size=1)
    with pytest.raises(ConfigError, match="subsets is 0"):
        kernel_distance(rows, rows, subsets=0)
    with pytest.raises(DataError, match="3 rows, and at least 4"):
        kernel_distance(rows, rows[:3])
