"""Tables of tensors: what kernels/tensors.cuh takes by value, so that a launch updates many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minigan.backends.cuda.launch import Launcher
from minigan.backends.protocol import Array

_TENSORS, _ARRAYS, _CHUNK = 72, 5, 4096  # tensors.cuh
THREADS = 256

_TABLE = np.dtype(
    [
        ("array", np.uint64, (_ARRAYS, _TENSORS)),
        ("size", np.int32, _TENSORS),
        ("row", np.int32, _TENSORS),
        ("first_chunk", np.int32, _TENSORS + 1),
        ("count", np.int32),
    ],
    align=True,
)  # Tensors


def tables(
    to: Launcher, tensors: Sequence[tuple[Array | None, ...]], rows: Sequence[int]
) -> Iterator[tuple[Any, int, list[Array]]]:
    """(struct, blocks, the arrays that it points to), as many as it takes for all tensors.

    `tensors` has for each parameter its arrays: C-contiguous float32, of one size.
    """
    for first in range(0, len(tensors), _TENSORS):
        part = tensors[first : first + _TENSORS]
        table = np.zeros((), _TABLE)
        sizes = [arrays[0].size for arrays in part]  # type: ignore[union-attr]
        chunks = np.cumsum([-(-size // _CHUNK) for size in sizes])
        table["count"] = len(part)
        table["size"][: len(part)] = sizes
        table["row"][: len(part)] = rows[first : first + len(part)]
        table["first_chunk"][1 : len(part) + 1] = chunks
        for i, arrays in enumerate(part):
            addresses = [0 if a is None or not a.size else to.address(a) for a in arrays]
            table["array"][: len(arrays), i] = addresses
        pointed = [a for arrays in part for a in arrays if a is not None]
        yield table[()], int(chunks[-1]), pointed
