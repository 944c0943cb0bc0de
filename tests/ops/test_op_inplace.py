"""Changes in place: what they do, what they refuse, and what they tell the backward."""

from __future__ import annotations

import numpy as np
import pytest

import minigan as mg
from minigan.autograd import no_grad
from minigan.errors import GradError, ShapeError

ARITHMETIC = {"add_": np.add, "sub_": np.subtract, "mul_": np.multiply, "div_": np.divide}


@pytest.mark.parametrize("name", ARITHMETIC)
@pytest.mark.parametrize("other", [2.0, [2.0, 4.0], [[3.0], [0.5]]])
def test_arithmetic(name, other):
    a = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    x, memory = mg.tensor(a), None
    memory = x.numpy()
    value = mg.tensor(other) if isinstance(other, list) else other
    assert getattr(x, name)(value) is x
    np.testing.assert_allclose(memory, ARITHMETIC[name](a, np.asarray(other, np.float32)))
    assert x.dtype == np.float32


def test_filling():
    x = mg.tensor([1.0, 2.0, -3.0])
    memory = x.numpy()
    assert x.clamp_(-1.0, 1.5).tolist() == [1.0, 1.5, -1.0]
    assert x.clamp_(min=0.0).tolist() == [1.0, 1.5, 0.0]
    assert x.fill_(4.0).tolist() == [4.0, 4.0, 4.0]
    assert x.zero_().tolist() == [0.0, 0.0, 0.0]
    assert x.copy_(mg.tensor([1.0, 2.0, 3.0])).tolist() == [1.0, 2.0, 3.0]
    x[1:] = 7.0
    x[mg.tensor([0])] = mg.tensor([9.0])
    assert memory.tolist() == [9.0, 7.0, 7.0]


def test_drawing():
    x = mg.empty(2000).normal_(3.0, 0.5)
    assert abs(float(x.mean()) - 3.0) < 0.1 and abs(float(x.std()) - 0.5) < 0.05
    y = mg.empty(2000).uniform_(-1.0, 1.0)
    assert -1.0 <= float(y.min()) < -0.9 < 0.9 < float(y.max()) < 1.0
    again = mg.empty(2000).normal_(3.0, 0.5, generator=mg.Generator(5))
    assert again.tolist() == mg.empty(2000).normal_(3.0, 0.5, generator=mg.Generator(5)).tolist()


@pytest.mark.parametrize("change", [
    lambda x: x.add_(1.0), lambda x: x.zero_(), lambda x: x.copy_(mg.zeros(2)),
    lambda x: x.clamp_(0.0, 1.0), lambda x: x.normal_(), lambda x: x.__setitem__(0, 1.0),
])  # fmt: skip
def test_refused_where_a_gradient_would_become_wrong(change):
    leaf = mg.ones(2, requires_grad=True)
    with pytest.raises(GradError, match="a leaf that requires a gradient.*no_grad"):
        change(leaf)
    with pytest.raises(GradError, match="result of an operation"):
        change(leaf * 2.0)
    with no_grad():
        change(leaf)
    assert leaf.tolist() != [1.0, 1.0] or leaf[0] == 1.0


def test_a_refused_change_leaves_the_values_and_the_version_alone():
    x = mg.ones(2)
    before = x._version[0]
    with pytest.raises(ShapeError, match=r"add_.*\(3, 2\).*\(2,\)"):
        x.add_(mg.ones(3, 2))
    with pytest.raises(ShapeError, match="copy_"):
        x.copy_(mg.ones(3))
    assert x.tolist() == [1.0, 1.0]
    assert x._version[0] == before


def test_augmented_assignment_is_in_place_only_where_nothing_is_recorded():
    x = alias = mg.ones(2)
    x += 1.0
    assert x is alias and alias.tolist() == [2.0, 2.0]
    w = mg.ones(2, requires_grad=True)
    y = alias = w * 2.0
    y += 1.0
    assert y is not alias and alias.tolist() == [2.0, 2.0] and y.tolist() == [3.0, 3.0]
    z = mg.zeros(2)
    z += w  # accumulating a recorded value into a fresh tensor
    assert z.requires_grad
    with pytest.raises(GradError):
        w += 1.0


def test_optimiser_style_updates():
    w = mg.ones(2, requires_grad=True)
    with no_grad():
        w -= 0.5 * mg.ones(2)
        w *= 2.0
    assert w.tolist() == [1.0, 1.0] and w.requires_grad and w.is_leaf


def test_views_share_the_version_of_their_memory():
    x = mg.ones(2, 3)
    views = [x.reshape(3, 2), x.T, x[0], x.detach(), x.flatten(), x.expand(4, 2, 3), x.data]
    before = x._version[0]
    x.add_(1.0)
    assert all(view._version[0] == before + 1 for view in views)
    assert x.clone()._version[0] == 0


def test_a_reshape_that_copies_does_not_share_memory():
    x = mg.ones(2, 3)
    y = x.T.reshape(6)
    x.zero_()
    assert y.tolist() == [1.0] * 6
