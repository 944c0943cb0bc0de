"""Winograd's maps for a kind of tile: how the work is cut up, and what it would cost.

An image is cut into tiles of outputs; the inputs, the outputs and the weights of a tile become
values at points (`winograd_matrices.py`), and the three maps of a convolution multiply these point
by point, which over all tiles and channels is a matrix product for each point:

    forward          M[j] = U[j] V[f]             U [products,K,C'] weights
    input gradient   D[f] = sum of U[j]^T Q[j]    V [points,C',L] windows of the inputs of L tiles
    weight gradient  S[j] = Q[j] V[f]^T           Q [products,K,L] outputs of L tiles

where the j are the products of point f: one, or more where a map is several convolutions of the
same windows. C' counts the phases of the stride (`winograd_phases.py`).

V, Q and the products are stored by blocks of BLOCK tiles, [points, L/BLOCK, channels, BLOCK], 0
beyond the last tile, and the products where a tile needs none (`winograd_order.py`). L tiles are in
work at a time, as many as the caches hold.

What becomes the lanes of a vector when a tile is transformed is decided by size: the images of a
batch (`winograd_images.py`) or the tiles of a row (`winograd_rows.py`). The weights' transforms are
in `winograd_weights.py`, and `winograd_kept.py` keeps their results while the weights stay the
same; the products are in `winograd_products.py`.
"""

from __future__ import annotations

import math
import os
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minigan.backends.cpu.arrays import contiguous
from minigan.backends.cpu.lanes import LANES
from minigan.backends.cpu.register_block import COLUMNS
from minigan.backends.cpu.threads import chunks_for, run
from minigan.backends.cpu.winograd_images import Images
from minigan.backends.cpu.winograd_kept import kept
from minigan.backends.cpu.winograd_matrices import UPSAMPLED, Tile, product_points
from minigan.backends.cpu.winograd_order import kinds
from minigan.backends.cpu.winograd_phases import everywhere, reach
from minigan.backends.cpu.winograd_products import BLOCK, add_products, multiply, points_apart
from minigan.backends.cpu.winograd_rows import Rows
from minigan.backends.cpu.winograd_weights import from_points, to_points
from minigan.backends.protocol import Array, Pair

_BLOCK_BYTES = 1 << 21  # of V and Q, or of one of them and the products
_FEWEST_TILES = 128  # matrix products of fewer are slow

_Lanes = type[Images] | type[Rows]

EXACT = os.environ.get("MINIGAN_EXACT", "") not in ("", "0")  # keeps to other ways
AT_MOST = 0.9  # of the time of another way: a smaller gain is within the error of the estimates

# Nanoseconds on one core (AMD Zen 4): a value of a transform of a window and of an output, either
# way; one of a weight, read for the products or, one map of three, transformed back; one of a
# weight's transform; a multiply-add of the products. Rounded from fits to layers with cold caches,
# 16 with images in the lanes and 26 with rows, all three maps.
_TRANSFORMS = {Images: (1.0, 0.5), Rows: (3.0, 0.5)}
_WEIGHT, _WEIGHT_TRANSFORM, _PRODUCT = 0.4, 0.3, 0.019
_USES = 2  # of a transform of weights that is kept, at least
_WORTH_KEEPING = 0.03  # of a convolution's time, for the transform of its weights


class Sizes(NamedTuple):
    """What a map's time depends on."""

    n: int
    c: int
    k: int
    kernel: int
    stride: int
    tile: Tile
    tiles: Pair
    """Of an image: rows and columns."""
    short: Pair
    """1 if the last row, the last column of tiles has outputs left over."""


