"""Convolutions with fewer multiplications: Winograd's, for strides 1 and 2.

`winograd_matrices.py` derives the algebra. An image is cut into tiles of m x m outputs; the inputs,
the outputs and the weights of a tile each become a x a values, a = m + r - 1, and the three maps of
the convolution multiply these point by point, which over all tiles and channels is a*a matrix
products:

    forward          M[f] = U[f] V[f]        U [a*a,K,C'] weights
    input gradient   D[f] = U[f]^T Q[f]      V [a*a,C',L] windows of the inputs of L tiles
    weight gradient  S[f] = Q[f] V[f]^T      Q [a*a,K,L]  outputs of L tiles

A stride s is a sum over the s*s phases of the input's rows and columns, each a stride-1
convolution with r = ceil(KH / s) taps of its own: so C' = s*s*C channels, in the order that
`winograd_phases.py` gives. A 4x4 kernel at stride 2 is r = 2, m = 4: 25 products of 64.

V, Q and the products are stored by blocks of BLOCK tiles, [a*a, L/BLOCK, channels, BLOCK], 0 beyond
the last tile. L tiles are in work at a time, as many as the caches hold.

What becomes the lanes of a vector when a tile is transformed is decided by size: the images of a
batch (`winograd_images.py`) or the tiles of a row (`winograd_rows.py`). The weights' transforms are
in `winograd_weights.py`, and `winograd_kept.py` keeps their results while the weights stay the
same; the products are in `winograd_products.py`.
"""

from __future__ import annotations

import os
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from minigan.backends.cpu.lanes import LANES
from minigan.backends.cpu.register_block import COLUMNS
from minigan.backends.cpu.threads import chunks_for, run
from minigan.backends.cpu.winograd_images import Images
from minigan.backends.cpu.winograd_kept import kept
from minigan.backends.cpu.winograd_matrices import SIZES
from minigan.backends.cpu.winograd_phases import everywhere, reach
from minigan.backends.cpu.winograd_products import BLOCK, add_products, multiply, points_apart
from minigan.backends.cpu.winograd_rows import Rows
from minigan.backends.cpu.winograd_weights import from_points, to_points
from minigan.backends.protocol import Array, Pair

_BLOCK_BYTES = 1 << 22  # of V and Q, or of one of them and the products
_FEWEST_TILES = 128  # matrix products of fewer are slow

_Lanes = type[Images] | type[Rows]
_OUTPUTS = {r: m for m, r in SIZES}  # tiles of more than 6 points lose float32's accuracy
_EXACT = os.environ.get("MINIGAN_EXACT", "") not in ("", "0")

# Nanoseconds on one core (AMD Zen 4): a value of a transform of a window and of an output, either
# way; one of a weight, read for the products or, one map of three, transformed back; one of a
# weight's transform; a multiply-add of the products and of a direct convolution. Rounded from fits
# to layers with cold caches, 16 with images in the lanes and 26 with rows, all three maps.
_TRANSFORMS = {Images: (1.0, 0.5), Rows: (3.0, 0.5)}
_WEIGHT, _WEIGHT_TRANSFORM, _PRODUCT, _DIRECT = 0.4, 0.3, 0.019, 0.020
_USES = 2  # of a transform of weights that is kept, at least
_WORTH_KEEPING = 0.03  # of a convolution's time, for the transform of its weights
_AT_MOST = 0.9  # of a direct convolution's time: a smaller gain is within the error of these


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
    return here < _AT_MOST * _DIRECT * direct_pixels * c * k * kernel**2


