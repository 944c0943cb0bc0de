"""Philox4x32-10: four words at a time from a counter, so any thread can start anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from minigan.backends.cpu.arrays import empty
from minigan.backends.cpu.threads import chunks_for, helper, kernel, run
from minigan.backends.protocol import Array
from minigan.backends.recorded import tape

_SMALLEST, _SMALLEST_NORMAL = 1 << 12, 1 << 10  # numbers that are worth a thread
_MASK64 = (1 << 64) - 1

_MULTIPLIER0, _MULTIPLIER1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_STEP0, _STEP1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)  # golden ratio, sqrt(3) - 1
_LOW, _WORD, _BYTE = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(8)
_TO_UNIT = 2.0**-24


@helper
def _block(seed, number):
    """The four words of the block with this counter (its low 64 bits; the high ones are 0)."""
    k0, k1 = seed & _LOW, seed >> _WORD
    c0, c1, c2, c3 = number & _LOW, number >> _WORD, np.uint64(0), np.uint64(0)
    for _ in range(10):
        product0, product1 = c0 * _MULTIPLIER0, c2 * _MULTIPLIER1
        c0, c2 = (product1 >> _WORD) ^ c1 ^ k0, (product0 >> _WORD) ^ c3 ^ k1
        c1, c3 = product1 & _LOW, product0 & _LOW
        k0, k1 = (k0 + _STEP0) & _LOW, (k1 + _STEP1) & _LOW
    return c0, c1, c2, c3


@helper
def _normal_pair(a, b):
    """Box-Muller; u is in (0, 1], so its logarithm is finite."""
    u = (np.float64(a >> _BYTE) + 1.0) * _TO_UNIT
    angle = 2.0 * math.pi * (np.float64(b >> _BYTE) * _TO_UNIT)
    radius = math.sqrt(-2.0 * math.log(u))
    return np.float32(radius * math.cos(angle)), np.float32(radius * math.sin(angle))


# `state` is [seed, offset], and a draw begins `ahead` of it: a recorded step begins each time at
# another offset. The outputs have room for whole blocks: [4 * blocks].


@kernel
def _philox(chunk, chunks, state, ahead, out):
    blocks = out.size // 4
    for i in range(chunk * blocks // chunks, (chunk + 1) * blocks // chunks):
        words = _block(state[0], state[1] + ahead + np.uint64(i))
        for lane in range(4):
            out[4 * i + lane] = words[lane]


@kernel
def _philox_uniform(chunk, chunks, state, ahead, out):
    blocks = out.size // 4
    for i in range(chunk * blocks // chunks, (chunk + 1) * blocks // chunks):
        words = _block(state[0], state[1] + ahead + np.uint64(i))
        for lane in range(4):
            out[4 * i + lane] = np.float32(words[lane] >> _BYTE) * np.float32(_TO_UNIT)


@kernel
def _philox_mask(chunk, chunks, state, ahead, p, scale, out):
    blocks = out.size // 4
    for i in range(chunk * blocks // chunks, (chunk + 1) * blocks // chunks):
        words = _block(state[0], state[1] + ahead + np.uint64(i))
        for lane in range(4):
            draw = np.float32(words[lane] >> _BYTE) * np.float32(_TO_UNIT)
            out[4 * i + lane] = np.float32(0) if draw < p else scale


@kernel
def _philox_normal(chunk, chunks, state, ahead, out):
    blocks = out.size // 4
    for i in range(chunk * blocks // chunks, (chunk + 1) * blocks // chunks):
        w0, w1, w2, w3 = _block(state[0], state[1] + ahead + np.uint64(i))
        out[4 * i], out[4 * i + 1] = _normal_pair(w0, w1)
        out[4 * i + 2], out[4 * i + 3] = _normal_pair(w2, w3)


def _draw(
    function: Callable[..., None],
    seed: int,
    offset: int,
    n: int,
    dtype: DTypeLike,
    *scalars: Any,
    smallest: int = _SMALLEST,
) -> Array:
    out: Array = empty(-(-n // 4) * 4, dtype)
    state: Array = np.array([seed & _MASK64, offset & _MASK64], np.uint64)
    ahead = 0
    if (now := tape()) is not None:
        state, ahead = now.counter(seed & _MASK64, offset & _MASK64, n)
    run(function, chunks_for(n, smallest), state, np.uint64(ahead), *scalars, out)
    return out[:n]


def philox(seed: int, offset: int, n: int) -> Array:
    """uint32 [n] from the block with counter `offset` on."""
    return _draw(_philox, seed, offset, n, np.uint32)


def philox_uniform(seed: int, offset: int, n: int) -> Array:
    """float32 [n] in [0, 1)."""
    return _draw(_philox_uniform, seed, offset, n, np.float32)


def philox_mask(seed: int, offset: int, n: int, p: float) -> Array:
    """float32 [n]: 0 with probability p, else 1 / (1 - p)."""
    return _draw(_philox_mask, seed, offset, n, np.float32, np.float32(p), np.float32(1 / (1 - p)))


def philox_normal(seed: int, offset: int, n: int) -> Array:
    """float32 [n], N(0,1)."""
    return _draw(_philox_normal, seed, offset, n, np.float32, smallest=_SMALLEST_NORMAL)
