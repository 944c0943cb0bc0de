"""Convolutions with fewer multiplications: Winograd's, for strides 1 and 2.

`winograd_matrices.py` derives the algebra. An image is cut into tiles of m x m outputs; the inputs,
the outputs and the weights of a tile each become a x a values, a = m + r - 1, and the three maps of
the convolution multiply these point by point, which over all tiles and channels is a*a matrix
products:

    forward          M[f] = U[f] V[f]        U [a*a,K,C'] weights
    input gradient   D[f] = U[f]^T Q[f]      V [a*a,C',L] windows of the inputs of L tiles
    weight gradient  S[f] = Q[f] V[f]^T      Q [a*a,K,L]  outputs of L tiles

A stride s is a sum over the s*s phases of the input's rows and columns, each a stride-1
convolution with r = ceil(KH / s) taps of its own: so C' = s*s*C channels, in the order (c, row
phase, column phase). A 4x4 kernel at stride 2 is r = 2, m = 4: 25 products of 64.

V, Q and the products are stored by blocks of BLOCK tiles, [a*a, L/BLOCK, channels, BLOCK], 0 beyond
the last tile. L tiles are in work at a time, as many as the caches hold.

What becomes the lanes of a vector when a tile is transformed is decided by size: the images of a
batch (`winograd_images.py`) or the tiles of a row (`winograd_rows.py`). The weights' transforms are
in `winograd_weights.py`, the products in `winograd_products.py`.
"""

from __future__ import annotations

import os

import numpy as np

from minigan.backends.cpu.lanes import LANES
from minigan.backends.cpu.register_block import COLUMNS
from minigan.backends.cpu.threads import chunks_for, run
from minigan.backends.cpu.winograd_images import Images
from minigan.backends.cpu.winograd_matrices import SIZES
from minigan.backends.cpu.winograd_products import BLOCK, add_products, multiply
from minigan.backends.cpu.winograd_rows import Rows
from minigan.backends.cpu.winograd_weights import from_points, to_points
from minigan.backends.protocol import Array, Pair

_BLOCK_BYTES = 1 << 25  # of V and Q, or of one of them and the products
_APART = 48  # numbers, three cache lines, between points
_FEWEST_TILES = 128  # matrix products of fewer are slow

_OUTPUTS = {r: m for m, r in SIZES}  # tiles of more than 6 points lose float32's accuracy
_EXACT = os.environ.get("MINIGAN_EXACT", "") not in ("", "0")

# Nanoseconds on one core (AMD Zen 4), fitted to the times of 16 layers, all three maps of each: a
# value of a transform of a window and of an output, in either way; one of a weight; a multiply-add
# of the products and of a direct convolution.
_TRANSFORMS = {Images: (1.0, 0.7), Rows: (2.6, 0.3)}
_WEIGHT, _PRODUCT, _DIRECT = 1.0, 0.021, 0.019


