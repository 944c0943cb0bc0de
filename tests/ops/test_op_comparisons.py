"""Comparisons and the truth of tensors: bools without gradients."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import minigan as mg
from minigan.errors import ShapeError

SYMBOLS = ["eq", "ne", "lt", "le", "gt", "ge"]


@pytest.mark.parametrize("name", SYMBOLS)
@pytest.mark.parametrize("other", [0.0, 1, [0.0, 1.0, 2.0], [[1.0], [0.0]]])
def test_as_numpy(name, other):
    compare = getattr(operator, name)
    a = np.array([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]], np.float32)
    right = mg.tensor(other) if isinstance(other, list) else other
    want = compare(a, np.asarray(other, np.float32))
    for result in (compare(mg.tensor(a), right), getattr(mg.tensor(a), name)(right)):
        assert result.dtype == np.bool_
        np.testing.assert_array_equal(result, want)
    x = mg.tensor(a, requires_grad=True)
    assert not compare(x, right).requires_grad


def test_numbers_and_arrays_on_the_left():
    x = mg.tensor([1.0, 2.0])
    assert (1.5 < x).tolist() == [False, True]  # noqa: SIM300
    assert (np.array([1.0, 3.0]) == x).tolist() == [True, False]


def test_invert_and_reductions():
    x = mg.tensor([True, False])
    assert (~x).tolist() == [False, True]
    assert x.any() and not x.all()
    assert not mg.tensor([0.0]).any()


def test_the_truth_of_many_elements_is_ambiguous():
    assert bool(mg.tensor([3.0])) and not bool(mg.tensor(0))
    with pytest.raises(ShapeError, match=r"shape \(2,\) is ambiguous"):
        bool(mg.tensor([1.0, 0.0]))


def test_a_tensor_is_a_dictionary_key_by_identity():
    a, b = mg.ones(2), mg.ones(2)
    assert {a: 1, b: 2}[b] == 2 and len({a, b}) == 2
