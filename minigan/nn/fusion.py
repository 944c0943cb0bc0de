"""Sequences of layers that one operation computes at once.

`Sequential` runs its layers through `run`, so a model stays a plain list of layers. A fusion
computes the same function; a test holds it equal to the plain sequence at first and second
order. It is off while somebody looks inside (hooks on a layer involved, anomaly mode) and inside
`with disabled():`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from minigan.autograd import is_anomaly_enabled
from minigan.nn.activation import LeakyReLU, ReLU
from minigan.nn.convolution import Conv2d
from minigan.nn.linear import Linear
from minigan.nn.module import Module
from minigan.nn.normalization import BatchNorm1d, BatchNorm2d, InstanceNorm2d
from minigan.nn.upsample import Upsample
from minigan.ops import upsample_conv2d
from minigan.tensor import Tensor

Activation = ReLU | LeakyReLU


class Fusion(NamedTuple):
    """Types of consecutive layers, whether these ones (and this input) fit, and what runs."""

    kinds: tuple[type[Module], ...]
    fits: Callable[..., bool]  # (input, *layers)
    run: Callable[..., Any]  # (input, *layers)


def _doubles_before_conv3(x: Any, upsample: Upsample, conv: Conv2d) -> bool:
    geometry = (conv.kernel_size, conv.stride, conv.dilation, conv.groups)
    return (
        upsample.mode == "nearest"
        and upsample.size is None
        and upsample.scale_factor in (2, (2, 2))
        and geometry == ((3, 3), (1, 1), (1, 1), 1)
        and conv.padding in ((1, 1), "same")
        and conv.padding_mode == "zeros"
        and isinstance(x, Tensor)
        and x.ndim == 4
        and x.shape[1] == conv.in_channels
        and x.dtype == conv.weight.dtype
    )


def _upsample_conv2d(x: Tensor, upsample: Upsample, conv: Conv2d) -> Tensor:
    return upsample_conv2d(x, conv.weight, conv.bias)


def _normalised_by_batch(x: Any, norm: BatchNorm1d | BatchNorm2d, activation: Activation) -> bool:
    """In eval mode nothing is gained: the normalisation is a product and a sum."""
    return isinstance(x, Tensor) and norm.training and _slope(activation) >= 0


def _normalised_alone(x: Any, norm: InstanceNorm2d, activation: Activation) -> bool:
    plain = norm.weight is None and norm.bias is None and norm.running_mean is None
    return isinstance(x, Tensor) and plain and _slope(activation) >= 0


def _affine(x: Any, layer: Linear | Conv2d, activation: Activation) -> bool:
    return isinstance(x, Tensor) and _slope(activation) >= 0


def _slope(activation: Activation) -> float:
    return activation.negative_slope if isinstance(activation, LeakyReLU) else 0.0


def _activated(x: Tensor, layer: Any, activation: Activation) -> Tensor:
    return layer.activated(x, _slope(activation))


TABLE: tuple[Fusion, ...] = (
    Fusion((Upsample, Conv2d), _doubles_before_conv3, _upsample_conv2d),
    *(
        Fusion((layer, activation), fits, _activated)
        for layer, fits in (
            (Linear, _affine),
            (Conv2d, _affine),
            (BatchNorm1d, _normalised_by_batch),
            (BatchNorm2d, _normalised_by_batch),
            (InstanceNorm2d, _normalised_alone),
        )
        for activation in (ReLU, LeakyReLU)
    ),
)


class _Mode(threading.local):
    enabled = True


_mode = _Mode()


@contextmanager
def disabled() -> Iterator[None]:
    """Run every layer on its own inside the block, in this thread."""
    before, _mode.enabled = _mode.enabled, False
    try:
        yield
    finally:
        _mode.enabled = before


def run(layers: Sequence[Any], x: Any) -> Any:
    """Call the layers one after the other, fusing the sequences of TABLE."""
    allowed = _mode.enabled and not is_anomaly_enabled()
    i = 0
    while i < len(layers):
        fusion = _find(layers, i, x) if allowed else None
        if fusion is None:
            x, i = layers[i](x), i + 1
        else:
            length = len(fusion.kinds)
            x, i = fusion.run(x, *layers[i : i + length]), i + length
    return x


def _find(layers: Sequence[Any], start: int, x: Any) -> Fusion | None:
    for fusion in TABLE:
        if type(layers[start]) is not fusion.kinds[0]:
            continue
        group = layers[start : start + len(fusion.kinds)]
        # Exact types: a subclass may compute something else.
        if (
            tuple(map(type, group)) == fusion.kinds
            and not any(layer._forward_hooks or layer._forward_pre_hooks for layer in group)
            and fusion.fits(x, *group)
        ):
            return fusion
    return None
