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
beyond the last tile. L tiles are in work at a time, as many as the caches hold.

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
from minigan.backends.cpu.winograd_matrices import UPSAMPLED, Tile, product_points
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
    n, c, k, kernel, stride, tile, (down, across) = sizes
    channels, points, planes = c * stride**2, tile.window**2, tile.products**2
    multiplied = int(np.diff(_reach(sizes)).sum()) * k
    weights = planes * channels * k

    def nanoseconds(part: Part) -> float:
        images = part.last - part.first
        filled = -(-images // LANES) * LANES if part.lanes is Images else images
        window, output = _TRANSFORMS[part.lanes]
        a_tile = points * channels * window + planes * k * output
        columns = -(-filled * down * across // COLUMNS) * COLUMNS
        transforms = filled * down * across * a_tile
        return transforms + columns * multiplied * _PRODUCT + weights * _WEIGHT

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


def _nothing() -> Array:
    return np.empty((0, 0, 0, 0), np.float32)


def _array(planes: int, channels: int, block: _Block) -> Array:
    """[planes, L/BLOCK, channels, BLOCK], not filled."""
    return points_apart(planes, -(-block.tiling.columns(block.tiles) // BLOCK), channels, BLOCK)


def _multiply(
    u: Array, steps: Pair, reach: Array, b: Array, rows_reach: Array, pairs: Array, out: Array
) -> None:
    """`pairs` [pairs,3]: planes of out in order, and of u and b."""
    starts = np.searchsorted(pairs[:, 0], np.arange(len(out) + 1))
    chunks = chunks_for(out.shape[0] * out.shape[1], 2)
    run(multiply, chunks, u, *steps, reach, b, rows_reach, starts, pairs[:, 1:], out)


class Plan:
    """The three maps of one size."""

    def __init__(self, sizes: Sizes, pad: Pair) -> None:
        n, self._c, self._k, _, self._stride, tile, tiles = sizes
        self._tile, self._channels = tile, sizes.c * sizes.stride**2
        self._points, self._products = tile.window**2, tile.products**2
        self._reach = _reach(sizes)
        of = np.array(product_points(tile))
        self._of = (of[:, None] * tile.window + of).reshape(-1)  # the point of each product
        values = self._points * self._channels + self._products * self._k
        weights = self._products * self._channels * self._k
        nanoseconds, parts = fastest(sizes)
        keep = weights * _WEIGHT_TRANSFORM > _WORTH_KEEPING * nanoseconds
        self._transform = partial(kept, to_points) if keep else to_points
        self._blocks: list[_Block] = []
        for first, last, lanes in parts:
            most = _most_tiles(values, weights)
            tiling = lanes(last - first, tiles, tile, sizes.stride, pad, most)
            self._blocks += [_Block(slice(first, last), tiling, block) for block in tiling.blocks]

    def conv2d(self, x: Array, weight: Array, bias: Array | None, out: Array) -> Array:
        """x [N,C,H,W], weight [K,C,KH,KW], into out [N,K,OH,OW]."""
        u = self._transform(weight, self._tile, self._stride)
        x = np.ascontiguousarray(x)
        bias = np.zeros(self._k, x.dtype) if bias is None else np.ascontiguousarray(bias)
        everything = np.arange(self._products)
        pairs = np.stack((everything, everything, self._of), axis=1)
        all_rows = everywhere(self._products, self._k)
        for block in self._blocks:
            images, tiling, tiles = block
            v = _array(self._points, self._channels, block)
            products = _array(self._products, self._k, block)
            tiling.read(x[images], _nothing(), tiles, v, _array(1, 0, block))
            _multiply(u, (u.shape[2], 1), self._reach, v, all_rows, pairs, products)
            tiling.write_outputs(products, tiles, bias, out[images])
        return out

    def input_grad(self, grad: Array, weight: Array, bias: Array | None, out: Array) -> Array:
        """grad [N,K,OH,OW], weight [K,C,KH,KW], into out [N,C,H,W]."""
        u = self._transform(weight, self._tile, self._stride)
        grad = np.ascontiguousarray(grad)
        bias = np.zeros(self._c, grad.dtype) if bias is None else np.ascontiguousarray(bias)
        order = np.argsort(self._of, kind="stable")
        pairs = np.stack((self._of[order], order, order), axis=1)
        all_terms = everywhere(self._products, self._k)
        for block in self._blocks:
            images, tiling, tiles = block
            q = _array(self._products, self._k, block)
            d = _array(self._points, self._channels, block)
            tiling.read(_nothing(), grad[images], tiles, _array(1, 0, block), q)
            _multiply(u, (1, u.shape[2]), all_terms, q, self._rows_of_d(), pairs, d)
            tiling.write_windows(d, tiles, bias, out[images])
        return out

    def _rows_of_d(self) -> Array:
        """What a point of D is made of: where it has one product, what that one's weights reach."""
        if len(self._reach) == self._points:
            return self._reach
        return everywhere(self._points, self._channels)

    def weight_grad(self, x: Array, grad: Array, kernel_hw: Pair) -> Array:
        """x [N,C,H,W], grad [N,K,OH,OW] -> [K,C,*kernel_hw]."""
        shape = self._k, self._c, *kernel_hw
        if len(x) == 0:
            return np.zeros(shape, x.dtype)
        x, grad = np.ascontiguousarray(x), np.ascontiguousarray(grad)
        padded = -(-self._channels // COLUMNS) * COLUMNS
        sums = points_apart(self._products, self._k, padded)
        for block in self._blocks:
            images, tiling, tiles = block
            v, q = _array(self._points, padded, block), _array(self._products, self._k, block)
            v[:, :, self._channels :] = 0
            tiling.read(x[images], grad[images], tiles, v, q)
            begins = block is self._blocks[0]
            chunks = chunks_for(self._products * padded // COLUMNS, 1)
            run(add_products, chunks, q, v, self._of, self._reach, begins, sums)
        return from_points(sums, self._tile, self._stride, shape)