@lru_cache(maxsize=1024)
def _fastest(n: int, c: int, k: int, kernel: int, stride: int, size: Pair
             ) -> tuple[float, list[_Part]]:  # fmt: skip
    """The nanoseconds that a map takes, and what should become the lanes for which images.

    Images that fill no vector may be left to rows: 50 in the lanes would cost as much as 64. But
    each part reads all the weights, and its last register block may be empty but for a few tiles.
    """
    r, channels = -(-kernel // stride), c * stride**2
    m = _OUTPUTS[r]
    a, tiles = m + r - 1, -(-size[0] // m) * -(-size[1] // m)
    products = int(np.diff(reach(kernel, stride, a, c)).sum()) * k
    weights = a**2 * channels * k

    def nanoseconds(part: _Part) -> float:
        images = part.last - part.first
        filled = -(-images // LANES) * LANES if part.lanes is Images else images
        window, output = _TRANSFORMS[part.lanes]
        a_tile = a**2 * (channels * window + k * output)
        columns = -(-filled * tiles // COLUMNS) * COLUMNS
        return filled * tiles * a_tile + columns * products * _PRODUCT + weights * _WEIGHT

    whole = n // LANES * LANES
    choices = [[_Part(0, n, Images)], [_Part(0, n, Rows)]]
    if 0 < whole < n:
        choices.append([_Part(0, whole, Images), _Part(whole, n, Rows)])
    times = [sum(map(nanoseconds, parts)) for parts in choices]
    best = times.index(min(times))
    return times[best] + weights * _WEIGHT_TRANSFORM / _USES, choices[best]


class _Part(NamedTuple):
    """Images from, to, and what the lanes of their transforms are."""

    first: int
    last: int
    lanes: _Lanes


class _Block(NamedTuple):
    """Tiles of some images that are in work at a time."""

    images: slice
    tiling: Images | Rows
    tiles: tuple[int, ...]  # as the tiling names them


def _most_tiles(points: int, channels: int, k: int) -> int:
    """To a block. Few, so that the caches hold what the transforms and the products hand on; but
    each block reads all of the weights, so that those should not be the most of it."""
    block_bytes = min(max(_BLOCK_BYTES, 8 * points * channels * k), 8 * _BLOCK_BYTES)
    return max(block_bytes // (4 * points * (channels + k)), _FEWEST_TILES)


class _Plan:
    """Sizes of one convolution, and its tiles."""

    def __init__(
        self, n: int, c: int, k: int, kernel: int, stride: int, pad: Pair, size: Pair
    ) -> None:
        r = -(-kernel // stride)
        m = _OUTPUTS[r]
        self.points, self.channels = (m + r - 1) ** 2, c * stride * stride
        self.reach = reach(kernel, stride, m + r - 1, c)
        self.outputs = everywhere(self.points, k)
        most = _most_tiles(self.points, self.channels, k)
        tiles = -(-size[0] // m), -(-size[1] // m)
        nanoseconds, parts = _fastest(n, c, k, kernel, stride, size)
        of_weights = self.points * self.channels * k * _WEIGHT_TRANSFORM
        keep = of_weights > _WORTH_KEEPING * nanoseconds
        self.transform = partial(kept, to_points) if keep else to_points
        self.blocks: list[_Block] = []
        for first, last, lanes in parts:
            tiling = lanes(last - first, tiles, m, r, stride, pad, most)
            self.blocks += [_Block(slice(first, last), tiling, block) for block in tiling.blocks]

    def array(self, channels: int, block: _Block) -> Array:
        """[a*a, L/BLOCK, channels, BLOCK], not filled."""
        blocks = -(-block.tiling.columns(block.tiles) // BLOCK)
        return points_apart(self.points, blocks, channels, BLOCK)


def _nothing() -> Array:
    return np.empty((0, 0, 0, 0), np.float32)


def _chunks(points: Array) -> int:
    return chunks_for(points.shape[0] * points.shape[1], 2)


def conv2d(x: Array, weight: Array, bias: Array | None, stride: int, pad: Pair, size: Pair
           ) -> Array:  # fmt: skip
    """x [N,C,H,W], weight [K,C,KH,KW] -> [N,K,*size]."""
    (n, c), k = x.shape[:2], weight.shape[0]
    plan = _Plan(n, c, k, weight.shape[2], stride, pad, size)
    u = plan.transform(weight, stride)
    out, x = np.empty((n, k, *size), x.dtype), np.ascontiguousarray(x)
    bias = np.zeros(k, x.dtype) if bias is None else np.ascontiguousarray(bias)
    for block in plan.blocks:
        images, tiling, tiles = block
        v, products = plan.array(plan.channels, block), plan.array(k, block)
        tiling.read(x[images], _nothing(), tiles, v, plan.array(0, block))
        run(multiply, _chunks(v), u, u.shape[2], 1, plan.reach, v, plan.outputs, products)
        tiling.write_outputs(products, tiles, bias, out[images])
    return out


def conv2d_input_grad(
    grad: Array, weight: Array, bias: Array | None, stride: int, pad: Pair, input_hw: Pair
) -> Array:
    """grad [N,K,OH,OW], weight [K,C,KH,KW] -> [N,C,*input_hw]."""
    (n, k, *size), c = grad.shape, weight.shape[1]
    plan = _Plan(n, c, k, weight.shape[2], stride, pad, (size[0], size[1]))
    u = plan.transform(weight, stride)
    out, grad = np.empty((n, c, *input_hw), grad.dtype), np.ascontiguousarray(grad)
    bias = np.zeros(c, grad.dtype) if bias is None else np.ascontiguousarray(bias)
    for block in plan.blocks:
        images, tiling, tiles = block
        q, d = plan.array(k, block), plan.array(plan.channels, block)
        tiling.read(_nothing(), grad[images], tiles, plan.array(0, block), q)
        run(multiply, _chunks(q), u, 1, u.shape[2], plan.outputs, q, plan.reach, d)
        tiling.write_windows(d, tiles, bias, out[images])
    return out


def conv2d_weight_grad(x: Array, grad: Array, stride: int, pad: Pair, kernel_hw: Pair) -> Array:
    """x [N,C,H,W], grad [N,K,OH,OW] -> [K,C,*kernel_hw]."""
    (n, k, *size), c = grad.shape, x.shape[1]
    if n == 0:
        return np.zeros((k, c, *kernel_hw), x.dtype)
    plan = _Plan(n, c, k, kernel_hw[0], stride, pad, (size[0], size[1]))
    x, grad = np.ascontiguousarray(x), np.ascontiguousarray(grad)
    padded = -(-plan.channels // COLUMNS) * COLUMNS
    sums = points_apart(plan.points, k, padded)
    for block in plan.blocks:
        images, tiling, tiles = block
        v, q = plan.array(padded, block), plan.array(k, block)
        v[:, :, plan.channels :] = 0
        tiling.read(x[images], grad[images], tiles, v, q)
        begins = block is plan.blocks[0]
        chunks = chunks_for(plan.points * padded // COLUMNS, 1)
        run(add_products, chunks, q, v, plan.reach, begins, sums)
    return from_points(sums, stride, (k, c, *kernel_hw))
