"""Checks of what works with positions: maxima of windows, sums into places, repeating borders."""

import numpy as np

from minigan.backends import cuda, reference
from tests.cuda_on_cpu.harness import close, normal

FILES = ("pad.cu", "pool.cu", "scatter.cu")

# shape, kernel, stride, padding, dilation, output
POOLS = [
    ((2, 3, 6, 7), (2, 2), (2, 2), (0, 0), (1, 1), (3, 3)),
    ((1, 2, 7, 5), (3, 3), (2, 1), (1, 1), (1, 1), (4, 5)),
    ((1, 1, 9, 8), (2, 3), (1, 2), (0, 1), (2, 1), (7, 4)),
    ((2, 1, 5, 5), (2, 2), (2, 2), (0, 0), (1, 1), (3, 3)),  # the last windows hang over
    ((0, 1, 5, 5), (2, 2), (2, 2), (0, 0), (1, 1), (2, 2)),
]


def check_max_pool(device):
    rng = np.random.default_rng(0)
    for shape, *geometry in POOLS:
        # Few values make ties, and some windows hold nothing but -inf.
        few = rng.choice([-np.inf, 0.0, 1.0, np.nan], size=shape).astype(np.float32)
        for x in (normal(*shape), few, few[..., ::-1]):
            ours = cuda.max_pool2d_indices(x, *geometry)
            theirs = reference.max_pool2d_indices(x, *geometry)
            np.testing.assert_array_equal(ours, theirs, strict=True)


def check_scatter(device):
    rng = np.random.default_rng(0)
    for m, length, size in (
        (1, 1, 1),
        (3, 50, 7),
        (2, 300, 200),
        (4, 5, 300),
        (0, 4, 3),
        (3, 0, 4),
    ):
        values, index = normal(m, length), rng.integers(0, size, (m, length))
        close(cuda.scatter_add_last(values, index, size),
              reference.scatter_add_last(values, index, size))  # fmt: skip
    for length, width, size in ((1, 1, 1), (50, 7, 5), (6, 300, 4), (0, 3, 2), (5, 0, 2)):
        values, index = normal(width, length).T, rng.integers(0, size, length)
        close(cuda.scatter_add_rows(values, index.astype(np.int32), size),
              reference.scatter_add_rows(values, index, size))  # fmt: skip


def check_pad(device):
    for shape, widths in (
        ((2, 3, 5, 7), (1, 1, 1, 1)),
        ((1, 2, 4, 5), (3, 2, 0, 3)),
        ((1, 1, 9, 8), (3, 3, 3, 3)),
        ((1, 2, 3, 3), (2, 2, 2, 2)),
        ((2, 2, 4, 3), (0, 0, 0, 0)),
        ((0, 2, 4, 3), (1, 0, 0, 1)),
    ):
        for mode in ("reflect", "replicate", "circular"):
            x = normal(*shape)
            y = reference.pad2d(x, widths, mode)
            np.testing.assert_array_equal(cuda.pad2d(x, widths, mode), y)
            grad = normal(*y.shape, seed=1)
            close(cuda.pad2d_adjoint(grad, shape[2:], widths, mode),
                  reference.pad2d_adjoint(grad, shape[2:], widths, mode))  # fmt: skip


def check_other_dtypes(device):
    x = normal(1, 2, 4, 4).astype(np.float64)
    assert cuda.pad2d(x, (1, 1, 1, 1), "reflect").dtype == np.float64
    assert cuda.scatter_add_rows(x[0, 0], np.arange(4), 4).dtype == np.float64
    assert cuda.scatter_add_last(x[0, 0], np.zeros((4, 4), np.int64), 4).dtype == np.float64
    cuda.max_pool2d_indices(x, (2, 2), (2, 2), (0, 0), (1, 1), (2, 2))


CHECKS = (check_max_pool, check_scatter, check_pad, check_other_dtypes)
DEFECTS = {
    "two threads add in one place": (
        ("scatter.cu", "(to & 127) == (int)threadIdx.x", "(l & 127) == (int)threadIdx.x"), "RACE"),
    "a place of another row": (
        ("scatter.cu", "out += (size_t)blockIdx.x * size;", ""), "RACE"),
    "windows outside the image": (
        ("pool.cu", "if ((unsigned)h >= (unsigned)p.H) continue;", ""), "BOUNDS|[Nn]ot equal"),
    "a later equal value wins": (("pool.cu", "value > largest", "value >= largest"), "not equal"),
    "the far border is forgotten": (
        ("pad.cu", "i < before + n + after", "i < before + n"), "Not equal"),
    "one thread too many": (("pad.cu", "if (i >= n) return;\n  const int width", "const int width"),
                            "BOUNDS"),
}  # fmt: skip
