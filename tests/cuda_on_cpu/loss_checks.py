"""Checks of the losses: rows below and above a warp, extreme logits, labels to be ignored."""

import numpy as np

from minigan.backends import cuda, reference
from tests.cuda_on_cpu.harness import close, normal

FILES = ("loss.cu",)
ROWS = [(1, 1), (9, 10), (3, 32), (17, 70), (0, 4)]


def check_softplus(device):
    x = 30 * normal(5, 61).T
    x[:4, 0] = np.inf, -np.inf, np.nan, 0
    for beta in (1.0, 2.5):
        np.testing.assert_allclose(cuda.softplus(x, beta), reference.softplus(x, beta), rtol=1e-6)
        close(cuda.softplus_backward(normal(61, 5), 3 * normal(61, 5), beta),
              reference.softplus_backward(normal(61, 5), 3 * normal(61, 5), beta))  # fmt: skip


def check_log_softmax(device):
    for shape in ROWS:
        x, grad = 5 * normal(*shape), normal(*shape, seed=1)
        y = reference.log_softmax(x, 1)
        close(cuda.log_softmax(x + 1e4, -1), reference.log_softmax(x + 1e4, 1))
        close(cuda.log_softmax_backward(grad, y, 1), reference.log_softmax_backward(grad, y, 1))
    x = normal(2, 3, 4)
    for axis in (0, 1, 2, -3):
        close(cuda.log_softmax(x, axis), reference.log_softmax(x, axis))
        close(cuda.log_softmax_backward(x, -x, axis), reference.log_softmax_backward(x, -x, axis))
    x[1, 2, 3] = np.nan
    np.testing.assert_array_equal(np.isnan(cuda.log_softmax(x, 2)),
                                  np.isnan(reference.log_softmax(x, 2)))  # fmt: skip


def check_cross_entropy(device):
    for rows, classes in ROWS:
        x, grad = 5 * normal(rows, classes), normal(rows, seed=1)
        labels = np.random.default_rng(0).integers(0, classes, rows)
        labels[1::4] = -100
        for index in (labels, labels.astype(np.int32)):
            close(cuda.cross_entropy(x, index, -100), reference.cross_entropy(x, index, -100))
            close(cuda.cross_entropy_backward(grad, x, index, -100),
                  reference.cross_entropy_backward(grad, x, index, -100))  # fmt: skip


def check_labels_that_are_none(device):
    """On a GPU nobody reads the labels before: a wrong one must show."""
    loss = cuda.cross_entropy(normal(3, 4), np.array([4, -1, 2]), -100)
    np.testing.assert_array_equal(np.isnan(loss), [True, True, False])


def check_float64_is_computed_by_the_reference(device):
    x = normal(3, 4).astype(np.float64)
    assert cuda.softplus(x, 1.0).dtype == np.float64
    assert cuda.log_softmax(x, 1).dtype == np.float64
    assert cuda.cross_entropy(x, np.zeros(3, np.int64), -100).dtype == np.float64


CHECKS = (
    check_softplus,
    check_log_softmax,
    check_cross_entropy,
    check_labels_that_are_none,
    check_float64_is_computed_by_the_reference,
)
DEFECTS = {
    "the maximum of half a warp": (
        ("loss.cu", "distance >>= 1) {", "distance >>= 2) {"), "[Nn]ot equal"),
    "a row too many": (
        ("loss.cu", "if (row >= rows) return;  // the whole warp", ""), "BOUNDS"),
    "labels are read where they are no class": (
        ("loss.cu", "label >= 0 && label < classes ?", "label == label ?"), "BOUNDS|equal"),
    "every lane writes the loss": (
        ("loss.cu", "if (threadIdx.x & 31) return;", ""), "RACE"),
}  # fmt: skip
