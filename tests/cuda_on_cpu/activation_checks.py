"""Checks of the activations: full quads and the rest, any address, special values."""

import numpy as np

from minigan.backends import cuda, reference
from tests.cuda_on_cpu.harness import close, normal

FILES = ("activation.cu",)
KERNELS = (("relu", ()), ("leaky_relu", (0.2,)), ("tanh", ()), ("sigmoid", ()))


def _both(name, *args):
    return getattr(cuda, name)(*args), getattr(reference, name)(*args)


def check_values_and_gradients(device):
    for name, slope in KERNELS:
        for shape in ((), (3,), (3, 5, 37), (2, 2048), (0, 4)):
            x, grad = 30 * normal(*shape), normal(*shape, seed=1)
            ours, y = _both(name, np.asarray(x), *slope)
            np.testing.assert_allclose(ours, y, rtol=3e-7, atol=1e-37, strict=True)
            of = x if name == "leaky_relu" else y
            close(*_both(f"{name}_backward", grad, np.asarray(of), *slope))


def check_any_layout(device):
    for name, slope in KERNELS:
        at_any_address, gaps = normal(130)[1:], normal(4, 6).T
        for x in (at_any_address, gaps):
            close(*_both(name, x, *slope))
            close(*_both(f"{name}_backward", x, x, *slope))


def check_special_values(device):
    x = np.array([0, -0.0, np.inf, -np.inf, np.nan], np.float32)
    for name, slope in KERNELS:
        np.testing.assert_array_equal(*_both(name, x, *slope))


CHECKS = (check_values_and_gradients, check_any_layout, check_special_values)
DEFECTS = {
    "the last quad runs past the end": (
        ("elements.cuh", "aligned && i + 4 <= n", "aligned && i < n"), "BOUNDS"),
    "the rest is forgotten": (
        ("elements.cuh", "j < i + 4 && j < n", "j < n - 4"), "Not equal"),
    "the negative side is cut": (
        ("activation.cu", "v > 0.f ? v : slope * v", "v > 0.f ? v : 0.f * slope"), "Not equal"),
}  # fmt: skip
SANITIZER_DEFECTS = {
    "quads at any address": ("elements.cuh", "% sizeof(float4) == 0", "% sizeof(float) == 0"),
}
