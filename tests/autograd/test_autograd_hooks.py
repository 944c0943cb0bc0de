"""Hooks on gradients: order, replacement, removal, leaves and computed tensors, retain_grad."""

from __future__ import annotations

import pytest

import minigan as mg
from minigan.autograd import grad
from minigan.errors import GradError, ShapeError


def leaf(value: float = 2.0) -> mg.Tensor:
    return mg.tensor([value], dtype="float64", requires_grad=True)


@pytest.mark.parametrize("computed", [False, True])
def test_a_hook_sees_the_complete_gradient_once(computed):
    x = leaf()
    y = x * 1.0 if computed else x
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    (y * 3.0 + y * y).sum().backward()
    assert seen == [[7.0]] and x.grad.tolist() == [7.0]


@pytest.mark.parametrize("computed", [False, True])
def test_hooks_run_in_order_and_each_may_replace(computed):
    x = leaf()
    y = x * 1.0 if computed else x
    seen = []
    y.register_hook(lambda g: g * 10.0)
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.register_hook(lambda g: g + 1.0)
    (y * 3.0).sum().backward()
    assert seen == [[30.0]] and x.grad.tolist() == [31.0]


@pytest.mark.parametrize("computed", [False, True])
def test_removal(computed):
    x = leaf()
    y = x * 1.0 if computed else x
    first = y.register_hook(lambda g: g * 10.0)
    second = y.register_hook(lambda g: g + 1.0)
    second.remove()
    second.remove()
    third = y.register_hook(lambda g: g - 1.0)
    second.remove()  # takes out its own hook only, however often
    (y * 3.0).sum().backward(retain_graph=True)
    assert x.grad.tolist() == [29.0]
    x.grad = None
    first.remove()
    third.remove()
    (y * 3.0).sum().backward()
    assert x.grad.tolist() == [3.0]


def test_a_hook_may_remove_itself():
    x = leaf()
    calls = []

    def once(g):
        calls.append(g.tolist())
        handle.remove()

    handle = x.register_hook(once)
    for _ in range(2):
        (x * 3.0).sum().backward()
    assert calls == [[3.0]]


def test_hooks_run_for_autograd_grad_too():
    x = leaf()
    y = x * 2.0
    y.register_hook(lambda g: g * 10.0)
    x.register_hook(lambda g: g + 0.5)
    gy, gx = grad((y * 3.0).sum(), [y, x])
    assert (gy.tolist(), gx.tolist()) == ([30.0], [60.5])


def test_a_hook_inside_create_graph_is_recorded():
    x = leaf()
    x.register_hook(lambda g: g * g)
    (g,) = grad((x * x).sum(), x, create_graph=True)
    assert g.tolist() == [16.0]  # (2x)^2
    (gg,) = grad(g.sum(), x, allow_unused=True)
    assert gg.tolist() == [(8.0 * 2.0) ** 2], "d(4 x^2)/dx = 8x, and its hook squares that"


def test_misuse():
    with pytest.raises(GradError, match="hook needs a tensor that requires a gradient"):
        mg.ones(1).register_hook(print)
    x = leaf()
    x.register_hook(lambda g: mg.ones(3))
    with pytest.raises(ShapeError, match=r"hook returned shape \(3,\).*\(1,\)"):
        (x * 2.0).sum().backward()


def test_retain_grad():
    x = leaf()
    y = x * 2.0
    y.retain_grad()
    y.register_hook(lambda g: g * 10.0)  # registered later, and still before the gradient is kept
    (y * y).sum().backward()
    assert y.grad.tolist() == [80.0] and x.grad.tolist() == [160.0]
    (x * 2.0).sum().backward()
    assert y.grad.tolist() == [80.0]


def test_retain_grad_twice_and_on_a_leaf():
    x = leaf()
    x.retain_grad()
    y = x * 2.0
    y.retain_grad()
    y.retain_grad()
    (y * 3.0).sum().backward()
    assert y.grad.tolist() == [3.0] and x.grad.tolist() == [6.0]
