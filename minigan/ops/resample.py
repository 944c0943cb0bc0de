"""Changing the resolution of images [N,C,H,W].

Nearest upsampling repeats pixels; its adjoint sums blocks. Bilinear upsampling and average
pooling are separable linear maps, y = A x B^T with small matrices A (rows) and B (columns), so one
operation serves both and is differentiated by transposing the matrices. Max pooling picks
positions once and is then a gather. Padding by reflection or replication is a gather of rows and
columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigan.autograd import Function
from minigan.backends import kernels_for
from minigan.backends.reference import padded_from
from minigan.errors import ConfigError, ShapeError
from minigan.ops.operands import pair
from minigan.ops.shape import GatherLast, PadConstant, Take
from minigan.tensor import Tensor


class UpsampleNearest(Function):
    """Each pixel repeated in a block of `scale`; adjoint of BlockSum."""

    def __init__(self, scale: tuple[int, int]) -> None:
        self.scale = scale

    def forward(self, x: Any) -> Any:
        return kernels_for(x).upsample_nearest(x, self.scale)

    def backward(self, grad: Tensor) -> Tensor:
        return BlockSum(self.scale)(grad)


class BlockSum(Function):
    """The sum of each block of `scale`; adjoint of UpsampleNearest."""

    def __init__(self, scale: tuple[int, int]) -> None:
        self.scale = scale

    def forward(self, x: Any) -> Any:
        return kernels_for(x).block_sum(x, self.scale)

    def backward(self, grad: Tensor) -> Tensor:
        return UpsampleNearest(self.scale)(grad)


class PadImage(Function):
    """x [N,C,H,W] with borders (left, right, top, bottom) that repeat it; dual to FoldBorders."""

    def __init__(self, widths: tuple[int, int, int, int], mode: str) -> None:
        self.widths, self.mode = widths, mode

    def forward(self, x: Any) -> Any:
        self.input_hw = x.shape[2:]
        return kernels_for(x).pad2d(x, self.widths, self.mode)

    def backward(self, grad: Tensor) -> Tensor:
        return FoldBorders(self.input_hw, self.widths, self.mode)(grad)


class FoldBorders(Function):
    """The borders added to the pixels that they repeat: the adjoint of PadImage."""

    def __init__(
        self, input_hw: tuple[int, int], widths: tuple[int, int, int, int], mode: str
    ) -> None:
        self.input_hw, self.widths, self.mode = input_hw, widths, mode

    def forward(self, x: Any) -> Any:
        return kernels_for(x).pad2d_adjoint(x, self.input_hw, self.widths, self.mode)

    def backward(self, grad: Tensor) -> Tensor:
        return PadImage(self.widths, self.mode)(grad)


class SeparableMap(Function):
    """y = A x B^T for each image x [H,W], A [OH,H], B [OW,W] fixed; dx = A^T dy B."""

    def __init__(self, rows: np.ndarray, columns: np.ndarray) -> None:
        self.rows, self.columns = rows, columns

    def forward(self, x: Any) -> Any:
        k = kernels_for(x)
        rows, columns = (k.constant(m, x.dtype) for m in (self.rows, self.columns))
        return k.matmul(rows, k.matmul(x, columns.T))

    def backward(self, grad: Tensor) -> Tensor:
        return SeparableMap(self.rows.T, self.columns.T)(grad)


# --- upsampling -----------------------------------------------------------------------------------
def _bilinear_matrix(
    size: int, output: int, align_corners: bool, scale: float | None
) -> np.ndarray:
    """Row o holds the weights of the pixels from which output pixel o is interpolated."""
    at = np.arange(output, dtype=np.float64)
    if align_corners:
        source = at * ((size - 1) / (output - 1) if output > 1 else 0.0)
    else:
        ratio = size / output if scale is None else 1.0 / scale
        source = np.maximum((at + 0.5) * ratio - 0.5, 0.0)
    low = np.minimum(source.astype(np.int64), size - 1)
    high = np.minimum(low + 1, size - 1)
    matrix = np.zeros((output, size))
    here = np.arange(output)
    np.add.at(matrix, (here, low), 1.0 - (source - low))
    np.add.at(matrix, (here, high), source - low)
    return matrix


def _nearest_index(size: int, output: int, scale: float | None) -> np.ndarray:
    ratio = size / output if scale is None else 1.0 / scale
    return np.minimum((np.arange(output) * ratio).astype(np.int64), size - 1)


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """Resize [N,C,H,W] to `size` or by `scale_factor`, mode "nearest" or "bilinear"."""
    if input.ndim != 4:
        raise ShapeError(f"upsample: input must be [N,C,H,W]; got shape {tuple(input.shape)}")
    if (size is None) == (scale_factor is None):
        raise ConfigError("upsample: give either size or scale_factor")
    if mode not in ("nearest", "bilinear"):
        raise ConfigError(f"upsample: mode {mode!r} is unknown; use 'nearest' or 'bilinear'")
    h, w = input.shape[2:]
    scales: tuple[float | None, float | None] = (None, None)
    if size is not None:
        output = pair(size, "upsample: size")
    else:
        both = isinstance(scale_factor, (tuple, list))
        scales = tuple(scale_factor) if both else (scale_factor, scale_factor)
        output = (math.floor(h * scales[0]), math.floor(w * scales[1]))
    if min(output) < 1:
        raise ShapeError(f"upsample: {h}x{w} would become {output[0]}x{output[1]}")
    if mode == "bilinear":
        rows = _bilinear_matrix(h, output[0], bool(align_corners), scales[0])
        return SeparableMap(rows, _bilinear_matrix(w, output[1], bool(align_corners), scales[1]))(
            input
        )
    if output[0] % h == 0 and output[1] % w == 0:
        return UpsampleNearest((output[0] // h, output[1] // w))(input)
    constant = kernels_for(input._array).constant
    rows, columns = (
        constant(_nearest_index(n, o, s))
        for n, o, s in ((h, output[0], scales[0]), (w, output[1], scales[1]))
    )
    return Take(columns, 3)(Take(rows, 2)(input))


interpolate = upsample


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """[N, C r^2, H, W] -> [N, C, H r, W r], channels becoming pixels (Shi et al. 2016)."""
    if input.ndim != 4:
        raise ShapeError(f"pixel_shuffle: input must be [N,C,H,W]; got shape {tuple(input.shape)}")
    n, c, h, w = input.shape
    r = int(upscale_factor)
    if r < 1 or c % (r * r):
        raise ShapeError(f"pixel_shuffle: {c} channels are no multiple of {r}^2")
    x = input.reshape(n, c // (r * r), r, r, h, w)
    return x.permute(0, 1, 4, 2, 5, 3).reshape(n, c // (r * r), h * r, w * r)


# --- pooling --------------------------------------------------------------------------------------
def _pooled_length(n: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> int:
    span = n + 2 * p - d * (k - 1) - 1
    length = (-(-span // s) if ceil_mode else span // s) + 1
    if ceil_mode and (length - 1) * s >= n + p:  # a window must start inside the image
        length -= 1
    return length


def _pool_geometry(
    input: Tensor, op: str, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Any, Any, Any, Any, tuple[int, int]]:
    if input.ndim != 4:
        raise ShapeError(f"{op}: input must be [N,C,H,W]; got shape {tuple(input.shape)}")
    k = pair(kernel, f"{op}: kernel_size")
    s = k if stride is None else pair(stride, f"{op}: stride")
    p, d = pair(padding, f"{op}: padding"), pair(dilation, f"{op}: dilation")
    if any(2 * pad > size for pad, size in zip(p, k, strict=True)):
        raise ShapeError(f"{op}: padding {p} is more than half of the kernel {k}")
    output = tuple(
        _pooled_length(*each, ceil_mode) for each in zip(input.shape[2:], k, s, p, d, strict=True)
    )
    if min(output) < 1:
        raise ShapeError(f"{op}: an image {tuple(input.shape[2:])} is too small for a kernel {k}")
    return k, s, p, d, output  # type: ignore[return-value]


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest value of each window; its gradient goes to the first of equal ones."""
    k, s, p, d, output = _pool_geometry(
        input, "max_pool2d", kernel_size, stride, padding, dilation, ceil_mode
    )
    n, c = input.shape[:2]
    index = kernels_for(input._array).max_pool2d_indices(input._array, k, s, p, d, output)
    flat = input.reshape(n, c, input.shape[2] * input.shape[3])
    return GatherLast(index.reshape(n, c, output[0] * output[1]))(flat).reshape(n, c, *output)


