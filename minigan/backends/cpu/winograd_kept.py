"""Transformed weights that are used again while the weights stay the same.

A GAN's step reads the same weights two to eight times between updates, in the passes over real and
generated images and in their gradients, and of 64 images with 256 to 512 channels at 8x8 the
transform costs a quarter of each. So U is kept beside a copy of what it was made of, and taken
again only if the weights at that address are the same bits. To compare them costs a thirtieth of
the transform, and no count of versions has to be trusted: results are the same bits with and
without.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigan.backends.cpu.threads import chunks_for, kernel, run
from minigan.backends.protocol import Array

_MOST_BYTES = 3 << 26  # of all that is kept: the networks of DCGAN at 64 pixels


class _Kept(NamedTuple):
    weight: Array
    u: Array


_kept: OrderedDict[tuple[Any, ...], _Kept] = OrderedDict()  # the newest use last
_lock = threading.Lock()


@kernel
def _differences(chunk, chunks, a, b, found):
    """found[chunk] is not 0 where bits of the chunk differ."""
    bits = np.int32(0)
    for i in range(np.uintp(chunk * a.size // chunks), np.uintp((chunk + 1) * a.size // chunks)):
        bits |= a[i] ^ b[i]
    found[chunk] = bits


def _same_bits(a: Array, b: Array) -> bool:
    chunks = chunks_for(a.size, 1 << 16)
    found = np.zeros(chunks, np.int32)
    run(_differences, chunks, a.reshape(-1).view(np.int32), b.reshape(-1).view(np.int32), found)
    return not found.any()


def kept(transform: Callable[..., Array], weight: Array, *how: Any) -> Array:
    """transform(weight, *how), computed now or before; to be read only."""
    weight = np.ascontiguousarray(weight)
    key = weight.__array_interface__["data"][0], weight.shape, how
    with _lock:
        found = _kept.pop(key, None)
    if found is None or not _same_bits(found.weight, weight):
        found = _Kept(weight.copy(), transform(weight, *how))
    with _lock:
        _kept[key] = found
        while sum(one.u.nbytes + one.weight.nbytes for one in _kept.values()) > _MOST_BYTES:
            _kept.popitem(last=False)
    return found.u
