"""Checks of nearest upsampling and its adjoint."""

import numpy as np

from minigan.backends import cuda, reference
from tests.cuda_on_cpu.harness import close, normal

FILES = ("resample.cu",)


def check_both(device):
    for shape, scale in (
        ((2, 3, 4, 5), (2, 2)),
        ((1, 2, 3, 2), (3, 1)),
        ((3, 1, 5, 7), (1, 4)),
        ((1, 1, 1, 1), (2, 3)),
        ((0, 2, 3, 3), (2, 2)),
    ):
        x = normal(*shape).swapaxes(0, 1)
        y = reference.upsample_nearest(x, scale)
        np.testing.assert_array_equal(cuda.upsample_nearest(x, scale), y, strict=True)
        grad = normal(*y.shape)
        close(cuda.block_sum(grad, scale), reference.block_sum(grad, scale))


def check_float64_is_computed_by_the_reference(device):
    x = normal(1, 2, 4, 4).astype(np.float64)
    assert cuda.upsample_nearest(x, (2, 2)).dtype == np.float64
    assert cuda.block_sum(x, (2, 2)).dtype == np.float64


CHECKS = (check_both, check_float64_is_computed_by_the_reference)
DEFECTS = {
    "a thread past the end": (
        ("resample.cu", "if (i >= n) return;", "if (i > n) return;"), "BOUNDS"),
    "rows of another factor": (("resample.cu", "row / sh * width", "row / sw * width"), "qual|BOU"),
    "a row of the block is forgotten": (("resample.cu", "r < sh; r++", "r + 1 < sh; r++"), "qual"),
}  # fmt: skip
