"""Which kernel computes a convolution: a rule on its shape, the precision and the GPU.

There is no autotuning: the same shape takes the same kernel, and so the same bits, in every run.

1. At most 4 output channels (a last layer; the input gradient of a first one): `few_outputs`. A
   tile of 64 channels would multiply by zeros in 60 of its rows.
2. At most 4 channels to sum over (a first layer; the input gradient of a last one): `few_inputs`.
   Such a sum is short, and the time goes to writing the result.
3. A filter as large as the image, unpadded: a matrix product.
4. Compute capability 8.0 or more, groups = 1: kernels that copy asynchronously, named as the
   precision: `fp32`, or on the tensor cores `tf32`, `3xtf32`. The largest tile that is not half
   empty and fills the GPU once; only tf32 has the registers for the largest.
5. Otherwise the fp32 tiles that cover everything: `simt`.

For a weight gradient the sum is over pixels, and the first rules change: with at most 4 filters
`few_filters`, and with at most 4 channels of x `simt`, since the other tiles have 16 columns for a
tap.

Where the blocks would not fill the GPU, the sum is cut into parts, added up in a fixed order, for
two blocks a multiprocessor. A weight gradient is always cut so: its results are few, its sum long.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Protocol

from minigan.backends.protocol import Pair

MAX_TAPS = 63  # window.cuh
FEW = 4  # conv_direct.cu, conv_weight_grad_direct.cu
_SLICE = 16  # gemm_tile.cuh, async_tile.cuh: ASYNC_SLICE; conv_weight_grad_async.cu: TAP_COLUMNS
_TILES = ((128, 128), (64, 128), (64, 64))  # the entries of conv_*_async.cu
ASYNC = ("fp32", "tf32", "3xtf32")


class Gpu(Protocol):
    """What the rule must know of a GPU; a launcher says it."""

    @property
    def capability(self) -> tuple[int, int]: ...

    @property
    def multiprocessors(self) -> int: ...


@dataclass(frozen=True)
class Conv:
    """x [n,c,*image] with weight [k,c/groups,*kernel] -> [n,k,*output]."""

    n: int
    c: int
    image: Pair
    k: int
    kernel: Pair
    output: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    @property
    def taps(self) -> int:
        return prod(self.kernel)

    @property
    def phases(self) -> int:
        return prod(self.stride)

    @property
    def phase_taps(self) -> int:
        """The most taps that reach one phase of the stride: every `period`-th along each axis."""
        return prod(-(-r // _period(s, d)) for r, s, d in
                    zip(self.kernel, self.stride, self.dilation, strict=True))  # fmt: skip

    @property
    def phase_pixels(self) -> int:
        """Pixels of x in the largest phase."""
        return self.n * prod(-(-h // s) for h, s in zip(self.image, self.stride, strict=True))

    @property
    def is_product(self) -> bool:
        """One window, the whole image: y = x [n, c*h*w] @ weight [k, c*h*w].T."""
        ones = self.padding == (0, 0) and self.dilation == (1, 1) and self.groups == 1
        return ones and self.kernel == self.image

    @property
    def pixels(self) -> int:
        return self.n * prod(self.output)


def _period(stride: int, dilation: int) -> int:
    return next(p for p in range(1, stride + 1) if p * dilation % stride == 0)


@dataclass(frozen=True)
class Plan:
    """A kernel, the results that one block computes (channels x pixels), the parts of the sum."""

    kernel: str  # simt, few_outputs, few_inputs, few_filters, matmul, or of ASYNC
    tile: Pair = (64, 64)
    splits: int = 1

    @property
    def threads(self) -> int:
        return 128 if self.kernel in ASYNC else 256


def forward(conv: Conv, precision: str, gpu: Gpu) -> Plan:
    """The plan of conv2d."""
    return _windows(conv.c, conv.k, conv, conv.taps, conv.pixels, 1, precision, gpu)


def input_grad(conv: Conv, precision: str, gpu: Gpu) -> Plan:
    """The plan of conv2d_input_grad."""
    depth, pixels = conv.phase_taps, conv.phase_pixels
    return _windows(conv.k, conv.c, conv, depth, pixels, conv.phases, precision, gpu)


def _windows(
    inputs: int, outputs: int, conv: Conv, taps: int, pixels: int, phases: int, precision: str,
    gpu: Gpu,
) -> Plan:  # fmt: skip
    summed, results = inputs // conv.groups, outputs // conv.groups
    if conv.taps <= MAX_TAPS and results <= FEW:
        blocks = -(-pixels // 128) * phases * conv.groups
        return Plan("few_outputs", (FEW, 128), _splits(blocks, summed, 32, gpu))
    if conv.taps <= MAX_TAPS and summed <= FEW:
        return Plan("few_inputs", (64, 128))
    if conv.is_product:
        return Plan("matmul")
    kernel, tile = "simt", (64, 64)
    if conv.taps <= MAX_TAPS and _async(conv, gpu):
        kernel, tile = precision, _tile(outputs, pixels, phases, precision, gpu)
    blocks = _blocks(tile, results, pixels) * phases * conv.groups
    full = blocks >= gpu.multiprocessors
    return Plan(kernel, tile, 1 if full else _splits(blocks, summed * taps, 4 * _SLICE, gpu))


def weight_grad(conv: Conv, precision: str, gpu: Gpu) -> Plan:
    """The plan of conv2d_weight_grad."""
    filters, columns = conv.k // conv.groups, conv.c // conv.groups * conv.taps
    if filters <= FEW and conv.kernel[1] <= 8:
        warps = conv.c * conv.kernel[0]
        return Plan("few_filters", (FEW, 1), _splits(-(-warps // 8), conv.pixels, 256, gpu))
    if conv.is_product:
        return Plan("matmul")
    kernel, tile = "simt", (64, 64)
    if conv.c > FEW and conv.taps <= MAX_TAPS and _async(conv, gpu):
        # The sum is cut anyway: the tile is the largest that is at least half full.
        kernel, columns = precision, conv.taps * -(-conv.c // _SLICE) * _SLICE
        tile = next(t for t in _tiles(precision) if t == (64, 64) or _fits(t, filters, columns))
    blocks = _blocks(tile, filters, columns) * conv.groups
    return Plan(kernel, tile, _splits(blocks, conv.pixels, _SLICE, gpu))


def matmul_splits(batch: int, m: int, n: int, k: int, gpu: Gpu) -> int:
    """The parts of the sum over k in a batch of [m,k] [k,n]."""
    blocks = batch * _blocks((64, 64), m, n)
    return 1 if blocks >= gpu.multiprocessors else _splits(blocks, k, 4 * _SLICE, gpu)


def _async(conv: Conv, gpu: Gpu) -> bool:
    return gpu.capability >= (8, 0) and conv.groups == 1


def _tiles(precision: str) -> tuple[Pair, ...]:
    return _TILES if precision == "tf32" else _TILES[1:]


def _blocks(tile: Pair, rows: int, columns: int) -> int:
    return -(-rows // tile[0]) * -(-columns // tile[1])


def _fits(tile: Pair, rows: int, columns: int) -> bool:
    return rows > tile[0] // 2 and columns > tile[1] // 2


def _tile(rows: int, columns: int, phases: int, precision: str, gpu: Gpu) -> Pair:
    for tile in _tiles(precision):
        enough = _blocks(tile, rows, columns) * phases >= gpu.multiprocessors
        if enough and _fits(tile, rows, columns):
            return tile
    return 64, 64


def _splits(blocks: int, terms: int, least: int, gpu: Gpu) -> int:
    """Parts of a sum of `terms`, for two blocks a multiprocessor; none shorter than `least`."""
    return max(1, min(-(-2 * gpu.multiprocessors // blocks), terms // least))
