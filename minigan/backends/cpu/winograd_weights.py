"""The weights of Winograd's convolutions: U = G w G^T for each phase of the stride, and back.

Layouts and names are those of `winograd.py`; the matrices those of `winograd_matrices.py`. The
channels are the lanes.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.lanes import LANES
from minigan.backends.cpu.threads import chunks_for, helper, kernel, run
from minigan.backends.cpu.winograd_matrices import SIZES, tables
from minigan.backends.cpu.winograd_mix import mixer
from minigan.backends.protocol import Array

_G = [g for _, g, _ in tables()]
_in, _out = mixer(_G), mixer([g.T for g in _G])


@helper
def _phase(row, column, stride, r):
    """Of a pixel of the kernel: its tap, and its phase of the stride."""
    tap = row // stride * r + column // stride
    return tap, row % stride * stride + column % stride


@kernel
def _read_weights(chunk, chunks, weight, kind, a, r, stride, u):
    """u[f, k, :] = G w G^T of each phase's taps, 0 beyond the last channel."""
    k, c, kh, kw = weight.shape
    width, point, row_size = u.shape[2], np.uintp(u[0].size), c * kh * kw
    flat, taps = weight.reshape(-1), np.zeros(r * r * width, np.float32)
    scratch = np.empty(a * r * LANES, np.float32)
    for row in range(chunk * k // chunks, (chunk + 1) * k // chunks):
        for y in range(kh):
            for x in range(kw):
                tap, phase = _phase(y, x, stride, r)
                at, to = np.uintp(row * row_size + y * kw + x), np.uintp(tap * width + phase)
                for _ in range(c):
                    taps[to] = flat[at]
                    at, to = at + np.uintp(kh * kw), to + np.uintp(stride * stride)
        for c0 in range(0, width, LANES):
            _in(kind, taps, c0, r * width, width, scratch, 0, r * LANES, LANES, r)
            to = row * width + c0
            _in(kind, scratch, 0, LANES, r * LANES, u, to, point, a * point, a)


@kernel
def _write_weights(chunk, chunks, sums, kind, a, r, stride, out):
    """out[k] = G^T S[:, k] G, back in the order of the kernel: the transpose."""
    k, c, kh, kw = out.shape
    width, point, row_size = sums.shape[2], sums[0].size, c * kh * kw
    flat, taps = out.reshape(-1), np.empty(r * r * width, np.float32)
    scratch = np.empty(a * r * LANES, np.float32)
    for row in range(chunk * k // chunks, (chunk + 1) * k // chunks):
        for c0 in range(0, width, LANES):
            start = row * width + c0
            _out(kind, sums, start, point, a * point, scratch, 0, LANES, r * LANES, a)
            _out(kind, scratch, 0, r * LANES, LANES, taps, c0, r * width, width, r)
        for y in range(kh):
            for x in range(kw):
                tap, phase = _phase(y, x, stride, r)
                at, to = np.uintp(tap * width + phase), np.uintp(row * row_size + y * kw + x)
                for _ in range(c):
                    flat[to] = taps[at]
                    at, to = at + np.uintp(stride * stride), to + np.uintp(kh * kw)


def _sizes(kernel_size: int, stride: int) -> tuple[int, int, int]:
    """The kind of tiles, points and taps an axis."""
    r = -(-kernel_size // stride)
    kind = next(number for number, size in enumerate(SIZES) if size[1] == r)
    return kind, SIZES[kind][0] + r - 1, r


def to_points(weight: Array, stride: int) -> Array:
    """U [a*a, K, C' in whole vectors] of weight [K,C,KH,KW]."""
    k, c = weight.shape[:2]
    kind, a, r = _sizes(weight.shape[2], stride)
    u = np.empty((a * a, k, -(-c * stride * stride // LANES) * LANES), weight.dtype)
    weight = np.ascontiguousarray(weight)
    run(_read_weights, chunks_for(k, 4), weight, kind, a, r, stride, u)
    return u


def from_points(sums: Array, stride: int, shape: tuple[int, ...]) -> Array:
    """The transpose: S [a*a, K, C' in whole vectors or more] -> [K,C,KH,KW]."""
    out = np.empty(shape, sums.dtype)
    sizes = _sizes(shape[2], stride)
    run(_write_weights, chunks_for(shape[0], 4), sums, *sizes, stride, out)
    return out
