"""Classifier score, and classes covered with their KL, for 10 and for 1000 classes."""

import numpy as np
import pytest

from minigan.errors import ConfigError, DataError, ShapeError
from minigan.metrics import classifier_score, label_distribution, modes_and_kl


def test_clear_and_even_answers_score_as_many_as_there_are_classes():
    assert classifier_score(np.tile(np.eye(10), (5, 1))) == pytest.approx(10)


def test_one_class_alone_or_no_idea_scores_one():
    assert classifier_score(np.tile(np.eye(10)[3], (50, 1))) == pytest.approx(1)
    assert classifier_score(np.full((50, 10), 0.1)) == pytest.approx(1)


def test_a_score_by_hand():
    p = np.array([[0.9, 0.1], [0.3, 0.7]])
    mean = np.array([0.6, 0.4])
    expected = np.exp((p * np.log(p / mean)).sum(1).mean())
    assert classifier_score(p) == pytest.approx(expected)


def test_real_digits_score_nearly_ten(reading):
    assert 9.6 < classifier_score(reading.probabilities) < 10


def test_all_classes_in_the_datas_shares():
    counts = np.array([3, 1, 2, 4])
    found = modes_and_kl(np.repeat(np.arange(4), counts), counts, n_classes=4)
    assert found.covered == 4
    assert found.kl == pytest.approx(0, abs=1e-12)


def test_collapse_to_some_of_a_thousand_classes():
    # m of 1000 classes evenly: KL(generated || uniform) = ln(1000 / m).
    found = modes_and_kl(np.tile(np.arange(50), 4), n_classes=1000)
    assert found.covered == 50
    assert found.kl == pytest.approx(np.log(1000 / 50))


def test_the_kl_runs_from_generated_to_data():
    found = modes_and_kl(np.array([0, 0, 0, 1]), np.array([0.5, 0.5]), n_classes=2)
    assert found.kl == pytest.approx(0.75 * np.log(1.5) + 0.25 * np.log(0.5))


def test_counts_and_probabilities_are_the_same_reference():
    labels = np.array([0, 1, 1, 2])
    assert modes_and_kl(labels, np.array([20, 50, 30]), 3) == pytest.approx(
        modes_and_kl(labels, np.array([0.2, 0.5, 0.3]), 3)
    )


def test_label_distribution():
    np.testing.assert_allclose(label_distribution(np.array([0, 2, 2, 1]), 4), [0.25, 0.25, 0.5, 0])


def test_wrong_probabilities_are_refused():
    with pytest.raises(DataError, match="apply a softmax"):
        classifier_score(np.array([[3.0, -1.0], [0.5, 0.5]]))
    with pytest.raises(DataError, match="0 rows"):
        classifier_score(np.empty((0, 10)))
    with pytest.raises(ShapeError, match=r"\(10,\)"):
        classifier_score(np.full(10, 0.1))


def test_wrong_labels_and_references_are_refused():
    labels = np.array([0, 1])
    with pytest.raises(DataError, match=r"labels run from 0 to 10: expected 0..9"):
        modes_and_kl(np.array([0, 10]))
    with pytest.raises(DataError, match="none given"):
        modes_and_kl(np.array([], dtype=np.int64))
    with pytest.raises(DataError, match="float64: pass integers"):
        modes_and_kl(np.array([0.0, 1.0]))
    with pytest.raises(ShapeError, match=r"reference must be \[10\]"):
        modes_and_kl(labels, np.ones(9))
    with pytest.raises(DataError, match="not all 0"):
        modes_and_kl(labels, np.zeros(10))
    with pytest.raises(DataError, match="class 1 was generated"):
        modes_and_kl(labels, np.array([1, 0]), n_classes=2)
    with pytest.raises(ConfigError, match="n_classes is 0"):
        modes_and_kl(labels, n_classes=0)