def _average_matrix(
    n: int, k: int, s: int, p: int, output: int, count_include_pad: bool
) -> np.ndarray:
    matrix = np.zeros((output, n))
    for o in range(output):
        start = o * s - p
        end = min(start + k, n + p)  # a ceil_mode window may hang over the padding
        inside = slice(max(start, 0), min(end, n))
        count = end - start if count_include_pad else inside.stop - inside.start
        matrix[o, inside] = 1.0 / count
    return matrix


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window."""
    k, s, p, _, output = _pool_geometry(
        input, "avg_pool2d", kernel_size, stride, padding, 1, ceil_mode
    )
    rows, columns = (
        _average_matrix(*each, count_include_pad)
        for each in zip(input.shape[2:], k, s, p, output, strict=True)
    )
    return SeparableMap(rows, columns)(input)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means over windows that tile the image into output_size; None keeps a length."""
    if input.ndim != 4:
        raise ShapeError(
            f"adaptive_avg_pool2d: input must be [N,C,H,W]; got shape {tuple(input.shape)}"
        )
    sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    matrices = []
    for n, o in zip(input.shape[2:], sizes, strict=True):
        o = n if o is None else int(o)
        matrix = np.zeros((o, n))
        for i in range(o):
            inside = slice(i * n // o, -(-(i + 1) * n // o))
            matrix[i, inside] = 1.0 / (inside.stop - inside.start)
        matrices.append(matrix)
    return SeparableMap(*matrices)(input)


# --- padding --------------------------------------------------------------------------------------
_REPEATING = ("reflect", "replicate", "circular")


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Borders around the last axes: pad = (left, right, top, bottom, ...), from the last axis on.

    Modes "constant" (with `value`; negative widths crop), "reflect", "replicate", "circular".
    """
    widths = [int(n) for n in pad]
    if len(widths) % 2 or len(widths) > 2 * input.ndim:
        raise ShapeError(f"pad: {tuple(widths)} are not pairs for the axes of {tuple(input.shape)}")
    pairs = [(widths[i], widths[i + 1]) for i in range(0, len(widths), 2)]
    axes = [input.ndim - 1 - i for i in range(len(pairs))]
    if mode == "constant":
        return _pad_constant(input, dict(zip(axes, pairs, strict=True)), float(value or 0.0))
    if mode not in _REPEATING:
        raise ConfigError(f"pad: mode {mode!r} is unknown; use constant or {', '.join(_REPEATING)}")
    for axis, (before, after) in zip(axes, pairs, strict=True):
        n = input.shape[axis]
        limit = {"reflect": n - 1, "circular": n, "replicate": math.inf if n else 0}[mode]
        if max(before, after) > limit:
            raise ShapeError(
                f"pad: {mode} padding ({before}, {after}) needs less than the axis of length {n}"
            )
    if input.ndim == 4 and len(pairs) == 2 and min(widths) >= 0:
        return PadImage(tuple(widths), mode)(input)  # type: ignore[arg-type]
    constant = kernels_for(input._array).constant
    for axis, (before, after) in zip(axes, pairs, strict=True):
        at = padded_from(input.shape[axis], before, after, mode)
        input = Take(constant(at), axis)(input)
    return input


def _pad_constant(x: Tensor, pairs: dict[int, tuple[int, int]], value: float) -> Tensor:
    if any(a < 0 or b < 0 for a, b in pairs.values()):
        key = [slice(None)] * x.ndim
        for axis, (a, b) in pairs.items():
            if x.shape[axis] + a + b < 0:
                raise ShapeError(f"pad: ({a}, {b}) crops more than the axis of {x.shape[axis]}")
            key[axis] = slice(max(-a, 0), x.shape[axis] - max(-b, 0))
        x = x[tuple(key)]
    widths = tuple(tuple(max(n, 0) for n in pairs.get(axis, (0, 0))) for axis in range(x.ndim))
    return PadConstant(widths, value)(x) if any(map(any, widths)) else x  # type: ignore[arg-type]
