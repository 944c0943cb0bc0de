"""Checks of the losses that compare two arrays: one block and several, equal elements, NaN."""

import numpy as np

from minigan.backends import cuda, reference
from tests.cuda_on_cpu.harness import close, normal

FILES = ("pair_loss.cu", "sum.cu")


def check_values_and_gradients(device):
    for kind in ("l1", "mse", "bce"):
        for shape in ((), (5, 7), (3, 4096), (0, 2), (4097,)):
            x, t = 3 * normal(*shape), normal(*shape, seed=1)
            if x.ndim and len(x):
                t[0] = x[0]  # where |x - t| has no slope
            x, t, grad = np.asarray(x), np.asarray(t), np.array(1.5, np.float32)
            close(cuda.pair_loss(kind, x, t, 0.3), reference.pair_loss(kind, x, t, 0.3))
            args = (kind, grad, x, t, 0.3)
            close(cuda.pair_loss_backward(*args), reference.pair_loss_backward(*args))


def check_not_a_number(device):
    x, one = np.full(3, np.nan, np.float32), np.array(1, np.float32)
    for kind in ("l1", "mse", "bce"):
        assert np.isnan(cuda.pair_loss(kind, x, x, 1.0))
        assert np.isnan(cuda.pair_loss_backward(kind, one, x, np.zeros_like(x), 1.0)).all()


def check_any_layout(device):
    x, t = normal(6, 5).T, normal(31)[1:].reshape(5, 6)
    close(cuda.pair_loss("mse", x, t, 1.0), reference.pair_loss("mse", x, t, 1.0))
    args = ("mse", np.array(2, np.float32), x, t, 1.0)
    close(cuda.pair_loss_backward(*args), reference.pair_loss_backward(*args))


CHECKS = (check_values_and_gradients, check_not_a_number, check_any_layout)
DEFECTS = {
    "the last block runs past the end": (
        ("pair_loss.cu", "(int)min((long long)ELEMENTS, n - begin)", "ELEMENTS"), "BOUNDS"),
    "all blocks leave their sum in one place": (
        ("pair_loss.cu", "out[blockIdx.x] = scale", "out[0] = scale"), "RACE|equal"),
    "the scale is forgotten": (
        ("pair_loss.cu", "grad = scale * *dloss", "grad = *dloss"), "equal"),
}  # fmt: skip
