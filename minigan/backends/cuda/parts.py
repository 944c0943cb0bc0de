"""Sums that are cut into parts, so that more of a GPU's multiprocessors share them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigan.backends.cuda.launch import NULL, Launcher, pointer
from minigan.backends.protocol import Array


def in_parts(
    to: Launcher, splits: int, bias: Array | None, out: Array, run: Callable[[Array, Array], None]
) -> None:
    """`run(bias, out)`, or run(no bias, parts) and out = parts.sum(0) + bias, in a fixed order.

    out is C-contiguous, bias is of its axis 1, parts are [splits, *out.shape].
    """
    start = pointer(None if bias is None else to.xp.ascontiguousarray(bias))
    if splits == 1:
        run(start, out)
        return
    parts = to.xp.empty((splits, *out.shape), dtype=np.float32)
    run(NULL, parts)
    plane, channels = int(np.prod(out.shape[2:], dtype=int)), out.shape[1]
    sizes = map(np.int32, (out.size, splits, plane, channels))
    to.launch("split_sum.cu", "sum_splits", (-(-out.size // 256),), 256,
              (parts, start, out, *sizes))  # fmt: skip
