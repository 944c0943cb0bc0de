"""ACGAN's step with the convolutions of a GPU that copies asynchronously and has tensor cores."""

import numpy as np
import pytest

from minigan import backends, models
from minigan.backends.cuda import precision
from tests.cuda_on_cpu.small_models import REFERENCE_ACGAN


def one_step(device):
    """Losses, and each network's gradients."""
    gan = models.create("acgan", batch_size=4, seed=3, device=device, **REFERENCE_ACGAN)
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (4, 1, 32, 32)).astype(np.float32)
    result = gan.step((images, rng.integers(0, 10, 4)))
    losses = np.array([float(result[name]) for name in ("d_loss", "g_loss")])
    return losses, [
        np.concatenate([p.grad.numpy().ravel() for p in network.parameters() if p.grad is not None])
        for network in gan.networks.values()
    ]


# Rounding moves some units across the kink of their ReLU: with operands rounded to TF32 in NumPy,
# the generator's gradient moves by 4%.
@pytest.mark.parametrize("chosen, tolerance", [("fp32", 1e-4), ("tf32", 0.1)])
def test_acgan_steps_in_the_precision_chosen(gpu, chosen, tolerance, monkeypatch):
    monkeypatch.setattr(precision, "_chosen", [chosen])
    monkeypatch.setattr(gpu, "capability", (9, 0))
    losses, gradients = one_step("cuda")
    with backends.use_backend("reference"):
        expected_losses, expected_gradients = one_step("cpu")
    np.testing.assert_allclose(losses, expected_losses, rtol=tolerance / 10)
    for actual, expected in zip(gradients, expected_gradients, strict=True):
        assert np.linalg.norm(actual - expected) < tolerance * np.linalg.norm(expected)
    for operation in ("forward", "input_grad", "weight_grad"):
        names = [f"conv_{operation}_{other}_" for other in precision.PRECISIONS]
        used = {name for name in names if any(k.startswith(name) for k in gpu.launched)}
        assert used == {f"conv_{operation}_{chosen}_"}