def suits(n: int, c: int, weight_shape: tuple[int, ...], stride: Pair, dilation: Pair, size: Pair,
          direct_pixels: int) -> bool:  # fmt: skip
    """Whether a convolution of n images to `size` belongs here: whether these maps can do it, and
    would take less time than a direct one, which computes `direct_pixels` pixels.

    MINIGAN_EXACT=1 says no: Winograd's results have two to eight times the rounding error of direct
    ones, about 1e-6 to 2e-6 of their size (tests/backends/test_winograd.py).
    """
    k, _, kernel, kernel_w = weight_shape
    square = kernel == kernel_w and stride[0] == stride[1] <= 2 and tuple(dilation) == (1, 1)
    if _EXACT or not square or -(-kernel // stride[0]) not in _OUTPUTS or kernel == 1:
        return False
    here, _ = _fastest(n, c, k, kernel, stride[0], size)
    return here < 0.96 * _DIRECT * direct_pixels * c * k * kernel**2


def _fastest(n: int, c: int, k: int, kernel: int, stride: int, size: Pair
             ) -> tuple[float, type[Images] | type[Rows]]:  # fmt: skip
    """The nanoseconds that a map takes, and what should become the lanes."""
    r, channels = -(-kernel // stride), c * stride**2
    m = _OUTPUTS[r]
    tiles = -(-size[0] // m) * -(-size[1] // m)
    times: list[tuple[float, type[Images] | type[Rows]]] = []
    for lanes, images in ((Images, -(-n // LANES) * LANES), (Rows, n)):
        window, output = _TRANSFORMS[lanes]
        a_tile = channels * window + k * output + channels * k * _PRODUCT
        times.append((images * tiles * a_tile, lanes))
    best, lanes = min(times, key=lambda item: item[0])
    return (m + r - 1) ** 2 * (best + channels * k * _WEIGHT), lanes


class _Plan:
    """Sizes and matrices of one convolution, and its tiles."""

    def __init__(
        self, n: int, c: int, k: int, kernel: int, stride: int, pad: Pair, size: Pair
    ) -> None:
        r = -(-kernel // stride)
        m = _OUTPUTS[r]
        self.points, self.channels = (m + r - 1) ** 2, c * stride * stride
        fitting = _BLOCK_BYTES // (4 * self.points * (self.channels + k))
        tiles = -(-size[0] // m), -(-size[1] // m)
        _, lanes = _fastest(n, c, k, kernel, stride, size)
        self.tiling: Images | Rows = lanes(n, tiles, m, r, stride, pad, max(fitting, _FEWEST_TILES))

    def array(self, channels: int, block: tuple[int, ...]) -> Array:
        """[a*a, L/BLOCK, channels, BLOCK], not filled."""
        blocks = -(-self.tiling.columns(block) // BLOCK)
        size = blocks * channels * BLOCK
        memory = np.empty((self.points, size + _APART), np.float32)
        shape = self.points, blocks, channels, BLOCK
        row = BLOCK * memory.itemsize
        strides = memory.strides[0], channels * row, row, memory.itemsize
        return np.ndarray(shape, np.float32, memory, strides=strides)


def _nothing() -> Array:
    return np.empty((0, 0, 0, 0), np.float32)


def _chunks(points: Array) -> int:
    return chunks_for(points.shape[0] * points.shape[1], 2)


def conv2d(x: Array, weight: Array, bias: Array | None, stride: int, pad: Pair, size: Pair
           ) -> Array:  # fmt: skip
    """x [N,C,H,W], weight [K,C,KH,KW] -> [N,K,*size]."""
    (n, c), k = x.shape[:2], weight.shape[0]
    plan = _Plan(n, c, k, weight.shape[2], stride, pad, size)
    u = to_points(weight, stride)
    out, x = np.empty((n, k, *size), x.dtype), np.ascontiguousarray(x)
    bias = np.zeros(k, x.dtype) if bias is None else np.ascontiguousarray(bias)
    for block in plan.tiling.blocks:
        v, products = plan.array(plan.channels, block), plan.array(k, block)
        plan.tiling.read(x, _nothing(), block, v, plan.array(0, block))
        run(multiply, _chunks(v), u, u.shape[2], 1, plan.channels, v, products)
        plan.tiling.write_outputs(products, block, bias, out)
    return out


def conv2d_input_grad(
    grad: Array, weight: Array, bias: Array | None, stride: int, pad: Pair, input_hw: Pair
) -> Array:
    """grad [N,K,OH,OW], weight [K,C,KH,KW] -> [N,C,*input_hw]."""
    (n, k, *size), c = grad.shape, weight.shape[1]
    plan = _Plan(n, c, k, weight.shape[2], stride, pad, (size[0], size[1]))
    u = to_points(weight, stride)
    out, grad = np.empty((n, c, *input_hw), grad.dtype), np.ascontiguousarray(grad)
    bias = np.zeros(c, grad.dtype) if bias is None else np.ascontiguousarray(bias)
    for block in plan.tiling.blocks:
        q, d = plan.array(k, block), plan.array(plan.channels, block)
        plan.tiling.read(_nothing(), grad, block, plan.array(0, block), q)
        run(multiply, _chunks(q), u, 1, u.shape[2], k, q, d)
        plan.tiling.write_windows(d, block, bias, out)
    return out


def conv2d_weight_grad(x: Array, grad: Array, stride: int, pad: Pair, kernel_hw: Pair) -> Array:
    """x [N,C,H,W], grad [N,K,OH,OW] -> [K,C,*kernel_hw]."""
    (n, k, *size), c = grad.shape, x.shape[1]
    plan = _Plan(n, c, k, kernel_hw[0], stride, pad, (size[0], size[1]))
    x, grad = np.ascontiguousarray(x), np.ascontiguousarray(grad)
    padded = -(-plan.channels // COLUMNS) * COLUMNS
    sums = np.zeros((plan.points, k, padded), x.dtype)
    for block in plan.tiling.blocks:
        v, q = plan.array(padded, block), plan.array(k, block)
        v[:, :, plan.channels :] = 0
        plan.tiling.read(x, grad, block, v, q)
        run(add_products, chunks_for(plan.points * padded // COLUMNS, 1), q, v, sums)
    return from_points(sums, stride, (k, c, *kernel_hw))
