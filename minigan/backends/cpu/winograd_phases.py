"""The order of the channels of a convolution with stride 2, and which of them a point needs.

A convolution with stride s is a sum over the phases of its input's rows and columns, so that the
matrices of a point have s*s*C channels. They lie by phase, (row phase, column phase) = (0, 1),
(0, 0), (1, 0), (1, 1), and within each in the order of the input's channels.

An odd kernel has one tap less in phase 1 than in phase 0, and the value of its polynomial at
infinity, the coefficient of that tap, is 0. In the order above those that are not 0 follow each
other at every point: rows at infinity need the first two phases, columns the two in the middle. Of
the products of a 5x5 kernel a sixth is left out, and 121 are multiplied instead of 144.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.threads import helper
from minigan.backends.protocol import Array


@helper
def place(phase, stride, channel, channels):
    """Where the phase (row phase * stride + column phase) of one of C input channels lies."""
    if stride == 2 and phase < 2:
        phase = 1 - phase
    return phase * channels + channel


def reach(kernel_size: int, stride: int, points_an_axis: int, channels: int) -> Array:
    """[a*a, 2]: of C input channels the first and, plus one, the last place with weights, by point.

    The kernel is square and the stride 1 or 2.
    """
    from_to = np.empty((points_an_axis, points_an_axis, 2), np.int64)
    from_to[:] = 0, stride * stride * channels
    if stride == 2 and kernel_size % 2:
        from_to[-1, :, 1] = 2 * channels
        from_to[:, -1, 0] = channels
        from_to[:-1, -1, 1] = 3 * channels
    return from_to.reshape(-1, 2)


def everywhere(points: int, channels: int) -> Array:
    """The same of channels that every point needs."""
    from_to = np.empty((points, 2), np.int64)
    from_to[:] = 0, channels
    return from_to
