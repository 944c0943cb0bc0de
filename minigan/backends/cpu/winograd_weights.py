"""The weights of Winograd's convolutions: U = G w G^T for each phase of the stride, and back.

Layouts and names are those of `winograd.py`; the matrices those of `winograd_matrices.py`. The
channels are the lanes. Few rows of points are written or read at a time: more of them than a
prefetcher follows took a quarter longer and more.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.aligned import aligned_floats, aligned_zeros
from minigan.backends.cpu.arrays import contiguous, empty
from minigan.backends.cpu.lanes import LANES
from minigan.backends.cpu.threads import chunks_for, helper, kernel, run
from minigan.backends.cpu.winograd_matrices import TILES, Tile, tables
from minigan.backends.cpu.winograd_mix import mixer
from minigan.backends.cpu.winograd_phases import place
from minigan.backends.cpu.winograd_products import points_apart
from minigan.backends.protocol import Array

_G = [g for _, g, _ in tables()]
_in, _out = mixer(_G), mixer([g.T for g in _G])


@helper
def _places(row, column, stride, r, c, width):
    """Where the channels of a pixel of the kernel lie in an array [taps, width]: the first one."""
    tap = row // stride * r + column // stride
    return tap * width + place(row % stride * stride + column % stride, stride, 0, c)


@kernel
def _read_weights(chunk, chunks, weight, kind, a, r, stride, u):
    """u[f, k, :] = G w G^T of each phase's taps, in whole vectors."""
    k, c, kh, kw = weight.shape
    width, point, row_size = u.shape[2], u.strides[0] // u.itemsize, c * kh * kw
    flat, taps = weight.reshape(-1), aligned_zeros(r * r * width)
    vectors = (stride * stride * c + LANES - 1) // LANES
    scratch = aligned_floats(a * r * width)
    for row in range(chunk * k // chunks, (chunk + 1) * k // chunks):
        for y in range(kh):
            for x in range(kw):
                at = np.uintp(row * row_size + y * kw + x)
                to = np.uintp(_places(y, x, stride, r, c, width))
                for _ in range(c):
                    taps[to] = flat[at]
                    at, to = at + np.uintp(kh * kw), to + np.uintp(1)
        for i in range(r):
            at, apart = i * width, r * width
            _in(kind, taps, at, apart, LANES, scratch, at, apart, LANES, vectors)
        for i in range(a):
            at, to = i * r * width, i * a * point + row * width
            _in(kind, scratch, at, width, LANES, u, to, point, LANES, vectors)


@kernel
def _write_weights(chunk, chunks, sums, kind, a, r, stride, out):
    """out[k] = G^T S[:, k] G, back in the order of the kernel: the transpose."""
    k, c, kh, kw = out.shape
    width, point, row_size = sums.shape[2], sums.strides[0] // sums.itemsize, c * kh * kw
    flat, taps = out.reshape(-1), aligned_floats(r * r * width)
    vectors = (stride * stride * c + LANES - 1) // LANES
    scratch = aligned_floats(a * r * width)
    for row in range(chunk * k // chunks, (chunk + 1) * k // chunks):
        for i in range(a):
            at, to = i * a * point + row * width, i * r * width
            _out(kind, sums, at, point, LANES, scratch, to, width, LANES, vectors)
        for i in range(r):
            at, apart = i * width, r * width
            _out(kind, scratch, at, apart, LANES, taps, at, apart, LANES, vectors)
        for y in range(kh):
            for x in range(kw):
                at = np.uintp(_places(y, x, stride, r, c, width))
                to = np.uintp(row * row_size + y * kw + x)
                for _ in range(c):
                    flat[to] = taps[at]
                    at, to = at + np.uintp(1), to + np.uintp(kh * kw)


def to_points(weight: Array, tile: Tile, stride: int) -> Array:
    """U [a*a, K, C' or more] of weight [K,C,KH,KW]."""
    k, c = weight.shape[:2]
    kind, a, r = TILES.index(tile), tile.products, tile.taps
    # An odd number of vectors: the caches have few places for rows a power of two apart.
    u = points_apart(a * a, k, (-(-c * stride * stride // LANES) | 1) * LANES)
    weight = contiguous(weight)
    run(_read_weights, chunks_for(k, 4), weight, kind, a, r, stride, u)
    return u


def from_points(sums: Array, tile: Tile, stride: int, shape: tuple[int, ...]) -> Array:
    """The transpose: S [a*a, K, C' or more, in whole vectors] -> [K,C,KH,KW]."""
    out = empty(shape, sums.dtype)
    sizes = TILES.index(tile), tile.products, tile.taps
    run(_write_weights, chunks_for(shape[0], 4), sums, *sizes, stride, out)
    return out
