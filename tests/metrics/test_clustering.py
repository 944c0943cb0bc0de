"""InfoGAN's unsupervised error: permuted codes are perfect, merged ones are not."""

import numpy as np
import pytest

from minigan.errors import DataError, ShapeError
from minigan.metrics import hungarian_error, majority_error

BOTH = pytest.mark.parametrize("error", [majority_error, hungarian_error])


@BOTH
def test_permuted_codes_have_no_error(rng, error):
    labels, test_labels = rng.integers(0, 10, 500), rng.integers(0, 10, 200)
    renamed = rng.permutation(10)
    assert error(renamed[labels], labels, renamed[test_labels], test_labels) == 0


@BOTH
def test_random_codes_are_as_good_as_chance(rng, error):
    codes, labels = rng.integers(0, 10, (2, 20_000))
    assert error(codes, labels, *rng.integers(0, 10, (2, 20_000))) == pytest.approx(0.9, abs=0.02)


def test_two_codes_for_one_label_are_an_error_only_one_to_one():
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    codes = np.array([0, 0, 3, 3, 1, 1, 2, 2])
    assert majority_error(codes, labels, codes, labels) == 0
    assert hungarian_error(codes, labels, codes, labels) == 2 / 8


def test_merged_labels_cost_the_rarer_one():
    labels = np.array([0, 0, 0, 1, 2, 2])
    codes = np.array([0, 0, 0, 0, 1, 1])
    assert majority_error(codes, labels, codes, labels) == pytest.approx(1 / 6)
    assert hungarian_error(codes, labels, codes, labels) == pytest.approx(1 / 6)


def test_the_best_matching_may_give_up_a_majority():
    # Code 0: nine 0 and eight 1; code 1: nine 0. Greedily 0->0; one to one 0->1, 1->0 is better.
    codes = np.repeat([0, 0, 1], [9, 8, 9])
    labels = np.repeat([0, 1, 0], [9, 8, 9])
    assert hungarian_error(codes, labels, codes, labels) == pytest.approx(9 / 26)
    assert majority_error(codes, labels, codes, labels) == pytest.approx(8 / 26)


@BOTH
def test_the_matching_is_made_on_training_images(error):
    codes, labels = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1])
    assert error(codes, labels, codes, 1 - labels) == 1


@BOTH
def test_a_code_never_seen_in_training_is_an_error(error):
    codes = np.array([0, 0, 2, 2])
    assert (
        error(codes, np.array([0, 0, 1, 1]), np.array([0, 1, 2, 7]), np.array([0, 0, 1, 1])) == 0.5
    )


@BOTH
def test_wrong_arguments_are_refused(error):
    good = np.array([0, 1])
    with pytest.raises(ShapeError, match=r"training codes must be \[2\]"):
        error(np.array([0]), good, good, good)
    with pytest.raises(DataError, match="test labels run from -1"):
        error(good, good, good, np.array([-1, 0]))
    with pytest.raises(ShapeError, match="training codes"):
        error(np.eye(2), good, good, good)
    with pytest.raises(DataError, match="test labels: none given"):
        error(good, good, good[:0], good[:0])
