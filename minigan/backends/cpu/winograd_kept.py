"""Transformed weights that are used again while the weights stay the same.

A GAN's step reads the same weights two to eight times between updates, in the passes over real and
generated images and in their gradients, and of 64 images with 256 to 512 channels at 8x8 the
transform costs a quarter of each. So U is kept beside a copy of what it was made of, and taken
again only if the weights at that address are the same bits. To compare them costs a thirtieth of
the transform, and no count of versions has to be trusted: results are the same bits with and
without.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minigan.backends.cpu.arrays import contiguous
from minigan.backends.cpu.threads import chunks_for, compiled, kernel, run
from minigan.backends.protocol import Array
from minigan.backends.recorded import Tape, raw, tape

_MOST_BYTES = 3 << 26  # of all that is kept: the networks of DCGAN at 64 pixels
_UNUSED = 256  # uses of others, after which a transform may go: a step of CycleGAN has 144


class _Kept(NamedTuple):
    weight: Array
    u: Array
    used: int  # how many uses there had been of all


_kept: OrderedDict[tuple[Any, ...], _Kept] = OrderedDict()  # the newest use last
_uses = itertools.count()
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
    if (now := tape()) is not None:
        return _kept_on(now, transform, weight, how)
    weight = np.ascontiguousarray(weight)
    key = weight.__array_interface__["data"][0], weight.shape, how
    with _lock:
        use, found = next(_uses), _kept.pop(key, None)
    if found is not None and not _same_bits(found.weight, weight):
        found = None
    u = transform(weight, *how) if found is None else found.u
    with _lock:
        if _has_room(u.nbytes + weight.nbytes, use):
            copy = weight.copy() if found is None else found.weight
            _kept[key] = _Kept(copy, u, use)
    return u


def forget() -> None:
    """Drop all that is kept."""
    with _lock:
        _kept.clear()


def _kept_on(
    now: Tape, transform: Callable[..., Array], weight: Array, how: tuple[Any, ...]
) -> Array:
    """The same for a step that is recorded: whether to transform is asked each time it is repeated,
    and what is kept is the tape's."""
    weight = contiguous(weight)
    source, mine = raw(weight), now.memory.notes.setdefault(__name__, {})
    key = source.ctypes.data, source.shape, how
    if key not in mine:
        if sum(u.nbytes + again.of.nbytes for again, u in mine.values()) >= _MOST_BYTES:
            return transform(weight, *how)
        with now.apart() as actions:
            u = transform(weight, *how)
        of = source.copy()
        actions.append(partial(np.copyto, of, source))
        mine[key] = _Again(source, of, compiled(actions)), u
    again, u = mine[key]
    now.do(again)
    return u


class _Again(NamedTuple):
    """Transforms weights into their place, unless it was done of the same bits."""

    weight: Array
    of: Array
    actions: list[Callable[[], Any]]

    def __call__(self) -> None:
        if not _same_bits(self.of, self.weight):
            for action in self.actions:
                action()


def _has_room(size: int, use: int) -> bool:
    """Whether so many bytes more are within the bound, without what has long been unused.

    What is in use is not given up for a newcomer: a network whose weights do not all fit takes them
    in turns, and each would then push out the one that is needed next.
    """
    left = _MOST_BYTES - sum(one.u.nbytes + one.weight.nbytes for one in _kept.values())
    while left < size and _kept and next(iter(_kept.values())).used < use - _UNUSED:
        _, oldest = _kept.popitem(last=False)
        left += oldest.u.nbytes + oldest.weight.nbytes
    return left >= size
