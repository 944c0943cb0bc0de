"""Convolutions with fewer multiplications: Winograd's, for strides 1 and 2.

An image is cut into tiles of m x m outputs, and the inputs, the outputs and the weights of a tile
each become a x a values, a = m + r - 1 for r taps an axis. `winograd_plan.py` says what is done
with them.

A stride s is a sum over the s*s phases of the input's rows and columns, each a stride-1
convolution with r = ceil(KH / s) taps of its own: so C' = s*s*C channels, in the order that
`winograd_phases.py` gives. A 4x4 kernel at stride 2 is r = 2, m = 4: 25 products of 64.
"""

from __future__ import annotations

from minigan.backends.cpu.arrays import empty
from minigan.backends.cpu.winograd_matrices import TILES, UPSAMPLED
from minigan.backends.cpu.winograd_plan import AT_MOST, EXACT, Sizes, fastest, plan_for, sizes_for
from minigan.backends.protocol import Array, Pair

_TILES = {tile.taps: tile for tile in TILES if tile is not UPSAMPLED}
_DIRECT = 0.020  # nanoseconds of a multiply-add of a direct convolution, as in winograd_plan.py


def suits(n: int, c: int, weight_shape: tuple[int, ...], stride: Pair, dilation: Pair, size: Pair,
          direct_pixels: int) -> bool:  # fmt: skip
    """Whether a convolution of n images to `size` belongs here: whether these maps can do it, and
    would take less time than a direct one, which computes `direct_pixels` pixels.

    MINIGAN_EXACT=1 says no: Winograd's results have two to eight times the rounding error of direct
    ones, about 1e-6 to 2e-6 of their size (tests/backends/test_winograd.py).
    """
    k, _, kernel, kernel_w = weight_shape
    square = kernel == kernel_w and stride[0] == stride[1] <= 2 and tuple(dilation) == (1, 1)
    if EXACT or not square or -(-kernel // stride[0]) not in _TILES or kernel == 1:
        return False
    here, _ = fastest(_sizes(n, c, k, kernel, stride[0], size))
    return here < AT_MOST * _DIRECT * direct_pixels * c * k * kernel**2


def _sizes(n: int, c: int, k: int, kernel: int, stride: int, size: Pair) -> Sizes:
    return sizes_for(n, c, k, kernel, stride, _TILES[-(-kernel // stride)], size)


def conv2d(x: Array, weight: Array, bias: Array | None, stride: int, pad: Pair, size: Pair,
           slope: float = 1.0) -> Array:  # fmt: skip
    """x [N,C,H,W], weight [K,C,KH,KW] -> leaky_relu(the convolution + bias, slope) [N,K,*size]."""
    (n, c), k = x.shape[:2], weight.shape[0]
    plan = plan_for(_sizes(n, c, k, weight.shape[2], stride, size), pad)
    return plan.conv2d(x, weight, bias, empty((n, k, *size), x.dtype), slope)


def conv2d_input_grad(
    grad: Array, weight: Array, bias: Array | None, stride: int, pad: Pair, input_hw: Pair
) -> Array:
    """grad [N,K,OH,OW], weight [K,C,KH,KW] -> [N,C,*input_hw]."""
    (n, k, *size), c = grad.shape, weight.shape[1]
    plan = plan_for(_sizes(n, c, k, weight.shape[2], stride, (size[0], size[1])), pad)
    return plan.input_grad(grad, weight, bias, empty((n, c, *input_hw), grad.dtype))


def conv2d_weight_grad(x: Array, grad: Array, stride: int, pad: Pair, kernel_hw: Pair) -> Array:
    """x [N,C,H,W], grad [N,K,OH,OW] -> [K,C,*kernel_hw]."""
    (n, k, *size), c = grad.shape, x.shape[1]
    plan = plan_for(_sizes(n, c, k, kernel_hw[0], stride, (size[0], size[1])), pad)
    return plan.weight_grad(x, grad, kernel_hw)
