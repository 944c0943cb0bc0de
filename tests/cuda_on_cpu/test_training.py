"""ACGAN trains on the emulated CUDA kernels as it does on the CPU."""

import platform
import shutil
import sys

import numpy as np
import pytest

import minigan
from minigan import backends, models
from minigan.backends import reference
from minigan.backends.cuda.launch import use_launcher
from tests.cuda_on_cpu import emulator

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None or platform.machine() != "x86_64" or sys.platform != "linux",
    reason="the emulator needs g++ on 64-bit x86 Linux",
)


class Counting(emulator.Emulator):
    """Says which kernels were launched."""

    def __init__(self, library):
        super().__init__(library)
        self.launched = set()

    def launch(self, file, kernel, *rest):
        self.launched.add(kernel)
        super().launch(file, kernel, *rest)


@pytest.fixture
def cuda_kernels(tmp_path, monkeypatch):
    """The CUDA backend's kernels in the place of the CPU's."""
    monkeypatch.setitem(backends._MODULES, "cuda", "minigan.backends.cuda")
    device = Counting(emulator.build("plain", tmp_path))
    with use_launcher(device), backends.use_backend("cuda"):
        yield device
    backends.backend.cache_clear()


def two_steps():
    minigan.manual_seed(3)
    gan = models.create("acgan", batch_size=8)
    rng = np.random.default_rng(0)
    for _ in range(2):
        images = rng.uniform(-1, 1, (8, 1, 32, 32)).astype(np.float32)
        losses = gan.step((images, rng.integers(0, 10, 8)))
    weights = [p.detach().numpy().copy() for n in gan.networks.values() for p in n.parameters()]
    return {name: float(value) for name, value in losses.items()}, weights


def test_acgan_trains_two_steps_as_on_the_cpu(cuda_kernels):
    losses, weights = two_steps()
    with backends.use_backend("reference"):
        expected_losses, expected_weights = two_steps()
    assert losses == pytest.approx(expected_losses, rel=1e-5)
    # Adam's first steps are lr * sign(gradient), so that a rounding error can move a weight by lr.
    moved = [np.abs(a - b) for a, b in zip(weights, expected_weights, strict=True)]
    assert max(difference.max() for difference in moved) <= 2 * 2 * 2e-4
    assert np.mean(np.concatenate([difference.ravel() for difference in moved])) < 1e-7
    assert {"conv_forward", "conv_input_grad", "conv_weight_grad", "batch_norm", "matmul",
            "batch_norm_backward", "leaky_relu", "adam_steps", "philox_normal",
            "upsample_nearest", "block_sum"} <= cuda_kernels.launched  # fmt: skip
    assert vars(backends.backend("cuda"))["max_pool2d_indices"] is reference.max_pool2d_indices
