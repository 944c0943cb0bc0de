"""The spread of a metric: the known standard error of a mean, rows together or apart, by seed."""

import numpy as np
import pytest

from minigan.errors import ConfigError, DataError, ShapeError
from minigan.metrics import bootstrap, half_samples, two_sample_accuracy

BOTH = pytest.mark.parametrize("spread", [bootstrap, half_samples])


@BOTH
def test_the_std_of_a_mean_is_its_standard_error(rng, spread):
    rows = rng.normal(3, 2, 400)
    mean, std = spread(np.mean, rows, n=2000)
    assert mean == pytest.approx(rows.mean(), abs=0.02)
    assert std == pytest.approx(rows.std() / np.sqrt(400), rel=0.1)


@BOTH
def test_a_tuple_is_resampled_together_and_others_apart(rng, spread):
    rows = np.arange(50)
    seen = []

    def metric(a, b, c):
        seen.append(((a == b).all(), (a == c).all(), len(a), len(c)))
        return 0.0

    spread(metric, (rows, rows), rows, n=4)
    assert all(together and not apart for together, apart, *_ in seen)
    size = 50 if spread is bootstrap else 25
    assert [s[2:] for s in seen] == [(size, size)] * 4


def test_half_samples_take_no_row_twice():
    mean, _ = half_samples(lambda a: len(np.unique(a)), np.arange(50), n=5)
    assert mean == 25
    mean, _ = bootstrap(lambda a: len(np.unique(a)), np.arange(50), n=5)
    assert mean < 40


def test_half_samples_do_not_spoil_metrics_of_neighbours(rng):
    real, generated = rng.normal(size=(2, 400, 3))
    halves, _ = half_samples(lambda a, b: two_sample_accuracy(a, b).accuracy, real, generated)
    doubled, _ = bootstrap(lambda a, b: two_sample_accuracy(a, b).accuracy, real, generated)
    assert halves == pytest.approx(0.5, abs=0.05)
    assert doubled > 0.7  # copies of a row are its nearest neighbours


@BOTH
def test_several_numbers_give_arrays(rng, spread):
    mean, std = spread(lambda a: (a.mean(), a.max()), rng.normal(size=60))
    assert mean.shape == std.shape == (2,)


@BOTH
def test_the_seed_decides(rng, spread):
    rows = rng.normal(size=60)
    assert spread(np.mean, rows, seed=4) == spread(np.mean, rows, seed=4)
    assert spread(np.mean, rows, seed=4) != spread(np.mean, rows, seed=5)


@BOTH
def test_wrong_arguments_are_refused(rng, spread):
    rows = rng.normal(size=10)
    with pytest.raises(ConfigError, match="n is 1: it must be at least 2"):
        spread(np.mean, rows, n=1)
    with pytest.raises(ShapeError, match=r"group 1 have \[10, 9\] rows"):
        spread(np.mean, rows, (rows, rows[:9]))
    with pytest.raises(DataError, match="group 0 has 1 rows"):
        spread(np.mean, rows[:1])
