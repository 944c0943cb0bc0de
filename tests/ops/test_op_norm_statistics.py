"""Running statistics of the norms, and dropout's: what a training pass leaves behind."""

from __future__ import annotations

import numpy as np
import pytest

import minigan as mg
from minigan import ops


def images(shape, dtype=np.float64):
    return np.random.default_rng(1).standard_normal(shape).astype(dtype) * 2 + 1


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 5), (2, 3, 4, 4)])
@pytest.mark.parametrize("momentum", [0.1, 0.8, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batch_norm_running_statistics(torch, shape, momentum, dtype):
    mean, var = mg.zeros(3, dtype=dtype), mg.ones(3, dtype=dtype)
    want_mean, want_var = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    memory = mean.numpy()
    for step in range(3):
        x = images(shape, dtype) * (step + 1)
        y = ops.batch_norm(mg.tensor(x), mean, var, training=True, momentum=momentum)
        want = torch.nn.functional.batch_norm(
            torch.tensor(x, dtype=torch.float64), want_mean, want_var, training=True,
            momentum=momentum,
        )  # fmt: skip
        tolerance = 1e-5 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(y.numpy(), want.numpy(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(mean.numpy(), want_mean.numpy(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(var.numpy(), want_var.numpy(), rtol=tolerance, atol=tolerance)
    assert mean.dtype == dtype and mean.numpy() is memory, "updated in place, in its dtype"


@pytest.mark.parametrize("momentum", [0.1, 0.5])
def test_instance_norm_running_statistics(torch, momentum):
    x = images((3, 2, 4, 3))
    mean, var = mg.zeros(2, dtype="float64"), mg.ones(2, dtype="float64")
    want_mean, want_var = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    ops.instance_norm(mg.tensor(x), mean, var, momentum=momentum)
    torch.nn.functional.instance_norm(torch.tensor(x), want_mean, want_var, momentum=momentum)
    np.testing.assert_allclose(mean.numpy(), want_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(var.numpy(), want_var.numpy(), rtol=1e-12)


def test_eval_leaves_the_statistics_alone():
    mean, var = mg.full((3,), 0.5), mg.full((3,), 2.0)
    before = mean._version[0], var._version[0]
    ops.batch_norm(mg.randn(4, 3), mean, var)
    assert mean.tolist() == [0.5] * 3 and var.tolist() == [2.0] * 3
    assert (mean._version[0], var._version[0]) == before


def test_statistics_carry_no_graph():
    mean, var = mg.zeros(3), mg.ones(3)
    ops.batch_norm(mg.randn(4, 3, requires_grad=True), mean, var, training=True)
    assert not mean.requires_grad and not var.requires_grad and mean.grad_fn is None


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_expectation(p):
    x = mg.ones(100, 200)
    y = ops.dropout(x, p).numpy()
    kept = y != 0
    assert abs(kept.mean() - (1 - p)) < 0.01
    np.testing.assert_allclose(y[kept], 1 / (1 - p), rtol=1e-6)


def test_dropout2d_drops_whole_channels():
    y = ops.dropout2d(mg.ones(20, 30, 3, 2), 0.5).numpy()
    flat = y.reshape(600, 6)
    assert ((flat == 0).all(1) | (flat == 2.0).all(1)).all()
    assert 0.4 < (flat[:, 0] == 0).mean() < 0.6


def test_dropout_draws_anew_and_repeats_with_the_seed():
    x = mg.ones(100)
    mg.manual_seed(1)
    first, second = ops.dropout(x).tolist(), ops.dropout(x).tolist()
    mg.manual_seed(1)
    assert first != second and ops.dropout(x).tolist() == first
    own = ops.dropout(x, generator=mg.Generator(2)).tolist()
    assert ops.dropout(x, generator=mg.Generator(2)).tolist() == own


def test_dropout_gradient_uses_the_mask_of_the_forward():
    x = mg.ones(50, requires_grad=True)
    y = ops.dropout(x, 0.5)
    y.backward(mg.ones(50))
    assert x.grad.tolist() == y.tolist()
