"""Only the gradients that somebody asked for are computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

import minigan as mg
from minigan import backends, ops
from minigan.autograd import grad


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    """How often each kernel runs."""
    count: Counter = Counter()
    table = backends.kernels_for(None)

    def counted(name: str, kernel):
        def run(*args, **kwargs):
            count[name] += 1
            return kernel(*args, **kwargs)

        return run

    for name in backends.NAMES:
        monkeypatch.setattr(table, name, counted(name, getattr(table, name)))
    yield count


def critic(x: mg.Tensor, weights: list[mg.Tensor]) -> mg.Tensor:
    for w in weights[:-1]:
        x = ops.leaky_relu(ops.conv2d(x, w, stride=2, padding=1), 0.2)
    return ops.linear(x.flatten(1), weights[-1])


def parameters() -> list[mg.Tensor]:
    return [
        mg.randn(4, 2, 4, 4, requires_grad=True),
        mg.randn(6, 4, 4, 4, requires_grad=True),
        mg.randn(1, 24, requires_grad=True),
    ]


def test_a_discriminator_step_computes_no_image_gradient(calls):
    loss = critic(mg.randn(2, 2, 8, 8), parameters()).mean()
    calls.clear()
    loss.backward()
    assert calls["conv2d_weight_grad"] == 2
    assert calls["conv2d_input_grad"] == 1, "not for the images, which ask for no gradient"


def test_a_generator_step_computes_no_weight_gradient_of_the_critic(calls):
    """As with requires_grad_(False) on the critic while the generator learns."""
    frozen = [w.detach() for w in parameters()]
    fake = mg.randn(2, 2, 8, 8, requires_grad=True)
    loss = critic(fake, frozen).mean()
    calls.clear()
    loss.backward()
    assert calls["conv2d_input_grad"] == 2 and calls["conv2d_weight_grad"] == 0
    assert fake.grad is not None


def test_a_gradient_by_the_images_leaves_the_weights_out(calls):
    """autograd.grad walks towards its inputs only, although the weights ask for gradients."""
    x = mg.randn(2, 2, 8, 8, requires_grad=True)
    weights = parameters()
    out = critic(x, weights)
    calls.clear()
    (g,) = grad(out.sum(), x, create_graph=True)
    assert calls["conv2d_weight_grad"] == 0 and calls["conv2d_input_grad"] == 2
    (g.square().sum()).backward()
    assert all(w.grad is not None for w in weights)


def test_a_gradient_by_the_weights_leaves_the_images_out(calls):
    x = mg.randn(2, 2, 8, 8, requires_grad=True)
    weights = parameters()
    out = critic(x, weights)
    calls.clear()
    grad(out.sum(), weights[1])
    assert calls["conv2d_weight_grad"] == 1 and calls["conv2d_input_grad"] == 0


@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_batch_norm_returns_what_was_asked_for(wanted):
    tensors = [mg.randn(4, 3), mg.ones(3), mg.zeros(3)]
    tensors[wanted].requires_grad_()
    y = ops.batch_norm(tensors[0], None, None, *tensors[1:], training=True)
    (y * mg.randn(4, 3)).sum().backward()
    assert [t.grad is not None for t in tensors] == [i == wanted for i in range(3)]


def test_needs_follow_each_walk_anew():
    """The same retained graph, asked for different inputs."""
    x, w = mg.randn(2, 3, requires_grad=True), mg.randn(4, 3, requires_grad=True)
    y = ops.linear(x, w).square().sum()
    only_x = grad(y, x, retain_graph=True)[0].tolist()
    only_w = grad(y, w, retain_graph=True)[0].tolist()
    both = grad(y, [x, w])
    assert [g.tolist() for g in both] == [only_x, only_w]
