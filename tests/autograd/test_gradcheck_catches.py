"""The checker is checked: planted wrong rules must be caught, right ones must pass."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from op_samples import as_tensor

from minigan import ops
from minigan.autograd import Function, gradcheck, gradgradcheck
from minigan.errors import DTypeError, MiniganError
from minigan.ops.elementwise import cos, sin
from minigan.ops.shape import sum_to
from minigan.tensor import Tensor


def real(*shape: int) -> Tensor:
    return as_tensor(np.asarray(np.random.default_rng(3).standard_normal(shape)), True)


class Sine(Function):
    """y = sin x, with the right rule; the wrong ones below differ in one thing each."""

    saves: tuple = (0,)

    def forward(self, x):
        return np.sin(x)

    def backward(self, grad):
        return grad * cos(self.saved[0])


class Factor(Sine):
    """Off by a thousandth."""

    def backward(self, grad):
        return grad * cos(self.saved[0]) * 1.001


class Sign(Sine):
    """The sign of a single element is wrong."""

    def backward(self, grad):
        flip = np.ones(grad.shape)
        flip.flat[0] = -1.0
        return grad * cos(self.saved[0]) * Tensor._wrap(flip)


class ForgottenUpstream(Sine):
    """The local derivative alone: right only where the upstream gradient is 1."""

    def backward(self, grad):
        return cos(self.saved[0])


class ProductWithMissingTerm(Function):
    """y = a b c, whose gradient by c forgets a."""

    saves = (0, 1, 2)

    def forward(self, a, b, c):
        return a * b * c

    def backward(self, grad):
        a, b, c = self.saved
        return grad * b * c, grad * a * c, grad * b


class AddWithoutAxisSum(Function):
    """y = a + b, broadcast; the gradient of b is not summed back."""

    def forward(self, a, b):
        return a + b

    def backward(self, grad):
        return grad, grad


class AddWithWrongAxisSum(Function):
    """y = a + b for a [3,3], b [3]; sums over the wrong axis, so that every shape fits."""

    def forward(self, a, b):
        return a + b

    def backward(self, grad):
        return grad, grad.sum(1)


class CentreByConstant(Function):
    """y = x - mean(x), the mean taken for a constant."""

    def forward(self, x):
        return x - x.mean()

    def backward(self, grad):
        return grad


class SoftmaxTimesThree(Function):
    """Right with an upstream of ones, where the gradient is 0 whatever its factor."""

    saves = ("output",)

    def forward(self, x):
        e = np.exp(x - x.max())
        return e / e.sum()

    def backward(self, grad):
        (y,) = self.saved
        return y * (grad - (grad * y).sum()) * 3.0


class ConstantInSecondOrder(Sine):
    """First order right; the derivative of the rule is lost, as cos(x) is taken for a constant."""

    def backward(self, grad):
        return grad * cos(self.saved[0].detach())


class WrongSignInSecondOrder(Sine):
    """First order right; cos(x) is rebuilt so that its derivative is +sin(x)."""

    def backward(self, grad):
        x = self.saved[0]
        c = cos(x.detach())
        return grad * (2.0 * c - cos(x))


class UpstreamConstantInSecondOrder(Sine):
    """First order right; the upstream gradient does not pass through the second order."""

    def backward(self, grad):
        return grad.detach() * cos(self.saved[0])


class Nondeterministic(Sine):
    """Another last bit at each call."""

    calls = 0

    def backward(self, grad):
        Nondeterministic.calls += 1
        return grad * cos(self.saved[0]) * (1.0 + 1e-15 * (Nondeterministic.calls % 2) * 10)


FIRST_ORDER = {
    "factor": (lambda x: Factor()(x), [real(2, 3)]),
    "sign": (lambda x: Sign()(x), [real(2, 3)]),
    "upstream": (lambda x: ForgottenUpstream()(x), [real(2, 3)]),
    "missing term": (lambda *x: ProductWithMissingTerm()(*x), [real(2), real(2), real(2)]),
    "missing axis sum": (lambda a, b: AddWithoutAxisSum()(a, b), [real(2, 3), real(3)]),
    "wrong axis sum": (lambda a, b: AddWithWrongAxisSum()(a, b), [real(3, 3), real(3)]),
    "constant mean": (lambda x: CentreByConstant()(x), [real(4)]),
    "softmax": (lambda x: SoftmaxTimesThree()(x), [real(4)]),
    "nondeterministic": (lambda x: Nondeterministic()(x), [real(4)]),
}  # fmt: skip
SECOND_ORDER = {
    "constant": lambda x: ConstantInSecondOrder()(x),
    "sign": lambda x: WrongSignInSecondOrder()(x),
    "upstream": lambda x: UpstreamConstantInSecondOrder()(x),
}


def test_the_right_rule_passes():
    assert gradcheck(lambda x: Sine()(x), real(2, 3))
    assert gradgradcheck(lambda x: Sine()(x), real(2, 3))


@pytest.mark.parametrize("planted", FIRST_ORDER)
def test_a_wrong_first_order_rule_is_caught(planted):
    fn, inputs = FIRST_ORDER[planted]
    with pytest.raises(MiniganError):
        gradcheck(fn, inputs)


@pytest.mark.parametrize("planted", SECOND_ORDER)
def test_a_wrong_second_order_rule_is_caught_at_second_order_only(planted):
    assert gradcheck(SECOND_ORDER[planted], real(2, 3))
    with pytest.raises(MiniganError):
        gradgradcheck(SECOND_ORDER[planted], real(2, 3))


@pytest.mark.parametrize("name", ["batch_norm", "row_norm"])
def test_a_norm_whose_deviation_is_constant_is_caught_at_second_order(monkeypatch, name):
    """The mistake of more than one engine: first order right, r taken for a constant in it."""
    norm = importlib.import_module("minigan.ops.norm")  # the name is also an operation's
    monkeypatch.setattr(norm, "rsqrt", lambda x: ops.rsqrt(x).detach())
    if name == "batch_norm":

        def fn(x):
            return ops.batch_norm(x, None, None, training=True)

    else:

        def fn(x):
            return ops.layer_norm(x, (4,))

    assert gradcheck(fn, real(3, 4))
    with pytest.raises(MiniganError):
        gradgradcheck(fn, real(3, 4))


def test_the_message_names_the_input_and_both_numbers():
    with pytest.raises(MiniganError, match=r"input 0 of shape \(2, 3\): backward gives .*finite"):
        gradcheck(lambda x: Factor()(x), real(2, 3))


def test_an_unused_input_must_have_no_influence():
    class Forgotten(Function):
        """y = a b; claims that b has no gradient."""

        saves = (0, 1)

        def forward(self, a, b):
            return a * b

        def backward(self, grad):
            return grad * self.saved[1], None

    with pytest.raises(MiniganError, match="input 1"):
        gradcheck(lambda a, b: Forgotten()(a, b), [real(2), real(2)])
    assert gradcheck(lambda a, b: sin(a), [real(2), real(2)])


def test_only_float64_and_only_with_gradients():
    with pytest.raises(DTypeError, match="input 0 is float32"):
        gradcheck(sin, as_tensor(np.ones(2, np.float32), True))
    with pytest.raises(MiniganError, match="requires_grad=True"):
        gradcheck(sin, as_tensor(np.ones(2), False))
    with pytest.raises(MiniganError, match="no output"):
        gradcheck(lambda x: x.detach(), real(2))


def test_several_outputs_and_fixed_arguments():
    fixed = as_tensor(np.ones(3), False)

    def fn(a, scale, b):
        return [a * scale * fixed, sum_to(a * b, (1,))]

    assert gradcheck(fn, [real(3), 2.0, real(3)]) and gradgradcheck(fn, [real(3), 2.0, real(3)])
