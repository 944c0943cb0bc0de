"""A Function of one's own, as docs/architecture.md describes it, and what the engine checks."""

from __future__ import annotations

import numpy as np
import pytest

import minigan as mg
from minigan.autograd import Function, grad, gradcheck, gradgradcheck
from minigan.errors import GradError, ShapeError
from minigan.tensor import Tensor


class Swish(Function):
    """y = x sigmoid(beta x); dx = dy (s + beta x s (1 - s)) with s = sigmoid(beta x)."""

    saves = (0,)
    fused_calls = 0

    def __init__(self, beta: float) -> None:
        self.beta = beta

    def forward(self, x):
        s = 1.0 / (1.0 + np.exp(-self.beta * x))
        self.cache = s
        return x * s

    def backward(self, grad: Tensor) -> Tensor:
        (x,) = self.saved
        s = (x * self.beta).sigmoid()
        return grad * (s + x * s * (1.0 - s) * self.beta)

    def backward_arrays(self, grad):
        Swish.fused_calls += 1
        x, s = self.saved[0]._array, self.cache
        return grad * (s + self.beta * x * s * (1.0 - s))


def swish(x: Tensor, beta: float = 1.0) -> Tensor:
    return Swish(beta)(x)


def leaf(*shape: int) -> Tensor:
    return Tensor._wrap(np.random.default_rng(0).standard_normal(shape)).requires_grad_()


def test_first_and_second_order():
    assert gradcheck(lambda x: swish(x, 1.5), leaf(2, 3))
    assert gradgradcheck(lambda x: swish(x, 1.5), leaf(2, 3))


def test_the_fused_rule_runs_unless_the_backward_is_recorded():
    x = leaf(2, 3)
    before = Swish.fused_calls
    (fused,) = grad(swish(x).sum(), x)
    assert Swish.fused_calls == before + 1
    (composite,) = grad(swish(x).sum(), x, create_graph=True)
    assert Swish.fused_calls == before + 1
    np.testing.assert_allclose(fused.numpy(), composite.detach().numpy(), rtol=1e-12)


class Twice(Function):
    """y = a + b, whose rule hands one new array to both."""

    def forward(self, a, b):
        return a + b

    def backward(self, grad: Tensor) -> tuple[Tensor, Tensor]:
        return grad * 1.0, grad * 1.0

    def backward_arrays(self, grad):
        new = grad.copy()
        return new, new


def test_sums_of_gradients_change_no_other_gradient():
    """A gradient that arrives later is added in place, but only to memory of its own."""
    a, b = leaf(3), leaf(3)
    older = a * 3.0
    (older + Twice()(a, b)).sum().backward()
    assert a.grad.tolist() == [4.0] * 3 and b.grad.tolist() == [1.0] * 3


class Constant(Function):
    """y = x . c; its only rule may return what it keeps, as one on tensors always could."""

    def __init__(self, c: Tensor) -> None:
        self.c = c

    def forward(self, x):
        return (x * self.c._array).sum()

    def backward(self, grad: Tensor) -> Tensor:
        return self.c


def test_sums_of_gradients_change_nothing_that_a_rule_keeps():
    x, c = leaf(3), leaf(3).detach()
    before = c.numpy().copy()
    (x.sum() + Constant(c)(x)).backward()
    np.testing.assert_array_equal(c.numpy(), before)
    np.testing.assert_allclose(x.grad.numpy(), before + 1.0)


def test_a_cache_is_freed_with_what_was_saved():
    x = leaf(2)
    y = swish(x).sum()
    y.backward()
    with pytest.raises(GradError, match="Swish a second time"):
        y.backward()


def test_nothing_is_kept_where_nothing_is_recorded():
    op = Swish(1.0)
    with mg.no_grad():
        y = op(leaf(2))
    assert op._cache is None and op.edges == () and y.grad_fn is None


def test_one_instance_is_one_node():
    op, x = Swish(1.0), leaf(2)
    op(x)
    with pytest.raises(GradError, match="Swish: this instance .* make one for each call"):
        op(x)


def test_a_rule_with_too_few_gradients():
    class Product(Function):
        """y = a b, whose rule forgets b."""

        saves = (0, 1)

        def forward(self, a, b):
            return a * b

        def backward(self, grad):
            return grad * self.saved[1]

    with pytest.raises(GradError, match="Product: its backward returned 1 gradients for 2 inputs"):
        Product()(leaf(2), leaf(2)).sum().backward()


def test_a_rule_whose_gradient_has_the_wrong_shape():
    class Spread(Function):
        """y = a + b, broadcast, not summed back."""

        def forward(self, a, b):
            return a + b

        def backward(self, grad):
            return grad, grad

    a, b = leaf(2, 3), leaf(3)
    message = r"gradient of shape \(2, 3\) for a tensor of shape \(3,\)"
    with pytest.raises(ShapeError, match=message):
        Spread()(a, b).sum().backward()
    with pytest.raises(ShapeError, match=message):
        grad(Spread()(a, b).sum(), b)


def test_a_rule_may_return_nothing():
    class Step(Function):
        """y = 1 where x > 0, else 0: no gradient."""

        def forward(self, x):
            return (x > 0).astype(x.dtype)

        def backward(self, grad):
            return None

    x = leaf(3)
    (Step()(x) * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), (x.detach().numpy() > 0).astype(float))


def test_without_rules_the_error_names_the_function():
    class Nothing(Function):
        """Neither forward nor backward."""

    with pytest.raises(TypeError, match="Nothing defines no forward"):
        Nothing()(leaf(2))


def test_the_representation_names_the_last_function():
    assert "grad_fn=<Swish>" in repr(swish(leaf(2)))
