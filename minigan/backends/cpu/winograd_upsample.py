"""Nearest upsampling by 2 and a 3x3 convolution with 81 products for 64 outputs: see
`winograd_matrices.py` for the algebra, and `winograd_plan.py` for the maps.

In the terms there, a tile of 8x8 outputs reads a window of 6x6 pixels of the image that is not
upsampled, the first of them one pixel before the tile: a padding of 1.
"""

from __future__ import annotations

from minigan.backends.cpu.arrays import empty
from minigan.backends.cpu.winograd_matrices import UPSAMPLED
from minigan.backends.cpu.winograd_plan import AT_MOST, EXACT, Sizes, fastest, plan_for, sizes_for
from minigan.backends.protocol import Array, Pair

# Nanoseconds of upsample_conv.py on one core (AMD Zen 4), for each of its 9 products of a pixel.
_OTHERWISE = 0.03
_PAD = 1, 1


def suits(n: int, c: int, k: int, size: Pair) -> bool:
    """Whether the map of n images of `size` pixels, before they are upsampled, belongs here.

    MINIGAN_EXACT=1 says no, as for all of Winograd's convolutions.
    """
    if EXACT:
        return False
    here, _ = fastest(_sizes(n, c, k, size))
    return here < AT_MOST * _OTHERWISE * n * size[0] * size[1] * 9 * c * k


def _sizes(n: int, c: int, k: int, size: Pair) -> Sizes:
    return sizes_for(n, c, k, 3, 1, UPSAMPLED, (2 * size[0], 2 * size[1]))


def upsample_conv2d(x: Array, weight: Array, bias: Array | None) -> Array:
    """x [N,C,H,W], weight [K,C,3,3] -> [N,K,2H,2W]."""
    (n, c, height, width), k = x.shape, len(weight)
    plan = plan_for(_sizes(n, c, k, (height, width)), _PAD)
    return plan.conv2d(x, weight, bias, empty((n, k, 2 * height, 2 * width), x.dtype))


def upsample_conv2d_input_grad(grad: Array, weight: Array) -> Array:
    """grad [N,K,2H,2W] -> [N,C,H,W]."""
    n, k, height, width = grad.shape
    c, size = weight.shape[1], (height // 2, width // 2)
    plan = plan_for(_sizes(n, c, k, size), _PAD)
    return plan.input_grad(grad, weight, None, empty((n, c, *size), grad.dtype))


def upsample_conv2d_weight_grad(x: Array, grad: Array) -> Array:
    """x [N,C,H,W], grad [N,K,2H,2W] -> [K,C,3,3]."""
    n, c, height, width = x.shape
    plan = plan_for(_sizes(n, c, grad.shape[1], (height, width)), _PAD)
    return plan.weight_grad(x, grad, (3, 3))
