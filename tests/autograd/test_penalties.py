"""Gradient penalties: parameter gradients of a gradient's norm, on a convolutional critic.

Against finite differences in float64, and against PyTorch. These are gradients of gradients
through convolution, leaky ReLU, normalisation and a linear layer at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from op_samples import as_tensor

from minigan import ops
from minigan.autograd import grad, gradcheck
from minigan.tensor import Tensor

RNG = np.random.default_rng(11)
SHAPES = [(4, 2, 4, 4), (4,), (6, 4, 4, 4), (6,), (6,), (6,), (1, 24), (1,)]
PARAMETERS = [0.3 * RNG.standard_normal(s) for s in SHAPES]
REAL, FAKE = RNG.standard_normal((2, 3, 2, 8, 8))
MIX = RNG.uniform(size=(3, 1, 1, 1))


def critic(f: Any, x: Any, p: list[Any], norm: str) -> Any:
    """Three layers; `f` is minigan.ops or torch.nn.functional, which name these alike."""
    h = f.leaky_relu(f.conv2d(x, p[0], p[1], stride=2, padding=1), 0.2)
    h = f.conv2d(h, p[2], p[3], stride=2, padding=1)
    if norm == "batch":
        h = f.batch_norm(h, None, None, p[4], p[5], training=True)
    elif norm == "instance":
        h = f.instance_norm(h, weight=p[4], bias=p[5])
    elif norm == "layer":
        h = f.layer_norm(h, (6, 2, 2))
    h = f.leaky_relu(h, 0.2)
    return f.linear(h.flatten(1), p[6], p[7])


def wgan_gp(score: Callable[[Any], Any], take: Any, real: Any, fake: Any, mix: Any) -> Any:
    """Gulrajani et al. 2017: (|grad D(xhat)| - 1)^2 between real and fake images."""
    xhat = (real * mix + fake * (1.0 - mix)).detach().requires_grad_()
    (g,) = take(score(xhat).sum(), xhat, create_graph=True)
    norms = ((g * g).flatten(1).sum(1) + 1e-12).sqrt()
    return ((norms - 1.0) ** 2).mean()


def r1(score: Callable[[Any], Any], take: Any, real: Any, fake: Any, mix: Any) -> Any:
    """Mescheder et al. 2018: |grad D(x)|^2 / 2 at real images."""
    x = real.detach().requires_grad_()
    (g,) = take(score(x).sum(), x, create_graph=True)
    return (g * g).flatten(1).sum(1).mean() * 0.5


def r2(score: Callable[[Any], Any], take: Any, real: Any, fake: Any, mix: Any) -> Any:
    """The same at generated images."""
    return r1(score, take, fake, real, mix)


def dragan(score: Callable[[Any], Any], take: Any, real: Any, fake: Any, mix: Any) -> Any:
    """Kodali et al. 2017: WGAN-GP's penalty around real images."""
    return wgan_gp(score, take, real, real + 0.5 * fake, mix)


PENALTIES = {"wgan_gp": wgan_gp, "r1": r1, "r2": r2, "dragan": dragan}
NORMS = ["none", "batch", "instance", "layer"]


def minigan_penalty(name: str, norm: str, parameters: list[Tensor]) -> Tensor:
    data = [as_tensor(a, False) for a in (REAL, FAKE, MIX)]
    return PENALTIES[name](lambda x: critic(ops, x, parameters, norm), grad, *data)


def leaves() -> list[Tensor]:
    return [as_tensor(a.copy(), True) for a in PARAMETERS]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", PENALTIES)
def test_against_finite_differences(name, norm):
    assert gradcheck(lambda *p: minigan_penalty(name, norm, list(p)), leaves(), directions=1)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", PENALTIES)
def test_against_pytorch(torch, name, norm):
    ours = leaves()
    value = minigan_penalty(name, norm, ours)
    value.backward()
    theirs = [torch.tensor(a, requires_grad=True) for a in PARAMETERS]
    want = PENALTIES[name](
        lambda x: critic(torch.nn.functional, x, theirs, norm),
        torch.autograd.grad,
        *(torch.tensor(a) for a in (REAL, FAKE, MIX)),
    )
    want.backward()
    assert value.item() == pytest.approx(want.item(), rel=1e-12)
    for a, b in zip(ours, theirs, strict=True):
        got = np.zeros(a.shape) if a.grad is None else a.grad.numpy()
        expected = np.zeros(a.shape) if b.grad is None else b.grad.numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-10)


def test_a_penalty_reaches_the_weights():
    parameters = leaves()
    value = minigan_penalty("wgan_gp", "none", parameters)
    value.backward()
    assert all(np.any(parameters[i].grad.numpy()) for i in (0, 2, 6)), "every weight"
    assert parameters[7].grad is None, "the last bias does not change the gradient"


def test_a_penalty_and_a_loss_in_one_backward():
    """grad() first, then one backward through both: as a critic's step does."""
    parameters = leaves()
    score = critic(ops, as_tensor(REAL, False), parameters, "none").mean()
    (minigan_penalty("r1", "none", parameters) * 10.0 - score).backward()
    apart = leaves()
    (minigan_penalty("r1", "none", apart) * 10.0).backward()
    (-critic(ops, as_tensor(REAL, False), apart, "none").mean()).backward()
    for a, b in zip(parameters, apart, strict=True):
        if a.grad is not None:
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-10, atol=1e-12)
