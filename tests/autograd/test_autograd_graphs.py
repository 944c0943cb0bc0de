"""The engine on graphs of every form: what reaches a leaf, what is freed, what is refused."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import minigan as mg
from minigan import ops
from minigan.autograd import Function, grad
from minigan.errors import DTypeError, GradError, ShapeError


def leaf(*values: float) -> mg.Tensor:
    return mg.tensor(list(values), dtype="float64", requires_grad=True)


# --- forms ----------------------------------------------------------------------------------------
def test_the_same_tensor_twice():
    x = leaf(3.0)
    (x * x).sum().backward()
    assert x.grad.tolist() == [6.0]
    (y,) = grad((x + x - x * 3.0).sum(), x)
    assert y.tolist() == [-1.0]
    (y,) = grad((x + x).sum(), x)  # whose rule hands on one array twice
    assert y.tolist() == [2.0]


def test_shared_subexpression_is_walked_once():
    visits = []

    class Counted(Function):
        """y = x, counting its backwards."""

        def forward(self, x):
            return x.copy()

        def backward(self, grad):
            visits.append(grad.tolist())
            return grad

    x = leaf(2.0)
    shared = Counted()(x * x)
    (shared.sin() + shared * 3.0 + shared).sum().backward()
    assert len(visits) == 1, "a node waits until every consumer has added its share"
    assert x.grad.tolist() == pytest.approx([4.0 * (np.cos(4.0) + 4.0)])


def test_diamond():
    x = leaf(0.5)
    a = x.exp()
    b, c = a * 2.0, a.sin()
    (b * c).sum().backward()
    e = np.exp(0.5)
    assert x.grad.tolist() == pytest.approx([2 * e * (np.sin(e) + e * np.cos(e))])


def test_long_and_short_paths_to_one_leaf():
    """Ordered by depth alone, the short path would finish the leaf too early."""
    x = leaf(1.0)
    y = x
    for _ in range(10):
        y = y * 1.0
    (y + x).sum().backward()
    assert x.grad.tolist() == [2.0]


def test_many_outputs_and_upstreams():
    x = leaf(1.0, 2.0)
    u, v = mg.tensor([1.0, -1.0], dtype="float64"), mg.tensor([0.5, 3.0], dtype="float64")
    (g,) = grad([x * x, x.exp()], x, [u, v])
    np.testing.assert_allclose(g, [2.0 + 0.5 * np.e, -4.0 + 3.0 * np.exp(2.0)])
    (g,) = grad([x.sum(), x.sum()], x)
    assert g.tolist() == [2.0, 2.0]


def test_an_output_that_is_an_input():
    x = leaf(2.0)
    y = x * 3.0
    assert [g.tolist() for g in grad(y.sum(), [y, x])] == [[1.0], [3.0]]
    assert grad(x, x, mg.ones(1, dtype="float64"))[0].tolist() == [1.0]
    x.backward(mg.tensor([5.0], dtype="float64"))
    assert x.grad.tolist() == [5.0]


def test_an_input_in_the_middle_of_the_graph():
    x = leaf(2.0)
    y = x * x
    z = y * y
    gy, gx = grad(z.sum(), [y, x])
    assert (gy.tolist(), gx.tolist()) == ([8.0], [32.0])


def test_unused_inputs():
    x, unused = leaf(1.0), leaf(1.0)
    with pytest.raises(GradError, match=r"input 1 of shape \(1,\) was not used.*allow_unused=True"):
        grad((x * 2.0).sum(), [x, unused])
    g, none = grad((x * 2.0).sum(), [x, unused], allow_unused=True)
    assert g.tolist() == [2.0] and none is None
    (x * 2.0).sum().backward()
    assert unused.grad is None


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_zero_size_batches(shape):
    x = mg.zeros(*shape, requires_grad=True)
    w = mg.ones(3, shape[1], requires_grad=True)
    ops.leaky_relu(ops.linear(x, w), 0.2).sum().backward()
    assert x.grad.shape == shape and w.grad.shape == w.shape
    assert not np.any(w.grad.numpy())


def test_constants_stay_out_of_the_graph():
    x, constant = leaf(1.0), mg.ones(1, dtype="float64")
    y = x * constant
    assert y.grad_fn.edges[1] is None
    y.sum().backward()
    assert constant.grad is None


def test_a_detached_path_carries_nothing():
    x = leaf(3.0)
    y = x * x
    (y.detach() * x).sum().backward()
    assert x.grad.tolist() == [9.0]
    assert not y.detach().requires_grad


# --- .grad ----------------------------------------------------------------------------------------
def test_gradients_accumulate_until_they_are_cleared():
    x = leaf(2.0)
    for times in (1, 2, 3):
        (x * 5.0).sum().backward()
        assert x.grad.tolist() == [5.0 * times]
    x.grad = None
    (x * 5.0).sum().backward()
    assert x.grad.tolist() == [5.0]


def test_grad_touches_no_grad():
    x, w = leaf(2.0), leaf(3.0)
    y = w * x
    y.retain_grad()
    (g,) = grad((y * y).sum(), x, create_graph=True)
    grad(g.sum(), w)
    assert x.grad is None and w.grad is None and y.grad is None


def test_gradients_alias_nothing():
    """Not each other, not the upstream gradient, not what a hook has seen or returned."""
    a, b, c, d = leaf(1.0, 2.0), leaf(3.0, 4.0), leaf(5.0, 6.0), leaf(7.0, 8.0)
    seen, constant = [], mg.zeros(2, dtype="float64")
    a.register_hook(seen.append)
    c.register_hook(lambda g: constant)
    upstream = mg.tensor([1.0, -1.0], dtype="float64")
    middle = d + (a + b)
    middle.retain_grad()
    (middle + c.clone().reshape(2, 1).reshape(2)).backward(upstream)
    gradients = [t.grad.numpy() for t in (a, b, c, d, middle)]
    given = [upstream.numpy(), constant.numpy(), seen[0].numpy()]
    for i, one in enumerate(gradients):
        for other in gradients[:i] + given:
            assert not np.shares_memory(one, other)


class MakesViews(Function):
    """The sum of its inputs; its gradients are made by `rule`."""

    def __init__(self, rule):
        self.backward_arrays = rule

    def forward(self, *inputs):
        return sum(inputs)


@pytest.mark.parametrize(
    "rule, in_place",
    [
        (lambda g: (2 * g).reshape(1, 3).reshape(3), True),
        (lambda g: np.full(6, 2.0)[:3], True),
        (lambda g: np.full(6, 2.0)[::2], False),
        (lambda g: np.broadcast_to(np.array([2.0]), 3), False),
    ],
)
def test_a_new_gradient_is_added_to_where_it_lies(rule, in_place):
    """Also if it is a view of more memory, but not where its elements share some."""
    x, made = leaf(1.0, 2.0, 3.0), []

    def noted(grad):
        made.append(rule(grad))
        return made[-1]

    (MakesViews(noted)(x) + MakesViews(noted)(x)).sum().backward()
    assert x.grad.tolist() == [4.0, 4.0, 4.0]
    assert any(np.shares_memory(x.grad.numpy(), g) for g in made) is in_place


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_layers_weight_gradient_is_added_to_its_own_earlier_one_only(dtype):
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=shape).astype(dtype) for shape in ((4, 3), (4, 3), (5, 3))]
    first, second, scale = (mg.tensor(array) for array in arrays)
    weight = mg.zeros(5, 3, dtype=dtype, requires_grad=True)
    other = mg.zeros(5, 3, dtype=dtype, requires_grad=True)
    outputs = ops.linear(first, weight).sum() + ops.linear(second, weight).sum()
    outputs = outputs + ((weight + other) * scale).sum()  # one array for both, which comes first
    outputs.backward()
    sums = np.ones((4, 5)).T @ (arrays[0] + arrays[1])
    np.testing.assert_allclose(weight.grad.numpy(), sums + arrays[2], rtol=1e-5)
    np.testing.assert_array_equal(other.grad.numpy(), arrays[2])

    weight.grad = None
    (ops.linear(first, weight).sum() + ops.linear(second, weight).sum()).backward()
    np.testing.assert_allclose(weight.grad.numpy(), sums, rtol=1e-5)


def test_gradients_that_overlap_are_not_added_to_in_place():
    x, y = leaf(1.0, 1.0), leaf(1.0, 1.0)

    def overlapping(grad):
        whole = np.array([1.0, 2.0, 3.0])
        return whole[:2], whole[1:]

    (MakesViews(overlapping)(x, y) + MakesViews(overlapping)(y, x)).sum().backward()
    assert x.grad.tolist() == y.grad.tolist() == [3.0, 5.0]


def test_accumulating_leaves_the_earlier_gradient_alone():
    x = leaf(1.0)
    (x * 2.0).sum().backward()
    first = x.grad
    (x * 2.0).sum().backward()
    assert first.tolist() == [2.0] and x.grad.tolist() == [4.0]


def test_leaf_gradients_have_memory_of_their_own_shape():
    """A broadcast view as .grad would break an optimiser that works in place."""
    x = mg.ones(3, 4, requires_grad=True)
    x.sum().backward()
    x.grad.mul_(2.0)
    assert x.grad.is_contiguous() and x.grad.tolist() == [[2.0] * 4] * 3


# --- lifetime -------------------------------------------------------------------------------------
def test_a_chain_of_100_000_operations():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 0.0001
    y.sum().backward()
    assert x.grad.tolist() == [1.0]
    del y  # deallocation must not recurse either
    gc.collect()


def test_a_deep_chain_of_saving_operations_with_create_graph():
    x = leaf(1.0)
    y = x
    for _ in range(5_000):
        y = y * 0.9999
    (g,) = grad((y * y).sum(), x, create_graph=True)
    (gg,) = grad(g.sum(), x)
    assert gg.tolist() == pytest.approx([2 * 0.9999**10_000])


def activation_of(x: mg.Tensor) -> tuple[mg.Tensor, weakref.ref]:
    hidden = x * 2.0
    loss = (hidden * hidden).exp().sum()
    return loss, weakref.ref(hidden)


def test_activations_are_freed_by_backward():
    gc.disable()  # reference counts alone must do it: a cycle would wait for the collector
    try:
        loss, hidden = activation_of(leaf(0.1))
        assert hidden() is not None
        loss.backward()
        assert hidden() is None
    finally:
        gc.enable()


def test_the_graph_is_freed_with_the_loss_that_nobody_differentiates():
    gc.disable()
    try:
        loss, hidden = activation_of(leaf(0.1))
        node = weakref.ref(loss.grad_fn)
        del loss
        assert hidden() is None and node() is None
    finally:
        gc.enable()


def test_retain_grad_keeps_no_tensor_alive():
    x = leaf(1.0)
    y = x * 2.0
    y.retain_grad()
    z, dead = y * 3.0, weakref.ref(y)
    del y
    gc.collect()
    assert dead() is not None, "z's rule has saved it"
    z.sum().backward()
    assert dead() is None and x.grad.tolist() == [6.0]


def test_a_second_backward_is_refused():
    x = leaf(2.0)
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(GradError, match="Mul a second time.*freed.*retain_graph=True"):
        loss.backward()


def test_a_second_backward_through_a_cache_is_refused():
    x = leaf(2.0)
    loss = x.clamp(0.0, 1.0).sum()
    loss.backward()
    with pytest.raises(GradError, match="Clamp a second time"):
        loss.backward()


def test_retain_graph():
    x = leaf(2.0)
    loss = (x * x).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert x.grad.tolist() == [8.0]
    with pytest.raises(GradError, match="second time"):
        loss.backward()


def test_create_graph_retains_unless_told_otherwise():
    x = leaf(2.0)
    loss = (x * x * x).sum()
    (g,) = grad(loss, x, create_graph=True)
    loss.backward()
    assert x.grad.tolist() == [12.0]
    (g,) = grad((x * x * x).sum(), x, create_graph=True, retain_graph=False)
    assert g.requires_grad


def test_backward_with_create_graph_gives_a_differentiable_grad():
    x = leaf(2.0)
    (x * x * x).sum().backward(create_graph=True)
    (gg,) = grad(x.grad.sum(), x)
    assert gg.tolist() == [12.0]
    x.grad = None  # the gradient leads to x and x to the gradient


# --- misuse ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("save", [
    lambda x: x * x, lambda x: x / x.detach(), ops.exp, ops.tanh, ops.sigmoid, ops.relu,
    lambda x: ops.leaky_relu(x, 0.2), lambda x: ops.matmul(x, x), lambda x: ops.softmax(x, 0),
])  # fmt: skip
def test_a_saved_tensor_that_changed_is_refused(save):
    x = mg.ones(2, 2, requires_grad=True)
    hidden = x * 1.0
    y = save(hidden)
    loss = y.sum()
    hidden.detach().add_(1.0)
    y.detach().add_(1.0)
    with pytest.raises(GradError, match=r"\(2, 2\) that its backward needs was changed in place"):
        loss.backward()


def test_a_change_through_a_view_is_noticed():
    x = mg.ones(2, 2, requires_grad=True)
    loss = (x * x).sum()
    x.detach()[0].zero_()
    with pytest.raises(GradError, match="changed in place"):
        loss.backward()


def test_a_parameter_update_between_forward_and_backward_is_noticed():
    """The common mistake: the optimiser steps, then an older loss is differentiated."""
    w = mg.ones(2, requires_grad=True)
    first, second = (w * w).sum(), (w * w).sum()
    first.backward()
    with mg.no_grad():
        w -= 0.1 * w.grad
    with pytest.raises(GradError, match="version 1, saved at 0"):
        second.backward()


def test_a_change_of_what_nobody_saved_is_fine():
    x = mg.ones(2, requires_grad=True)
    hidden = x * 1.0
    loss = (hidden + 1.0).sum()
    hidden.detach().add_(1.0)
    loss.backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_misuse_of_backward_and_grad():
    x = leaf(1.0, 2.0)
    with pytest.raises(GradError, match=r"only a scalar.*shape \(2,\): reduce it"):
        (x * 2.0).backward()
    with pytest.raises(GradError, match="does not require a gradient"):
        x.detach().sum().backward()
    with pytest.raises(ShapeError, match=r"gradient has shape \(3,\), the tensor \(2,\)"):
        (x * 2.0).backward(mg.ones(3, dtype="float64"))
    with pytest.raises(DTypeError, match="gradient is float32, the tensor float64"):
        (x * 2.0).backward(mg.ones(2))
    with pytest.raises(GradError, match="input 0 .* does not require a gradient"):
        grad(x.sum(), mg.ones(2))
    with pytest.raises(GradError, match="2 outputs need as many grad_outputs; got 1"):
        grad([x.sum(), x.sum()], x, [mg.tensor(1.0, dtype="float64")])


def test_misuse_of_requires_grad():
    x = leaf(1.0)
    y = x * 2.0
    with pytest.raises(GradError, match="use .detach()"):
        y.requires_grad = False
    with pytest.raises(GradError, match="numpy.*detach"):
        y.numpy()
    with pytest.raises(ShapeError, match=r"\.grad of a tensor of shape \(1,\)"):
        x.grad = mg.ones(2)
