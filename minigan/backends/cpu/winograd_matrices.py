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

Source: Winograd, Arithmetic complexity of computations, 1980; Lavin & Gray, Fast algorithms for
convolutional neural networks, 2016; the choice of points: Barabasz et al., Error analysis and
improving the accuracy of Winograd convolution, 2020.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np

from minigan.backends.protocol import Array

SIZES = (4, 2), (4, 3), (2, 5)  # (m, r) of the kinds of tiles in use, 5 or 6 points an axis

# Small points of alternating sign and size keep the rounding error small.
_POINTS = {
    5: (Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 2)),
    6: (Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(-2)),
}


@cache
def matrices(m: int, r: int) -> tuple[Array, Array, Array]:
    """A [a,m], G [a,r] and B [a,a], float32, for m outputs of r taps; a = m + r - 1 is 5 or 6."""
    a = m + r - 1
    points = _POINTS[a]
    # Column p of B: the coefficients of the polynomial that is 1 at point p and 0 at the others.
    interpolation = [[Fraction(0)] * a for _ in range(a)]
    scales = []
    for p, point in enumerate(points):
        basis, scale = [Fraction(1)], Fraction(1)
        for q, other in enumerate(points):
            if q != p:
                basis = _times_root(basis, other)
                scale *= point - other
        scales.append(scale)
        for power, coefficient in enumerate(basis):
            interpolation[power][p] = coefficient
    leading = [Fraction(1)]
    for point in points:
        leading = _times_root(leading, point)
    for power, coefficient in enumerate(leading):
        interpolation[power][a - 1] = coefficient
    # The division by `scale` is done once, in the transform of the weights.
    values_g = [[point**power for power in range(m)] for point in points]
    values_w = [
        [point**power / s for power in range(r)] for point, s in zip(points, scales, strict=True)
    ]
    values_g.append([Fraction(power == m - 1) for power in range(m)])
    values_w.append([Fraction(power == r - 1) for power in range(r)])
    tables = (values_g, values_w, interpolation)
    return tuple(
        np.array([[float(v) for v in row] for row in table], np.float32) for table in tables
    )  # type: ignore[return-value]


def tables() -> list[tuple[Array, Array, Array]]:
    """The matrices of all SIZES."""
    return [matrices(m, r) for m, r in SIZES]


def _times_root(polynomial: list[Fraction], root: Fraction) -> list[Fraction]:
    """The polynomial (lowest power first) times (t - root)."""
    shifted = [Fraction(0), *polynomial]
    return [s - root * c for s, c in zip(shifted, [*polynomial, Fraction(0)], strict=True)]
