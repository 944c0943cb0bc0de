"""Launches of the padding that repeats an image, and of its adjoint."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backends import reference
from minigan.backends.cuda.launch import covered, launcher
from minigan.backends.protocol import Array, Pair

Widths = tuple[int, int, int, int]

_THREADS = 256
_MODES = {"reflect": 0, "replicate": 1, "circular": 2}
_PAD = np.dtype(
    [(field, np.int32) for field in ("H", "W", "left", "right", "top", "bottom", "mode")]
)  # Pad


def _launched(kernel: str, x: Array, shape: Any, hw: Pair, widths: Widths, mode: str) -> Array:
    to, xp = launcher(), launcher().xp
    out = xp.empty(shape, dtype=np.float32)
    if out.size:
        sizes = np.array((*hw, *widths, _MODES[mode]), dtype=_PAD)[()]
        grid = (-(-out.size // _THREADS),)
        args = (xp.ascontiguousarray(x), out, np.int32(out.size), sizes)
        to.launch("pad.cu", kernel, grid, _THREADS, args)
    return out


def pad2d(x: Array, widths: Widths, mode: str) -> Array:
    """See `protocol.py`."""
    (n, c, h, w), (left, right, top, bottom) = x.shape, widths
    shape = (n, c, h + top + bottom, w + left + right)
    if not covered(x) or n * c * shape[2] * shape[3] >= 1 << 31:
        return reference.pad2d(x, widths, mode)
    return _launched("pad2d", x, shape, (h, w), widths, mode)


def pad2d_adjoint(grad: Array, input_hw: Pair, widths: Widths, mode: str) -> Array:
    """See `protocol.py`."""
    if not covered(grad):
        return reference.pad2d_adjoint(grad, input_hw, widths, mode)
    shape = (*grad.shape[:2], *input_hw)
    return _launched("pad2d_adjoint", grad, shape, input_hw, widths, mode)
