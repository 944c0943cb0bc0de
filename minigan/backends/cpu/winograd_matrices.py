"""The matrices of Winograd's convolutions, built from interpolation points.

A window of a = m + r - 1 pixels d and r taps w give m outputs y[i] = sum over j of w[j] d[i+j]. As
a form in any g, <y, g> = sum of w[j] g[i] d[i+j], it holds the coefficients of the product of the
polynomials w(t) and g(t), and those follow from its values at a points, of which the last is
infinity (the leading coefficient). So with

    A [a,m], G [a,r]  the values of polynomials with m and r coefficients at the points,
    B [a,a]           the interpolation: values -> coefficients,

<y, g> = d^T B ((G w) * (A g)): a products instead of m * r. Since this form is linear in w, g and d
alike, each of the three maps of a convolution is one line:

    y  = A^T ((G w) * (B^T d))    forward
    dd = B   ((G w) * (A dy))     input gradient
    dw = G^T ((A dy) * (B^T d))   weight gradient

In two dimensions each matrix acts on rows and on columns.

A 3x3 convolution of an image that is upsampled by 2 first is two such maps of the image itself,
with two taps each. For the input x from x[-1] on, 2m outputs are

    y[2i]   = w0 x[i-1] + (w1 + w2) x[i]      even, W(t) = w0 + (w1 + w2) t
    y[2i+1] = (w0 + w1) x[i] + w2 x[i+1]      odd,  W'(t) = (w0 + w1) + w2 t

and <y, g> is the form of the coefficients of W(t) g_even(t) + t W'(t) g_odd(t): one interpolation
for both, so that they share the m + 2 points of the window. A point takes two products, but 0 and
infinity one, where the other is 0, and 1 takes one, because W(1) = W'(1) = w0 + w1 + w2. With m = 4
that is 9 products for 8 outputs, in two dimensions 81 for 64, of 576 in the definition.

Source: Winograd, Arithmetic complexity of computations, 1980; Lavin & Gray, Fast algorithms for
convolutional neural networks, 2016; the choice of points: Barabasz et al., Error analysis and
improving the accuracy of Winograd convolution, 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import NamedTuple

import numpy as np

from minigan.backends.protocol import Array


class Tile(NamedTuple):
    """A kind of tile, by its sizes along an axis."""

    outputs: int
    """m: pixels of the output."""
    step: int
    """Pixels of the input (of a phase of the stride) from a window to the next tile's."""
    window: int
    """a: pixels of a window, and points."""
    products: int
    """One of each point, or more."""
    taps: int
    """r: of the kernel (of a phase)."""


UPSAMPLED = Tile(8, 4, 6, 9, 3)
TILES = (
    *(Tile(4, 4, 5, 5, 2), Tile(4, 4, 6, 6, 3), Tile(3, 3, 6, 6, 4), Tile(2, 2, 6, 6, 5)),
    UPSAMPLED,
)
_TWICE = (2, 3, 4)  # the points -1, 1/2 and -2, with two products each in an UPSAMPLED tile

# Small points of alternating sign and size keep the rounding error small.
_POINTS = {
    5: (Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 2)),
    6: (Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(-2)),
}


_Rows = list[list[Fraction]]


def _interpolation(points: Sequence[Fraction]) -> tuple[_Rows, list[Fraction]]:
    """B, and what divides its columns: that is done once, in the transform of the weights."""
    a = len(points) + 1
    # Column p of B: the coefficients of the polynomial that is 1 at point p and 0 at the others.
    b = [[Fraction(0)] * a for _ in range(a)]
    scales = []
    for p, point in enumerate(points):
        basis, scale = [Fraction(1)], Fraction(1)
        for q, other in enumerate(points):
            if q != p:
                basis = _times_root(basis, other)
                scale *= point - other
        scales.append(scale)
        for power, coefficient in enumerate(basis):
            b[power][p] = coefficient
    leading = [Fraction(1)]
    for point in points:
        leading = _times_root(leading, point)
    for power, coefficient in enumerate(leading):
        b[power][a - 1] = coefficient
    return b, scales


def _float32(*tables: _Rows) -> tuple[Array, ...]:
    return tuple(
        np.array([[float(v) for v in row] for row in table], np.float32) for table in tables
    )


@cache
def matrices(m: int, r: int) -> tuple[Array, ...]:
    """A [a,m], G [a,r] and B [a,a], float32, for m outputs of r taps; a = m + r - 1 is 5 or 6."""
    points = _POINTS[m + r - 1]
    b, scales = _interpolation(points)
    values_g = [[point**power for power in range(m)] for point in points]
    values_w = [
        [point**power / s for power in range(r)] for point, s in zip(points, scales, strict=True)
    ]
    values_g.append([Fraction(power == m - 1) for power in range(m)])
    values_w.append([Fraction(power == r - 1) for power in range(r)])
    return _float32(values_g, values_w, b)


@cache
def upsampled_matrices() -> tuple[Array, ...]:
    """A [9,8], G [9,3] and B [6,6] of UPSAMPLED tiles; `product_points` says which product is
    of which point."""
    m, points = UPSAMPLED.step, _POINTS[UPSAMPLED.window]
    b, scales = _interpolation(points)
    zero = Fraction(0)
    values_g, values_w = [], []
    for p, (t, s) in enumerate(zip(points, scales, strict=True)):
        even = [v for power in range(m) for v in (t**power, zero)]
        odd = [v for power in range(m) for v in (zero, t ** (power + 1))]
        if p in _TWICE:
            values_g += [even, odd]
            values_w += [[1 / s, t / s, t / s], [1 / s, 1 / s, t / s]]
        else:  # 0, where `odd` is 0, or 1, where the weights are the same
            values_g.append([x + y for x, y in zip(even, odd, strict=True)])
            values_w.append([1 / s, t / s, t / s])
    values_g.append([Fraction(i == 2 * m - 1) for i in range(2 * m)])
    values_w.append([zero, zero, Fraction(1)])
    return _float32(values_g, values_w, b)


def product_points(tile: Tile) -> list[int]:
    """The point of each product along an axis, in order."""
    if tile.products == tile.window:
        return list(range(tile.window))
    return [p for p in range(tile.window) for _ in range(2 if p in _TWICE else 1)]


def tables() -> list[tuple[Array, ...]]:
    """The matrices of all TILES."""
    return [*(matrices(tile.outputs, tile.taps) for tile in TILES[:-1]), upsampled_matrices()]


def _times_root(polynomial: list[Fraction], root: Fraction) -> list[Fraction]:
    """The polynomial (lowest power first) times (t - root)."""
    shifted = [Fraction(0), *polynomial]
    return [s - root * c for s, c in zip(shifted, [*polynomial, Fraction(0)], strict=True)]
