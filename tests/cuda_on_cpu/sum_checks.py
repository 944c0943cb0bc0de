"""Checks of the sums: all patterns of axes, chunks and pieces, other arrays by the reference."""

import itertools

import numpy as np

from minigan.backends import cuda, reference
from tests.cuda_on_cpu.harness import close, normal

FILES = ("sum.cu",)


def check_all_axes_of_small_arrays(device):
    for shape in ((), (5,), (3, 4), (2, 1, 5), (2, 3, 4, 5), (0, 3), (3, 0, 2), (1, 1)):
        x = normal(*shape)
        for count in range(x.ndim + 1):
            for axes in itertools.combinations(range(x.ndim), count):
                for keepdims in (False, True):
                    close(cuda.sum(x, axes, keepdims), reference.sum(x, axes, keepdims))


def check_large(device):
    for shape, axes in (
        ((2, 3, 64, 65), (0, 2, 3)),  # chunks, the last one not full
        ((3, 2, 41, 40), (0, 2, 3)),
        ((1, 9000), (0, 1)),
        ((2500, 40), (0,)),  # pieces
        ((2, 1030, 33), (1,)),
        ((3, 5, 300), (1, 2)),
    ):
        close(cuda.sum(normal(*shape), axes, False), reference.sum(normal(*shape), axes, False))


def check_other_arrays(device):
    for x in (np.arange(6).reshape(2, 3), normal(4, 3).astype(np.float64), normal(3, 4) > 0):
        close(cuda.sum(x, (0,), False), reference.sum(x, (0,), False))
    close(cuda.sum(normal(8, 6)[::2, ::-1].T, (1,), True),
          reference.sum(normal(8, 6)[::2, ::-1].T, (1,), True))  # fmt: skip


CHECKS = (check_all_axes_of_small_arrays, check_large, check_other_arrays)
DEFECTS = {
    "no barrier before the rows are added": (
        ("sum.cu", "sums[row][lane] = sum;\n  __syncthreads();", "sums[row][lane] = sum;"), "RACE"),
    "all chunks in one place": (
        ("sum.cu", "p.chunks + blockIdx.y] = total", "p.chunks] = total"), "RACE"),
    "columns past the last": (
        ("sum.cu", "  if (column < columns)\n    for", "    for"), "BOUNDS"),
    "the last piece runs into the next image": (
        ("sum.cu", "min(rows, (int)(blockIdx.y + 1) * PIECE)", "(int)(blockIdx.y + 1) * PIECE"),
        "BOUNDS|Not equal"),
}  # fmt: skip
SANITIZER_DEFECTS = {
    "one row of sums too few": ("sum.cu", "sums[ROWS][COLUMNS + 1]", "sums[ROWS - 1][COLUMNS + 1]"),
}
