"""Kept transforms of weights: found again, never stale, and not without bound."""

import numpy as np
import pytest

from minigan.backends import reference
from minigan.backends.cpu import winograd, winograd_kept, winograd_plan
from minigan.backends.cpu.winograd_kept import kept


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(winograd_kept, "_kept", type(winograd_kept._kept)())


class Transform:
    """Counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, weight, stride):
        self.calls += 1
        return weight * stride


def some_weight(seed=0, shape=(4, 3, 5, 5)):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def test_the_same_weights_are_transformed_once():
    transform, weight = Transform(), some_weight()
    first = kept(transform, weight, 2)
    assert kept(transform, weight, 2) is first and transform.calls == 1
    np.testing.assert_array_equal(first, weight * 2)
    np.testing.assert_array_equal(kept(transform, weight, 1), weight)
    assert transform.calls == 2


@pytest.mark.parametrize("at", [0, 137, -1])
def test_one_changed_bit_is_noticed(at):
    transform, weight = Transform(), some_weight()
    weight.reshape(-1)[at] = 0.0
    kept(transform, weight, 2)
    weight.reshape(-1)[at] = -0.0
    np.testing.assert_array_equal(np.signbit(kept(transform, weight, 2)), np.signbit(weight))
    assert transform.calls == 2


def test_nan_equals_itself():
    transform, weight = Transform(), np.full((2, 2, 3, 3), np.nan, np.float32)
    kept(transform, weight, 1)
    kept(transform, weight, 1)
    assert transform.calls == 1


def test_other_weights_in_the_same_memory():
    memory = some_weight()
    transform = Transform()
    kept(transform, memory, 2)
    memory[:] = other = some_weight(1)
    np.testing.assert_array_equal(kept(transform, memory, 2), other * 2)


def test_a_view_that_lies_apart_is_taken_by_its_values():
    transform, weight = Transform(), some_weight(shape=(3, 4, 5, 5)).transpose(1, 0, 2, 3)
    np.testing.assert_array_equal(kept(transform, weight, 2), weight * 2)


def test_the_bytes_are_bounded_and_what_is_in_use_stays(monkeypatch):
    weights = [some_weight(seed) for seed in range(4)]
    monkeypatch.setattr(winograd_kept, "_MOST_BYTES", 3 * 2 * weights[0].nbytes)
    transform = Transform()
    for _ in range(2):  # in turns, of which a newcomer would push out each before it comes again
        for weight in weights:
            kept(transform, weight, 2)
    assert transform.calls == 5 and len(winograd_kept._kept) == 3
    weights[0][:] = 1  # an update takes its own place
    kept(transform, weights[0], 2)
    kept(transform, weights[0], 2)
    assert transform.calls == 6


def test_what_is_no_longer_used_goes(monkeypatch):
    weights = [some_weight(seed) for seed in range(4)]
    monkeypatch.setattr(winograd_kept, "_MOST_BYTES", 3 * 2 * weights[0].nbytes)
    monkeypatch.setattr(winograd_kept, "_UNUSED", 4)
    transform = Transform()
    for which in (0, 1, 2, 0, 2, 0, 2, 3):  # 1 was last used six uses before
        kept(transform, weights[which], 2)
    assert transform.calls == 4 and len(winograd_kept._kept) == 3
    for which in (3, 0, 2):
        kept(transform, weights[which], 2)
    assert transform.calls == 4


def test_weights_that_are_too_large_are_not_kept(monkeypatch):
    monkeypatch.setattr(winograd_kept, "_MOST_BYTES", 100)
    assert kept(Transform(), some_weight(), 2) is not None
    assert not winograd_kept._kept


def test_a_convolution_sees_an_update_of_its_weights(monkeypatch):
    """Both maps that read weights, before and after each of two updates in place."""
    calls = []
    transform = winograd_plan.to_points
    monkeypatch.setattr(winograd_plan, "to_points", lambda *a: calls.append(1) or transform(*a))
    rng = np.random.default_rng(3)
    x, weight = rng.standard_normal((2, 8, 9, 9), np.float32), some_weight(4, (256, 8, 3, 3))
    grad = rng.standard_normal((2, 256, 9, 9), np.float32)
    window = (1, 1), (1, 1), (1, 1), 1
    for update in (0.0, 0.5, -0.25):
        weight += np.float32(update)
        out = winograd.conv2d(x, weight, None, 1, (1, 1), (9, 9))
        back = winograd.conv2d_input_grad(grad, weight, None, 1, (1, 1), (9, 9))
        expected = reference.conv2d(x, weight, None, *window)
        np.testing.assert_allclose(out, expected, atol=2e-5 * np.abs(expected).max())
        expected = reference.conv2d_input_grad(grad, weight, None, (9, 9), *window)
        np.testing.assert_allclose(back, expected, atol=2e-5 * np.abs(expected).max())
    assert len(calls) == 3


def test_many_tiles_keep_nothing():
    x, weight = np.zeros((64, 8, 64, 64), np.float32), some_weight(4, (8, 8, 3, 3))
    winograd.conv2d(x, weight, None, 1, (1, 1), (64, 64))
    assert not winograd_kept._kept
