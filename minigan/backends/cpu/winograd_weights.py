"""The weights of Winograd's convolutions: U = G w G^T for each phase of the stride, and back.

Layouts and names are those of `winograd.py`; the matrices those of `winograd_matrices.py`.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.threads import chunks_for, kernel, run
from minigan.backends.protocol import Array


@kernel
def _read_weights(chunk, chunks, weight, both, stride, u):
    """u[f, k, :] = G w G^T of each phase's taps; `both` is the Kronecker square of G."""
    (points, k, channels), (_, _, kh, kw) = u.shape, weight.shape
    r = (kh + stride - 1) // stride
    taps = np.zeros((r * r, channels), np.float32)
    for row in range(chunk * k // chunks, (chunk + 1) * k // chunks):
        for c in range(weight.shape[1]):
            for y in range(kh):
                for x in range(kw):
                    phase = (c * stride + y % stride) * stride + x % stride
                    taps[y // stride * r + x // stride, phase] = weight[row, c, y, x]
        for f in range(points):
            u[f, row] = 0
            for tap in range(r * r):
                for c in range(channels):
                    u[f, row, c] += both[f, tap] * taps[tap, c]


@kernel
def _write_weights(chunk, chunks, sums, both, stride, out):
    """out[k] = G^T S[:, k] G, back in the order of the kernel: the transpose."""
    k, channels, kh, kw = out.shape
    r, width = (kh + stride - 1) // stride, channels * stride * stride
    taps = np.empty((r * r, width), np.float32)
    for row in range(chunk * k // chunks, (chunk + 1) * k // chunks):
        taps[:] = 0
        for f in range(sums.shape[0]):
            for tap in range(r * r):
                for c in range(width):
                    taps[tap, c] += both[f, tap] * sums[f, row, c]
        for c in range(channels):
            for y in range(kh):
                for x in range(kw):
                    phase = (c * stride + y % stride) * stride + x % stride
                    out[row, c, y, x] = taps[y // stride * r + x // stride, phase]


def to_points(weight: Array, g: Array, stride: int) -> Array:
    """U [a*a, K, C'] of weight [K,C,KH,KW]."""
    k, c = weight.shape[:2]
    u = np.empty((len(g) ** 2, k, c * stride * stride), weight.dtype)
    run(_read_weights, chunks_for(k, 4), np.ascontiguousarray(weight), np.kron(g, g), stride, u)
    return u


def from_points(sums: Array, g: Array, stride: int, shape: tuple[int, ...]) -> Array:
    """The transpose: S [a*a, K, C' or more] -> [K,C,KH,KW]."""
    out = np.empty(shape, sums.dtype)
    run(_write_weights, chunks_for(shape[0], 4), sums, np.kron(g, g), stride, out)
    return out
