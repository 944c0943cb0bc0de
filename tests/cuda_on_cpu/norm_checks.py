"""Checks of the normalisations: one and several chunks a channel, single values and quads."""

import numpy as np

from minigan.backends import cuda, reference
from tests.cuda_on_cpu.harness import close, normal

FILES = ("norm.cu",)
SHAPES = [
    (1, 1),
    (4, 3),
    (300, 2),
    (2, 3, 5, 7),
    (3, 2, 4, 4),
    (0, 3, 2, 2),
    (2, 0, 3, 3),
    (1, 2, 64, 65),  # two chunks, the second with 64 values
    (3, 2, 41, 40),  # chunks begin inside an image, in quads
    (3, 1, 37, 43),  # and in single values
    (5000, 1),
]
SLOPES = (0.0, 0.2, 1.0)


def _affine(channels, wanted):
    return (normal(channels), normal(channels, seed=3)) if wanted else (None, None)


def _all_close(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        close(a, b)


def check_batch_norm(device):
    for i, shape in enumerate(SHAPES):
        x, grad = 3 + normal(*shape), normal(*shape, seed=1)[..., ::-1]
        weight, bias = _affine(shape[1], i % 2 == 0)
        forward = reference.batch_norm(x, weight, bias, 1e-5)
        _all_close(cuda.batch_norm(x, weight, bias, 1e-5), forward)
        args = (grad, x, weight, *forward[1:], 1e-5)
        _all_close(cuda.batch_norm_backward(*args), reference.batch_norm_backward(*args))


def check_batch_norm_activation(device):
    for i, shape in enumerate(SHAPES):
        x, grad = 3 + normal(*shape), normal(*shape, seed=1)
        weight, bias = _affine(shape[1], i % 2 == 1)
        for slope in SLOPES:
            y, mean, var = reference.batch_norm_activation(x, weight, bias, 1e-5, slope)
            ours = cuda.batch_norm_activation(x, weight, bias, 1e-5, slope)
            _all_close(ours, (y, mean, var))
            args = (grad, x, y, weight, bias, mean, var, 1e-5, slope)
            _all_close(cuda.batch_norm_activation_backward(*args),
                       reference.batch_norm_activation_backward(*args))  # fmt: skip


def check_rows(device):
    for shape in ((1, 1), (4, 35), (3, 64), (2, 8192), (2, 4097), (0, 5), (3, 0)):
        x, grad = 2 + normal(*shape), normal(*shape, seed=1)
        xhat, mean, var = reference.row_norm(x, 1e-5)
        _all_close(cuda.row_norm(x, 1e-5), (xhat, mean, var))
        close(
            cuda.row_norm_backward(grad, xhat, var, 1e-5),
            reference.row_norm_backward(grad, xhat, var, 1e-5),
        )


def check_an_address_that_is_no_multiple_of_16(device):
    x = normal(129)[1:].reshape(2, 4, 4, 4)
    _all_close(cuda.batch_norm(x, None, None, 1e-5), reference.batch_norm(x, None, None, 1e-5))


def check_large_mean(device):
    """The variance does not come from a difference of large numbers."""
    x = 1000 + normal(2, 2, 50, 50)
    close(cuda.batch_norm(x, None, None, 0.0)[2], reference.batch_norm(x, None, None, 0.0)[2], 1e-5)


def check_special_values(device):
    x = np.full((1, 2, 2, 2), np.nan, np.float32)
    for slope in SLOPES:
        assert np.isnan(cuda.batch_norm_activation(x, None, None, 1e-5, slope)[0]).all()
    down = np.array([-np.inf, -np.inf], np.float32)  # as a bias: z is -inf
    y = cuda.batch_norm_activation(normal(2, 2, 2, 2), np.ones(2, np.float32), down, 1e-5, 0.0)[0]
    np.testing.assert_array_equal(y, 0)


def check_running_statistics(device):
    ours = [normal(300), normal(300, seed=1)]
    theirs = [a.copy() for a in ours]
    for arrays, backend in ((ours, cuda), (theirs, reference)):
        backend.move_running(*arrays, normal(300, seed=2), normal(300, seed=3), 0.1, 1.5)
    _all_close(ours, theirs)


def check_float64_is_computed_by_the_reference(device):
    x = normal(2, 3, 4, 5).astype(np.float64)
    y, mean, var = cuda.batch_norm_activation(x, None, None, 1e-5, 0.2)
    assert y.dtype == mean.dtype == var.dtype == np.float64
    args = (x, x, y, None, None, mean, var, 1e-5, 0.2)
    assert cuda.batch_norm_activation_backward(*args)[0].dtype == np.float64


CHECKS = (
    check_batch_norm,
    check_batch_norm_activation,
    check_rows,
    check_an_address_that_is_no_multiple_of_16,
    check_large_mean,
    check_special_values,
    check_running_statistics,
    check_float64_is_computed_by_the_reference,
)

_WRONG = "Not equal|RACE|BOUNDS"
DEFECTS = {
    "no barrier between the sums of two reductions": (
        ("reduce.cuh", "value, distance);\n  __syncthreads();", "value, distance);"), "RACE"),
    "the last chunk runs past its channel": (
        ("chunks.cuh", "min(count, (int)(blockIdx.y + 1) * (VALUES / V))",
         "(int)(blockIdx.y + 1) * (VALUES / V)"), "BOUNDS|RACE"),
    "a step does not skip the other channels": (
        ("chunks.cuh", "offset += image - p.length;", "offset += 0;"), "BOUNDS|RACE"),
    "all chunks leave their sums in one place": (
        ("norm.cu", "if (first) partial[at] = average", "if (first) partial[0] = average"), "RACE"),
    "the activation is forgotten in the backward": (
        ("norm.cu", "dz[k] *= p.slope", "dz[k] *= 1.f"), _WRONG),
    "a chunk counts with the weight of a whole one": (
        ("norm.cu", "sum += parts[2 * i] * values_of(p.cut, i);",
         "sum += parts[2 * i] * VALUES;"), _WRONG),
    "each chunk writes the mean": (
        ("norm.cu", "threadIdx.x == 0 && blockIdx.y == 0) mean", "threadIdx.x == 0) mean"), "RACE"),
}  # fmt: skip
SANITIZER_DEFECTS = {
    "shared memory for one warp": (
        "norm.cu", "__shared__ float warps[REDUCE_THREADS / 32];", "__shared__ float warps[1];"),
}  # fmt: skip
