"""Launches of the normalisations: blocks of at most 4096 values of a channel, or of a row."""

from __future__ import annotations

import math

import numpy as np

from minigan.backends import reference
from minigan.backends.cuda.chunks import CHANNELS, CHUNK, MOST_CHUNKS, THREADS, cut
from minigan.backends.cuda.launch import covered, launcher, pointer
from minigan.backends.protocol import Array

_NORM = np.dtype([("cut", CHANNELS), ("eps", np.float32), ("slope", np.float32)])  # Norm


class _Plan:
    """How an array [N,C,L] is cut: the kernels' struct, the grid, and room for partial sums."""

    def __init__(
        self, sizes: tuple[int, int, int], eps: float, slope: float, *arrays: Array
    ) -> None:
        values = cut(sizes, *arrays)
        channels, self.chunks = sizes[1], values[3]
        self.sizes = np.array((values, eps, slope), dtype=_NORM)[()]
        self.grid = (channels, self.chunks)
        count = 2 * channels * self.chunks if self.chunks > 1 else 0
        self.partial = launcher().xp.empty(count, dtype=np.float32) if count else None

    def launch(self, kernel: str, *args: Array | None) -> None:
        """The kernel, and if there are partial sums its second half; nothing without channels."""
        if not self.grid[0]:
            return
        args = (*map(pointer, (*args, self.partial)), self.sizes)
        launcher().launch("norm.cu", kernel, self.grid, THREADS, args)
        if self.chunks > 1:
            launcher().launch("norm.cu", f"{kernel}_apply", self.grid, THREADS, args)


def _small_enough(*arrays: Array | None, count: int) -> bool:
    return covered(*arrays) and count <= MOST_CHUNKS * CHUNK


def _forward(
    x: Array,
    sizes: tuple[int, int, int],
    weight: Array | None,
    bias: Array | None,
    eps: float,
    slope: float,
) -> tuple[Array, Array, Array]:
    xp = launcher().xp
    x, y = xp.ascontiguousarray(x), xp.empty(x.shape, dtype=np.float32)
    mean, var = (xp.empty(sizes[1], dtype=np.float32) for _ in range(2))
    plan = _Plan(sizes, eps, slope, x, y)
    plan.launch("norm_forward", x, _contiguous(weight), _contiguous(bias), y, mean, var)
    return y, mean, var


def _backward(
    grad: Array,
    x: Array,
    sizes: tuple[int, int, int],
    weight: Array | None,
    bias: Array | None,
    mean: Array | None,
    var: Array,
    eps: float,
    slope: float,
) -> tuple[Array, Array, Array]:
    """Without a mean, x is normalised already."""
    xp = launcher().xp
    grad, x = xp.ascontiguousarray(grad), xp.ascontiguousarray(x)
    dx = xp.empty(x.shape, dtype=np.float32)
    dweight, dbias = (xp.empty(sizes[1], dtype=np.float32) for _ in range(2))
    plan = _Plan(sizes, eps, slope, grad, x, dx)
    channel = map(_contiguous, (weight, bias, mean, var))
    plan.launch("norm_backward", grad, x, *channel, dx, dweight, dbias)
    return dx, dweight, dbias


def _contiguous(array: Array | None) -> Array | None:
    return None if array is None else launcher().xp.ascontiguousarray(array)


def _sizes(x: Array) -> tuple[int, int, int]:
    """N, C and the elements of a channel in one image."""
    return x.shape[0], x.shape[1], math.prod(x.shape[2:])


def batch_norm(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """See `protocol.py`."""
    n, _, length = _sizes(x)
    if not _small_enough(x, weight, bias, count=n * length):
        return reference.batch_norm(x, weight, bias, eps)
    return _forward(x, _sizes(x), weight, bias, eps, 1.0)


def batch_norm_backward(
    grad: Array, x: Array, weight: Array | None, mean: Array, var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """See `protocol.py`."""
    n, _, length = _sizes(x)
    if not _small_enough(grad, x, weight, mean, var, count=n * length):
        return reference.batch_norm_backward(grad, x, weight, mean, var, eps)
    return _backward(grad, x, _sizes(x), weight, None, mean, var, eps, 1.0)


def batch_norm_activation(
    x: Array, weight: Array | None, bias: Array | None, eps: float, slope: float
) -> tuple[Array, Array, Array]:
    """See `protocol.py`."""
    n, _, length = _sizes(x)
    if not _small_enough(x, weight, bias, count=n * length):
        return reference.batch_norm_activation(x, weight, bias, eps, slope)
    return _forward(x, _sizes(x), weight, bias, eps, slope)


def batch_norm_activation_backward(
    grad: Array,
    x: Array,
    y: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    var: Array,
    eps: float,
    slope: float,
) -> tuple[Array, Array, Array]:
    """See `protocol.py`. The sign of y is computed from x, which spares reading y."""
    n, _, length = _sizes(x)
    if not _small_enough(grad, x, weight, bias, mean, var, count=n * length):
        return reference.batch_norm_activation_backward(
            grad, x, y, weight, bias, mean, var, eps, slope
        )
    return _backward(grad, x, _sizes(x), weight, bias, mean, var, eps, slope)


def row_norm(x: Array, eps: float) -> tuple[Array, Array, Array]:
    """See `protocol.py`: rows are the channels of one image."""
    rows, length = x.shape
    if not _small_enough(x, count=length):
        return reference.row_norm(x, eps)
    return _forward(x, (1, rows, length), None, None, eps, 1.0)


def row_norm_backward(grad: Array, xhat: Array, var: Array, eps: float) -> Array:
    """See `protocol.py`."""
    rows, length = grad.shape
    if not _small_enough(grad, xhat, var, count=length):
        return reference.row_norm_backward(grad, xhat, var, eps)
    return _backward(grad, xhat, (1, rows, length), None, None, None, var, eps, 1.0)[0]


def move_running(
    running_mean: Array,
    running_var: Array,
    mean: Array,
    var: Array,
    momentum: float,
    unbiased: float,
) -> None:
    """See `protocol.py`."""
    arrays = (running_mean, running_var, mean, var)
    if not covered(*arrays) or not all(a.flags.c_contiguous for a in arrays):
        reference.move_running(running_mean, running_var, mean, var, momentum, unbiased)
    elif mean.size:
        weights = map(np.float32, (momentum, 1 - momentum, momentum * unbiased))
        args = (*arrays, np.int32(mean.size), *weights)
        launcher().launch("norm.cu", "move_running", (-(-mean.size // THREADS),), THREADS, args)
