"""Values at the edge: huge logits, constant channels, zero scales, a gradient norm of zero."""

from __future__ import annotations

import numpy as np
import pytest
from op_samples import as_tensor

import minigan as mg
from minigan import ops
from minigan.autograd import grad
from minigan.tensor import Tensor


def leaf(values, dtype=np.float32) -> Tensor:
    return as_tensor(np.asarray(values, dtype), True)


def finite_to_second_order(fn, *inputs: Tensor) -> None:
    """Value, gradient and gradient of the gradient's square are finite."""
    out = fn(*inputs)
    gradients = grad(out.sum(), inputs, create_graph=True)
    penalty = sum(((g * g).sum() for g in gradients), start=mg.tensor(0.0))
    second = grad(penalty, inputs, allow_unused=True) if penalty.requires_grad else ()
    for t in (out, *gradients, *(g for g in second if g is not None)):
        assert np.isfinite(t._array).all()


HUGE = [[1e4, -1e4], [0.0, 30.0]]


@pytest.mark.parametrize("target", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_cross_entropy_with_huge_logits(target, dtype):
    x = leaf(HUGE, dtype)
    t = mg.full((2, 2), target, dtype=dtype)
    loss = ops.binary_cross_entropy_with_logits(x, t, reduction="none")
    np.testing.assert_allclose(loss.detach()[0], [1e4 * (1 - target), 1e4 * target], rtol=1e-6)
    (g,) = grad(loss.sum(), x)
    np.testing.assert_allclose(g[0], [1 - target, -target], rtol=1e-6, atol=1e-7)
    finite_to_second_order(lambda x: ops.binary_cross_entropy_with_logits(x, t), x)


def test_cross_entropy_with_huge_logits():
    x = leaf([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]])
    labels = mg.tensor([1, 0])
    loss = ops.cross_entropy(x, labels, reduction="none")
    np.testing.assert_allclose(loss.detach(), [2e4, np.log(3)], rtol=1e-6)
    finite_to_second_order(lambda x: ops.cross_entropy(x, labels), x)


@pytest.mark.parametrize("fn", [ops.sigmoid, ops.tanh, ops.softplus, ops.elu,
                                lambda x: ops.softmax(x, 1), lambda x: ops.log_softmax(x, 1),
                                lambda x: ops.logsumexp(x, 1)])  # fmt: skip
def test_activations_with_huge_inputs(fn):
    finite_to_second_order(fn, leaf(HUGE))


def test_bce_at_certain_probabilities_is_cut_as_in_pytorch():
    p = leaf([0.0, 1.0])
    loss = ops.binary_cross_entropy(p, mg.tensor([1.0, 0.0]), reduction="none")
    assert loss.tolist() == [100.0, 100.0]


NORMS = {
    "batch_norm": lambda x, w, b: ops.batch_norm(x, None, None, w, b, training=True),
    "instance_norm": lambda x, w, b: ops.instance_norm(x, weight=w, bias=b),
    "group_norm": lambda x, w, b: ops.group_norm(x, 1, w, b),
    "layer_norm": lambda x, w, b: ops.layer_norm(x, (2, 3, 3)),
}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("value", [0.0, 7.0, 1e4])
def test_constant_channels(norm, value):
    x = leaf(np.full((3, 2, 3, 3), value))
    y = NORMS[norm](x, mg.ones(2), mg.zeros(2))
    np.testing.assert_allclose(y.detach(), 0.0, atol=1e-3)
    finite_to_second_order(lambda x: NORMS[norm](x, mg.ones(2), mg.zeros(2)), x)


@pytest.mark.parametrize("norm", ["batch_norm", "instance_norm", "group_norm"])
def test_a_scale_of_zero_still_learns(norm):
    rng = np.random.default_rng(0)
    x, w = leaf(rng.standard_normal((3, 2, 3, 3))), leaf(np.zeros(2))
    u = as_tensor(rng.standard_normal((3, 2, 3, 3)).astype(np.float32), False)
    grad_x, grad_w = grad((NORMS[norm](x, w, mg.zeros(2)) * u).sum(), [x, w], create_graph=True)
    assert not np.any(grad_x._array) and np.all(grad_w._array != 0)
    (cross,) = grad(grad_x.square().sum() + grad_w.square().sum(), x)
    assert np.isfinite(cross._array).all()


def test_variance_does_not_cancel_far_from_zero():
    """float32 values around 1000 with a spread of 0.01 are still normalised."""
    rng = np.random.default_rng(0)
    values = (1000 + 0.01 * rng.standard_normal((64, 2, 4, 4))).astype(np.float32)
    y = ops.batch_norm(mg.tensor(values), None, None, training=True, eps=1e-12).numpy()
    wide = values.astype(np.float64)
    axes = (0, 2, 3)
    want = (wide - wide.mean(axes, keepdims=True)) / wide.std(axes, keepdims=True)
    np.testing.assert_allclose(y, want, atol=2e-2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [3, 9])  # few pixels, and many: kernels of their own
def test_a_normalised_activation_of_what_is_no_number(size, dtype):
    shape = (2, 2, size, size)
    for slope in (0.0, 0.2):
        x = leaf(np.full(shape, np.nan), dtype)
        y = ops.batch_norm_activation(x, None, None, negative_slope=slope)
        assert np.isnan(y.detach().numpy()).all()
    x = leaf(np.random.default_rng(5).standard_normal(shape), dtype)
    weight, bias = leaf(np.ones(2), dtype), leaf(np.full(2, -np.inf), dtype)
    y = ops.batch_norm_activation(x, None, None, weight, bias)  # ReLU of -infinity
    upstream = as_tensor(np.full(shape, np.inf, dtype), False)
    for value in (y, *grad(y, [x, weight, bias], upstream)):
        np.testing.assert_array_equal(value.detach().numpy(), 0)


def test_norm_of_a_zero_gradient_has_a_finite_gradient():
    """The gradient penalty of a critic that ignores one of its inputs."""
    w = leaf([[0.0, 0.0], [3.0, 4.0]], np.float64)
    penalty = ((ops.norm(w, dim=1) - 1.0) ** 2).sum()
    (g,) = grad(penalty, w, create_graph=True)
    np.testing.assert_allclose(g.detach(), [[0.0, 0.0], [4.8, 6.4]])
    (gg,) = grad(g.square().sum(), w)
    assert np.isfinite(gg._array).all()


@pytest.mark.parametrize("name", ["std", "norm"])
def test_root_of_zero(name):
    x = leaf(np.zeros((2, 3)))
    (g,) = grad(getattr(ops, name)(x), x)
    assert g.tolist() == [[0.0] * 3] * 2


def test_not_a_number_is_passed_on():
    x = mg.tensor([np.nan, 1.0])
    for fn in (ops.relu, ops.sigmoid, ops.tanh, ops.exp, ops.abs):
        assert np.isnan(fn(x).tolist()).tolist() == [True, False]
    assert np.isnan(x.max().item()) and np.isnan(x.sum().item())


def test_division_and_roots_follow_ieee_without_warnings():
    x = mg.tensor([0.0, -1.0])
    assert (1.0 / x).tolist() == [np.inf, -1.0]
    assert ops.log(x).tolist()[0] == -np.inf and np.isnan(ops.log(x).tolist()[1])
    assert np.isnan(ops.sqrt(x).tolist()[1])
    assert (x**-1).tolist() == [np.inf, -1.0]
