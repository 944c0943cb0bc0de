"""ACGAN trains on the emulated CUDA kernels as it does on the CPU."""

import numpy as np
import pytest

from minigan import backends, models
from minigan.backends.cuda import precision
from tests.cuda_on_cpu.small_models import REFERENCE_ACGAN


@pytest.fixture
def exact(monkeypatch):
    """No tensor cores, whose rounding Adam's first steps would make large."""
    monkeypatch.setattr(precision, "_chosen", ["fp32"])


def two_steps(device):
    gan = models.create("acgan", batch_size=8, seed=3, device=device, **REFERENCE_ACGAN)
    rng = np.random.default_rng(0)
    for _ in range(2):
        images = rng.uniform(-1, 1, (8, 1, 32, 32)).astype(np.float32)
        losses = gan.step((images, rng.integers(0, 10, 8)))
    weights = [p.detach().numpy().copy() for n in gan.networks.values() for p in n.parameters()]
    return {name: float(value) for name, value in losses.items()}, weights


def test_acgan_trains_two_steps_as_on_the_cpu(gpu, exact):
    losses, weights = two_steps("cuda")
    with backends.use_backend("reference"):
        expected_losses, expected_weights = two_steps("cpu")
    assert losses == pytest.approx(expected_losses, rel=1e-5)
    # Adam's first steps are lr * sign(gradient), so that a rounding error can move a weight by lr.
    moved = [np.abs(a - b) for a, b in zip(weights, expected_weights, strict=True)]
    assert max(difference.max() for difference in moved) <= 2 * 2 * 2e-4
    assert np.mean(np.concatenate([difference.ravel() for difference in moved])) < 1e-7
    families = {"conv", "norm_", "matmul", "adam", "philox", "upsample"}
    silent = {f for f in families if not any(kernel.startswith(f) for kernel in gpu.launched)}
    assert not silent
