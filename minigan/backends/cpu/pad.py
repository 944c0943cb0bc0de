"""Borders that repeat an image, and the adjoint: the planes are shared among threads."""

from __future__ import annotations

import numpy as np

from minigan.backends import reference
from minigan.backends.cpu.arrays import contiguous, empty
from minigan.backends.cpu.threads import all_float32, chunks_for, helper, kernel, run
from minigan.backends.protocol import Array, Pair

_SMALLEST = 1 << 17  # elements that are worth a thread


@kernel
def _pad(chunk, chunks, x, rows, columns, left, out):
    """x [M,H,W] -> out [M,len(rows),len(columns)]."""
    planes, width = x.shape[0], x.shape[2]
    for m in range(chunk * planes // chunks, (chunk + 1) * planes // chunks):
        for r in range(rows.size):
            source, target = x[m, rows[r]], out[m, r]
            for c in range(np.uintp(width)):
                target[np.uintp(left) + c] = source[c]
            for c in range(left):
                target[c] = source[columns[c]]
            for c in range(left + width, columns.size):
                target[c] = source[columns[c]]


@helper
def _add_row(source, at, columns, left, target, to, width, begins):
    """A row of a gradient onto one of the image, flat: the pixels, then those of the borders."""
    pixels, start = np.uintp(at + left), np.uintp(to)
    if begins:
        for c in range(np.uintp(width)):
            target[start + c] = source[pixels + c]
    else:
        for c in range(np.uintp(width)):
            target[start + c] += source[pixels + c]
    for c in range(left):
        target[to + columns[c]] += source[at + c]
    for c in range(left + width, columns.size):
        target[to + columns[c]] += source[at + c]


@kernel
def _pad_adjoint(chunk, chunks, grad, rows, columns, left, top, out):
    """grad [M,len(rows),len(columns)] -> out [M,H,W]."""
    (planes, height, width), line = out.shape, columns.size
    source, target = grad.reshape(-1), out.reshape(-1)
    for m in range(chunk * planes // chunks, (chunk + 1) * planes // chunks):
        at, to = m * rows.size * line, m * height * width
        for r in range(top, top + height):
            below = to + (r - top) * width
            _add_row(source, at + r * line, columns, left, target, below, width, True)
        for r in range(rows.size):
            if r < top or r >= top + height:
                there = to + rows[r] * width
                _add_row(source, at + r * line, columns, left, target, there, width, False)


def pad2d(x: Array, widths: tuple[int, int, int, int], mode: str) -> Array:
    """x [N,C,H,W] with borders of widths (left, right, top, bottom)."""
    if not all_float32(x):
        return reference.pad2d(x, widths, mode)
    (n, c, h, w), (left, right, top, bottom) = x.shape, widths
    rows = reference.padded_from(h, top, bottom, mode)
    columns = reference.padded_from(w, left, right, mode)
    out = empty((n * c, rows.size, columns.size), np.float32)
    planes = contiguous(x).reshape(n * c, h, w)
    run(_pad, chunks_for(out.size, _SMALLEST), planes, rows, columns, left, out)
    return out.reshape(n, c, rows.size, columns.size)


def pad2d_adjoint(
    grad: Array, input_hw: Pair, widths: tuple[int, int, int, int], mode: str
) -> Array:
    """-> [N,C,H,W], (H,W) = input_hw: each pixel the sum at its copies."""
    if not all_float32(grad):
        return reference.pad2d_adjoint(grad, input_hw, widths, mode)
    (n, c, height, width), (left, right, top, bottom) = grad.shape, widths
    rows = reference.padded_from(input_hw[0], top, bottom, mode)
    columns = reference.padded_from(input_hw[1], left, right, mode)
    out = empty((n * c, *input_hw), np.float32)
    planes = contiguous(grad).reshape(n * c, height, width)
    args = (planes, rows, columns, left, top, out)
    run(_pad_adjoint, chunks_for(grad.size, _SMALLEST), *args)
    return out.reshape(n, c, *input_hw)
