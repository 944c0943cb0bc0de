"""Which maps a convolution and its input gradient consist of.

A map reads a source image at a list of taps (dy, dx):

    out[n, k, i, j] = sum over c, t of  weight[k, c, t] * x[n, c, i*sy + dy[t], j*sx + dx[t]]

with 0 outside the image. The forward convolution is one map: dy = kh * dilation - padding, and the
step (sy, sx) is the stride. The input gradient with strides (sh, sw) is sh * sw maps of step 1, one
for each residue of the output position, each with the taps that reach it; no tap is multiplied by
a zero between pixels, and no two threads add to one pixel. So a transposed 4x4 stride-2
convolution runs as four 2x2 ones.

The tables depend on sizes alone, and a network meets the same few sizes in each step, so they are
kept. Nobody writes to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from minigan.backends.protocol import Array, Pair


@dataclass(frozen=True)
class Maps:
    """The taps of all maps, one map after the other, and a table with a row for each map."""

    picks: Array
    """int64 [T]: which tap of the kernel, row by row."""
    taps: Array
    """int64 [T,2]: the row and column that it reads, for the pixel 0, 0 of the map."""
    table: Array
    """int64 [M,6]: taps from, to; the pixel 0, 0 in the output (row, column); rows and columns."""
    strides: Pair
    """The distance of a map's pixels in the output, which is the same for all maps."""
    bounds: tuple[Pair, Pair]
    """Smallest and largest row and column of all taps."""
    bare: tuple[Pair, ...]
    """First pixels of the maps that no tap reaches: these pixels of the output are the bias."""


@lru_cache(maxsize=1024)
def kernel_taps(kernel_hw: Pair, padding: Pair, dilation: Pair) -> Array:
    """Where the taps of a forward convolution read, relative to i * stride: int64 [KH*KW, 2]."""
    rows, columns = (np.arange(kernel_hw[i]) * dilation[i] - padding[i] for i in (0, 1))
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


@lru_cache(maxsize=1024)
def forward_maps(kernel_hw: Pair, padding: Pair, dilation: Pair, out_hw: Pair) -> Maps:
    """The one map of a forward convolution."""
    taps = kernel_taps(kernel_hw, padding, dilation)
    return _maps(list(range(len(taps))), [taps], [(0, len(taps), 0, 0, *out_hw)], (1, 1), [])


@lru_cache(maxsize=1024)
def input_grad_maps(
    kernel_hw: Pair, stride: Pair, padding: Pair, dilation: Pair, input_hw: Pair
) -> Maps:
    """The maps of an input gradient, one for each residue of the output position."""
    # Input row y met output row i at tap h when y = i * stride + h * dilation - padding; for the
    # rows y = q * stride + top that is i = q + (top + padding - h * dilation) / stride.
    offsets = kernel_taps(kernel_hw, padding, dilation)
    picks: list[int] = []
    taps, bare = [], []
    table: list[tuple[int, ...]] = []
    for top, left in product(*(range(min(stride[i], input_hw[i])) for i in (0, 1))):
        distance = np.array((top, left)) - offsets
        reaching = np.flatnonzero((distance % stride == 0).all(axis=1))
        if reaching.size == 0:
            bare.append((top, left))
            continue
        rows, columns = -(-(input_hw[0] - top) // stride[0]), -(-(input_hw[1] - left) // stride[1])
        table.append((len(picks), len(picks) + reaching.size, top, left, rows, columns))
        taps.append(distance[reaching] // stride)
        picks += reaching.tolist()
    return _maps(picks, taps, table, stride, bare)


def _maps(
    picks: list[int],
    taps: list[Array],
    table: list[tuple[int, ...]],
    strides: Pair,
    bare: list[Pair],
) -> Maps:
    all_taps = np.concatenate(taps) if taps else np.zeros((0, 2), np.int64)
    (top, left), (bottom, right) = (
        (all_taps.min(axis=0).tolist(), all_taps.max(axis=0).tolist())
        if picks
        else ((0, 0), (0, 0))
    )
    bounds = (top, left), (bottom, right)
    return Maps(np.array(picks), all_taps, np.array(table), strides, bounds, tuple(bare))