def sizes_for(n: int, c: int, k: int, kernel: int, stride: int, tile: Tile, size: Pair) -> Sizes:
    """For outputs of a size in pixels."""
    m = tile.outputs
    tiles = -(-size[0] // m), -(-size[1] // m)
    short = int(size[0] % m > 0), int(size[1] % m > 0)
    return Sizes(n, c, k, kernel, stride, tile, tiles, short)


class Part(NamedTuple):
    """Images from, to, and what the lanes of their transforms are."""

    first: int
    last: int
    lanes: _Lanes


@lru_cache(maxsize=1024)
def fastest(sizes: Sizes) -> tuple[float, list[Part]]:
    """The nanoseconds that a map takes, and what should become the lanes for which images.

    Images that fill no vector may be left to rows: 50 in the lanes would cost as much as 64. But
    each part reads all the weights, and its last register block may be empty but for a few tiles.
    """
    n, c, k, kernel, stride, tile, (down, across), short = sizes
    channels, points, planes = c * stride**2, tile.window**2, tile.products**2
    multiplied = int(np.diff(_reach(sizes)).sum()) * k
    weights = planes * channels * k
    needed = math.prod(1 - s / (tile.products * t) for s, t in zip(short, sizes.tiles, strict=True))

    def nanoseconds(part: Part) -> float:
        images = part.last - part.first
        filled = -(-images // LANES) * LANES if part.lanes is Images else images
        window, output = _TRANSFORMS[part.lanes]
        a_tile = points * channels * window + planes * k * output
        columns = -(-filled * down * across // COLUMNS) * COLUMNS
        products = columns * multiplied * (needed if part.lanes is Images else 1)
        transforms = filled * down * across * a_tile
        return transforms + products * _PRODUCT + weights * _WEIGHT

    whole = n // LANES * LANES
    choices = [[Part(0, n, Images)]]
    if tile is not UPSAMPLED:
        choices.append([Part(0, n, Rows)])
        if 0 < whole < n:
            choices.append([Part(0, whole, Images), Part(whole, n, Rows)])
    times = [sum(map(nanoseconds, parts)) for parts in choices]
    best = times.index(min(times))
    return times[best] + weights * _WEIGHT_TRANSFORM / _USES, choices[best]


def _reach(sizes: Sizes) -> Array:
    """[products,2]: which channels, from and to, a product needs."""
    if sizes.tile is UPSAMPLED:
        return everywhere(sizes.tile.products**2, sizes.c)
    return reach(sizes.kernel, sizes.stride, sizes.tile.window, sizes.c)


def _most_tiles(values: int, weights: int) -> int:
    """To a block. Few, so that the caches hold what the transforms and the products hand on; but
    each block reads all of the weights, so that those should not be the most of it."""
    block_bytes = min(max(_BLOCK_BYTES, 8 * weights), 2 * _BLOCK_BYTES)
    return max(block_bytes // (4 * values), _FEWEST_TILES)


class _Block(NamedTuple):
    """Tiles of some images that are in work at a time."""

    images: slice
    tiling: Images | Rows
    tiles: tuple[int, ...]  # as the tiling names them
    length: int  # in blocks of BLOCK tiles
    needed: Array  # of these, by the kinds of planes


class _Products(NamedTuple):
    """What `multiply` is told of a map's products."""

    reach: Array
    rows_reach: Array
    starts: Array
    pairs: Array
    kinds: Array


def _products(planes: int, triples: Array, reach: Array, rows_reach: Array) -> _Products:
    """`triples` [.,3]: planes of the results in order, and of U and the other factor."""
    starts = np.searchsorted(triples[:, 0], np.arange(planes + 1))
    of_planes = kinds(math.isqrt(planes))
    return _Products(reach, rows_reach, starts, contiguous(triples[:, 1:]), of_planes)


_NO_IMAGES = np.empty((0, 0, 0, 0), np.float32)


def plan_for(sizes: Sizes, pad: Pair) -> Plan:
    """The plan of this size, made now or before."""
    nanoseconds, parts = fastest(sizes)
    channels, points = sizes.c * sizes.stride**2, sizes.tile.window**2
    values = points * channels + sizes.tile.products**2 * sizes.k
    weights = sizes.tile.products**2 * channels * sizes.k
    keep = weights * _WEIGHT_TRANSFORM > _WORTH_KEEPING * nanoseconds
    return _plan(sizes, pad, tuple(parts), _most_tiles(values, weights), keep)


class Plan:
    """The three maps of one size: how the work is cut up and which products there are."""

    def __init__(
        self, sizes: Sizes, pad: Pair, parts: tuple[Part, ...], most: int, keep: bool
    ) -> None:
        _, self._c, self._k, _, self._stride, tile, tiles, short = sizes
        self._tile, self._channels, self._keep = tile, sizes.c * sizes.stride**2, keep
        self._points, self._planes = tile.window**2, tile.products**2
        self._reach = _reach(sizes)
        of = np.array(product_points(tile))
        self._of = (of[:, None] * tile.window + of).reshape(-1)  # the point of each product
        everything, order = np.arange(self._planes), np.argsort(self._of, kind="stable")
        all_of_k = everywhere(self._planes, self._k)
        forward = np.stack((everything, everything, self._of), axis=1)
        self._forward = _products(self._planes, forward, self._reach, all_of_k)
        back = np.stack((self._of[order], order, order), axis=1)
        # Where a point of D has one product, it is 0 beyond what that one's weights reach.
        rows = self._reach
        if self._planes != self._points:
            rows = everywhere(self._points, self._channels)
        self._back = _products(self._points, back, all_of_k, rows)
        self._blocks: list[_Block] = []
        for first, last, lanes in parts:
            tiling = lanes(last - first, tiles, short, tile, sizes.stride, pad, most)
            for block in tiling.blocks:
                length, needed = -(-tiling.columns(block) // BLOCK), tiling.needed(block)
                self._blocks.append(_Block(slice(first, last), tiling, block, length, needed))
        self._longest = max((block.length for block in self._blocks), default=0)

    def conv2d(
        self, x: Array, weight: Array, bias: Array | None, out: Array, slope: float = 1.0
    ) -> Array:
        """x [N,C,H,W], weight [K,C,KH,KW], into out [N,K,OH,OW], through a leaky ReLU."""
        u = self._transformed(weight)
        x, bias = contiguous(x), _filled(bias, self._k)
        all_v = self._array(self._points, self._channels)
        all_products = self._array(self._planes, self._k)
        for images, tiling, tiles, length, needed in self._blocks:
            v, products = all_v[:, :length], all_products[:, :length]
            tiling.read(x[images], _NO_IMAGES, tiles, v, v)
            _multiply(u, (u.shape[2], 1), v, self._forward, needed, products)
            tiling.write_outputs(products, tiles, bias, np.float32(slope), out[images])
        return out

    def input_grad(self, grad: Array, weight: Array, bias: Array | None, out: Array) -> Array:
        """grad [N,K,OH,OW], weight [K,C,KH,KW], into out [N,C,H,W]."""
        u = self._transformed(weight)
        grad, bias = contiguous(grad), _filled(bias, self._c)
        all_q = self._array(self._planes, self._k)
        all_d = self._array(self._points, self._channels)
        for images, tiling, tiles, length, needed in self._blocks:
            q, d = all_q[:, :length], all_d[:, :length]
            tiling.read(_NO_IMAGES, grad[images], tiles, q, q)
            _multiply(u, (1, u.shape[2]), q, self._back, needed, d)
            tiling.write_windows(d, tiles, bias, out[images])
        return out

    def weight_grad(self, x: Array, grad: Array, kernel_hw: Pair) -> Array:
        """x [N,C,H,W], grad [N,K,OH,OW] -> [K,C,*kernel_hw]."""
        shape = self._k, self._c, *kernel_hw
        if len(x) == 0:
            return np.zeros(shape, x.dtype)
        x, grad = contiguous(x), contiguous(grad)
        padded = -(-self._channels // COLUMNS) * COLUMNS
        sums = points_apart(self._planes, self._k, padded)
        all_v, all_q = self._array(self._points, padded), self._array(self._planes, self._k)
        all_v[:, :, self._channels :] = 0
        begins, chunks = True, chunks_for(self._planes * padded // COLUMNS, 1)
        for images, tiling, tiles, length, needed in self._blocks:
            v, q = all_v[:, :length], all_q[:, :length]
            tiling.read(x[images], grad[images], tiles, v, q)
            run(
                add_products, chunks, q, v, self._of, self._reach, self._forward.kinds, needed,
                begins, sums,
            )  # fmt: skip
            begins = False
        return from_points(sums, self._tile, self._stride, shape)

    def _transformed(self, weight: Array) -> Array:
        if self._keep:
            return kept(to_points, weight, self._tile, self._stride)
        return to_points(weight, self._tile, self._stride)

    def _array(self, planes: int, channels: int) -> Array:
        """[planes, L/BLOCK, channels, BLOCK] for the longest block, not filled."""
        return points_apart(planes, self._longest, channels, BLOCK)


_plan = lru_cache(maxsize=1024)(Plan)


def _filled(bias: Array | None, channels: int) -> Array:
    return np.zeros(channels, np.float32) if bias is None else contiguous(bias)


def _multiply(u: Array, steps: Pair, b: Array, how: _Products, needed: Array, out: Array) -> None:
    chunks = chunks_for(out.shape[0] * out.shape[1], 2)
    run(
        multiply, chunks, u, *steps, how.reach, b, how.rows_reach, how.starts, how.pairs, how.kinds,
        needed, out,
    )  # fmt: skip
