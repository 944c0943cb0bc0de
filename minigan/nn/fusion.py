"""Layer sequences that one operation computes at once.

`Sequential` asks `plan` how to run its layers. A rule matches some of the next layers and gives
the function that computes them together; a layer that no rule matches runs by itself. Nothing is
fused while somebody looks inside (forward hooks, anomaly mode) or within `disabled()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from minigan.autograd import is_anomaly_enabled
from minigan.ops import upsample_conv2d
from minigan.tensor import Tensor

Run = Callable[[Any], Any]


class _State:
    disabled = 0


@contextmanager
def disabled() -> Iterator[None]:
    """Run every layer by itself inside the block."""
    _State.disabled += 1
    try:
        yield
    finally:
        _State.disabled -= 1


def _upsample_conv(layers: Sequence[Any]) -> tuple[int, Run] | None:
    """Upsample(scale_factor=2, nearest), Conv2d(3x3, stride 1, padding 1): 16/36 of the work."""
    from minigan.nn.convolution import Conv2d
    from minigan.nn.upsample import Upsample

    if len(layers) < 2 or type(layers[0]) is not Upsample or type(layers[1]) is not Conv2d:
        return None
    upsample, conv = layers[0], layers[1]
    doubles = upsample.mode == "nearest" and upsample.scale_factor in (2, (2, 2))
    plain = (
        conv.kernel_size == (3, 3)
        and conv.stride == (1, 1)
        and conv.padding == (1, 1)
        and conv.dilation == (1, 1)
        and conv.groups == 1
        and conv.padding_mode == "zeros"
    )
    if not (doubles and plain):
        return None

    def run(x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != conv.in_channels:
            return conv(upsample(x))  # which says what is wrong
        return upsample_conv2d(x, conv.weight, conv.bias)

    return 2, run


RULES: tuple[Callable[[Sequence[Any]], tuple[int, Run] | None], ...] = (_upsample_conv,)


def plan(layers: Sequence[Any]) -> list[Run]:
    """The functions to call one after the other to run `layers`."""
    if _State.disabled or is_anomaly_enabled():
        return list(layers)
    runs: list[Run] = []
    i = 0
    while i < len(layers):
        for rule in RULES:
            match = rule(layers[i:])
            if match is not None and not any(map(_watched, layers[i : i + match[0]])):
                runs.append(match[1])
                i += match[0]
                break
        else:
            runs.append(layers[i])
            i += 1
    return runs


def _watched(layer: Any) -> bool:
    return bool(layer._forward_hooks or layer._forward_pre_hooks)
