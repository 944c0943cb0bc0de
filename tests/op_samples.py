"""One table: every public operation, and the inputs on which it is tested.

The tests under `tests/ops/` are generated from `TABLE`: gradients of first and second order,
PyTorch parity, backends, memory layouts, dtypes. An operation without an entry fails the suite.
It is long because it is one table; read the entries of the operation that you look for.

In a sample, a float array is an input to differentiate by; `Fixed` marks one that is not;
integer and bool arrays are data. Values keep away from kinks, as finite differences step across
them; a sample that sits on one is marked `kink=True` and checked against PyTorch only.
"""

from __future__ import annotations

import importlib
import itertools
import operator
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minigan import ops
from minigan.ops import activation, conv, resample, shape
from minigan.random import Generator
from minigan.tensor import Tensor


@dataclass(frozen=True)
class Fixed:
    """A float input which is not differentiated."""

    array: np.ndarray


@dataclass(frozen=True)
class Sample:
    """One call: positional and keyword arguments, arrays standing for tensors."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    kink: bool = False
    torch_order: int = 2  # 1 where PyTorch itself fails at the second order


@dataclass(frozen=True)
class Entry:
    """An operation, its PyTorch and NumPy counterparts, and its samples.

    `torch` is a name ("add" is torch.add, "F.relu" is torch.nn.functional.relu), a callable on
    torch tensors, or None with the reason in `why_no_torch`. `reference` is a callable on arrays.
    """

    name: str
    fn: Callable[..., Any]
    torch: str | Callable[..., Any] | None
    samples: tuple[Sample, ...]
    reference: Callable[..., Any] | None = None
    differentiable: bool = True
    why_no_torch: str = ""


class _LazyModule:
    """A module imported at its first use: the table is read where PyTorch is not installed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


torch = _LazyModule("torch")
F = _LazyModule("torch.nn.functional")


def torch_function(entry: Entry) -> Callable[..., Any]:
    """The PyTorch counterpart as a callable."""
    if not isinstance(entry.torch, str):
        assert entry.torch is not None
        return entry.torch
    module, _, name = entry.torch.rpartition(".")
    return getattr(F if module == "F" else torch, name)


TABLE: list[Entry] = []


def _entry(
    name: str,
    fn: Callable[..., Any],
    torch: str | Callable[..., Any] | None,
    *samples: Sample,
    **options: Any,
) -> None:
    TABLE.append(Entry(name, fn, torch, samples, **options))


def S(*args: Any, **kwargs: Any) -> Sample:
    return Sample(args, kwargs)


def kink(*args: Any, **kwargs: Any) -> Sample:
    return Sample(args, kwargs, kink=True)


def once(sample: Sample) -> Sample:
    """Not compared at second order: PyTorch (2.13) raises an internal error there."""
    return replace(sample, torch_order=1)


# --- values -------------------------------------------------------------------------------------
_seeds = itertools.count(1000)


def real(*shape: int) -> np.ndarray:
    """Of both signs, 0.2 to 2 in size."""
    rng = np.random.default_rng(next(_seeds))
    return np.asarray(rng.uniform(0.2, 2.0, shape) * rng.choice([-1.0, 1.0], shape))


def positive(*shape: int) -> np.ndarray:
    return np.asarray(np.random.default_rng(next(_seeds)).uniform(0.3, 2.0, shape))


def unit(*shape: int) -> np.ndarray:
    """Probabilities away from 0 and 1."""
    return np.asarray(np.random.default_rng(next(_seeds)).uniform(0.1, 0.9, shape))


def distribution(*shape: int) -> np.ndarray:
    """Probabilities that sum to 1 along axis 1."""
    p = unit(*shape)
    return p / p.sum(1, keepdims=True)


def ints(high: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(next(_seeds)).integers(0, high, shape)


def bools(*shape: int) -> np.ndarray:
    return np.random.default_rng(next(_seeds)).random(shape) < 0.5


def ties(*shape: int) -> np.ndarray:
    """Whole numbers, many of them equal, zero among them."""
    return np.asarray(np.random.default_rng(next(_seeds)).integers(-1, 2, shape), np.float64)


# One sample after the other, as many as fit a line.
# fmt: off
# --- arithmetic ---------------------------------------------------------------------------------
def _arithmetic(name: str, function: Callable[[Any, Any], Any], second: Callable[..., Any]) -> None:
    _entry(
        name, getattr(ops, name), function,
        S(real(2, 3), second(2, 3)),
        S(real(2, 1, 3), second(4, 1)),
        S(real(3), second(2, 3)),
        S(real(), second(2, 2)),
        S(real(2, 2), second()),
        S(real(2, 3), 2.5),
        S(2.5, second(2, 3)),
        S(real(2, 3), 2),
        S(real(2, 2), Fixed(second(2, 1))),
        S(real(0, 3), second(3)),
        reference=function,
    )


_arithmetic("add", lambda a, b: a + b, real)
_arithmetic("sub", lambda a, b: a - b, real)
_arithmetic("mul", lambda a, b: a * b, real)
_arithmetic("div", lambda a, b: a / b, real)

_entry(
    "pow", ops.pow, lambda a, b: a**b,
    S(real(2, 3), 2), S(real(2, 3), 3), S(positive(2, 3), 0.5), S(positive(2, 3), -1.5),
    S(real(2, 3), -2), S(real(2, 3), 1), S(real(2, 3), 0), S(positive(2, 3), real(3)),
    S(positive(2, 1), real(2, 3)), S(2.0, real(2, 3)), S(positive(2, 3), Fixed(real(2, 3))),
    S(Fixed(positive(2, 3)), real(2, 3)), kink(np.array([0.0, 0.0, 1.0]), 2),
    kink(np.array([0.0, 0.0, 2.0]), np.array([1.0, 2.0, 3.0])), S(real(0, 2), 3),
    reference=lambda a, b: a**b,
)

for _name, _fn, _reference, _values in [
    ("neg", ops.neg, np.negative, real),
    ("exp", ops.exp, np.exp, real),
    ("log", ops.log, np.log, positive),
    ("sqrt", ops.sqrt, np.sqrt, positive),
    ("rsqrt", ops.rsqrt, lambda x: 1 / np.sqrt(x), positive),
    ("sin", ops.sin, np.sin, real),
    ("cos", ops.cos, np.cos, real),
    ("abs", ops.abs, np.abs, real),
]:
    _entry(
        _name, _fn, _name,
        S(_values(2, 3)), S(_values()), S(_values(0, 2)), S(_values(2, 1, 3, 2)),
        reference=_reference,
    )
_entry("abs", ops.abs, "abs", kink(ties(3, 4)))
_entry(
    "clamp", ops.clamp, "clamp",
    S(real(3, 4), -0.7, 0.9), S(real(3, 4), min=0.1), S(real(3, 4), max=0.1),
    S(real(3, 4), min=-5.0, max=5.0), S(real(0, 3), 0.0, 1.0), kink(ties(3, 4), 0.0, 1.0),
    reference=lambda x, min=None, max=None: np.clip(x, min, max),
)


def _torch_pair(function: str) -> Callable[[Any, Any], Any]:
    """torch.maximum takes no numbers, so a number becomes a tensor."""

    def call(a: Any, b: Any) -> Any:
        like = a if isinstance(a, torch.Tensor) else b
        a, b = (v if isinstance(v, torch.Tensor) else like.new_tensor(v) for v in (a, b))
        return getattr(torch, function)(a, b)

    return call


for _name in ("maximum", "minimum"):
    _entry(
        _name, getattr(ops, _name), _torch_pair(_name),
        S(real(3, 4), real(3, 4)), S(real(3, 1), real(2, 1, 4)), S(real(3, 4), 0.1),
        S(0.1, real(3, 4)), S(real(3, 4), Fixed(real(4))), S(real(), real(2)),
        S(real(0, 3), real(3)), kink(ties(3, 4), ties(3, 4)),
        reference=getattr(np, _name),
    )
_entry(
    "where", ops.where, "where",
    S(bools(2, 3), real(2, 3), real(2, 3)), S(bools(2, 3), real(3), real(2, 1)),
    S(bools(4, 2, 1), real(2, 3), real()), S(bools(2, 3), real(2, 3), 0.0),
    S(bools(2, 3), 1.5, real(2, 3)), S(bools(2, 3), Fixed(real(2, 3)), real(3)),
    S(bools(0, 3), real(3), real(0, 3)),
    reference=np.where,
)
_entry("sign", ops.sign, "sign", S(real(2, 3)), S(ties(2, 3)), S(real(0)),
       reference=np.sign, differentiable=False)

# --- reductions ---------------------------------------------------------------------------------
_DIMS: list[dict[str, Any]] = [
    {}, {"dim": 0}, {"dim": -1}, {"dim": 1, "keepdim": True}, {"dim": (0, 2)},
    {"dim": (-1, 0), "keepdim": True}, {"dim": (0, 1, 2)},
]


def _numpy_reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, dim=None, keepdim=False: function(x, axis=dim, keepdims=keepdim)


for _name in ("sum", "mean", "amax", "amin"):
    _entry(
        _name, getattr(ops, _name), _name,
        *(S(real(2, 3, 4), **dims) for dims in _DIMS), S(real()),
        reference=_numpy_reduction(getattr(np, _name)),
    )
_entry("sum", ops.sum, "sum", S(real(0, 3)), S(real(0, 3), dim=0), S(real(0, 3), dim=1))
_entry("mean", ops.mean, "mean", S(real(0, 3), dim=1))
_entry("amax", ops.amax, "amax", kink(ties(3, 4)), kink(ties(3, 4), dim=1))
_entry("amin", ops.amin, "amin", kink(ties(3, 4)), kink(ties(3, 4), dim=0, keepdim=True))
for _name in ("var", "std"):
    _entry(
        _name, getattr(ops, _name), _name,
        *(S(real(2, 3, 4), **dims) for dims in _DIMS),
        S(real(4, 3), unbiased=False), S(real(4, 3), dim=0, unbiased=False),
        S(real(4, 3), dim=-1, unbiased=False, keepdim=True),
    )
_entry("std", ops.std, "std", kink(np.ones((3, 2)), dim=0))
for _name in ("max", "min"):
    _entry(
        _name, getattr(ops, _name), _name,
        S(real(3, 4)), S(real(3, 4), dim=0), S(real(3, 4), dim=-1),
        S(real(2, 3, 4), dim=1, keepdim=True), S(real(2, 3, 4), dim=0), S(real(4), dim=0),
    )
for _name in ("argmax", "argmin"):
    _entry(
        _name, getattr(ops, _name), _name,
        S(real(3, 4)), S(real(3, 4), dim=0), S(real(2, 3, 4), dim=-1, keepdim=True),
        S(ties(3, 4), dim=1),
        differentiable=False,
    )
for _name in ("any", "all"):
    _entry(_name, getattr(ops, _name), _name, S(bools(2, 3)), S(bools(0)), S(ties(2, 3)),
           reference=getattr(np, _name), differentiable=False)
_entry(
    "norm", ops.norm,
    lambda x, p=2, dim=None, keepdim=False: torch.linalg.vector_norm(x, p, dim, keepdim),
    S(real(3, 4)), S(real(3, 4), dim=1), S(real(2, 3, 4), dim=(1, 2), keepdim=True),
    S(real(3, 4), 1), S(real(3, 4), 1, dim=0), S(real(3, 4), float("inf")),
    S(real(3, 4), float("inf"), dim=-1), kink(np.zeros((2, 3)), dim=1),
    kink(np.array([[0.0, 0.0], [3.0, 4.0]]), dim=1),
)
_entry(
    "logsumexp", ops.logsumexp, "logsumexp",
    S(real(3, 4), 1), S(real(3, 4), 0, keepdim=True), S(real(2, 3, 4), (0, 2)),
    S(real(3, 4) * 100.0, -1), S(real(3, 4), dim=(0, 1)),
)

# --- shape --------------------------------------------------------------------------------------
_entry("reshape", ops.reshape, lambda x, *shape: x.reshape(*shape),
       S(real(2, 6), 3, 4), S(real(2, 6), (4, -1)), S(real(1), ()), S(real(), (1, 1)),
       S(real(0, 3), 3, 0), S(real(2, 3, 2), -1))
_entry("permute", ops.permute, lambda x, *dims: x.permute(*dims),
       S(real(2, 3, 4), 2, 0, 1), S(real(2, 3, 4), (0, -1, 1)), S(real(3), 0))
_entry("transpose", ops.transpose, "transpose",
       S(real(2, 3), 0, 1), S(real(2, 3, 4), -1, 0), S(real(2, 3), 1, 1))
_entry("expand", ops.expand, lambda x, *shape: x.expand(*shape),
       S(real(2, 1), 2, 3), S(real(2, 1), (4, -1, 3)), S(real(), 2, 2), S(real(1, 3), -1, -1),
       S(real(3, 1), 3, 0))
_entry("squeeze", ops.squeeze, "squeeze",
       S(real(2, 1, 3, 1)), S(real(2, 1, 3), 1), S(real(2, 3), 0), S(real(2, 1), -1))
_entry("unsqueeze", ops.unsqueeze, "unsqueeze",
       S(real(2, 3), 0), S(real(2, 3), -1), S(real(2, 3), 1), S(real(), 0))
_entry("flatten", ops.flatten, "flatten",
       S(real(2, 3, 4)), S(real(2, 3, 4), 1), S(real(2, 3, 4), 0, 1), S(real(2, 3, 4, 2), -3, -2),
       S(real()), S(real(0, 3, 2), 1))
_entry(
    "unflatten",
    ops.unflatten,
    "unflatten",
    S(real(2, 12), 1, (3, 4)),
    S(real(2, 12), -1, (2, -1, 3)),
    S(real(4, 3), 0, (2, 2)),
)
_entry("cat", lambda *xs, dim=0: ops.cat(xs, dim), lambda *xs, dim=0: torch.cat(xs, dim),
       S(real(2, 3), real(1, 3)), S(real(2, 3), real(2, 1), real(2, 2), dim=-1), S(real(2)),
       S(real(2, 3), Fixed(real(2, 3)), dim=1), S(real(0, 3), real(2, 3)))
_entry("stack", lambda *xs, dim=0: ops.stack(xs, dim), lambda *xs, dim=0: torch.stack(xs, dim),
       S(real(2, 3), real(2, 3)), S(real(2, 3), real(2, 3), real(2, 3), dim=-1),
       S(real(), real()), S(real(2), Fixed(real(2)), dim=1))
_entry("split", ops.split, "split",
       S(real(5, 2), 2), S(real(2, 5), [1, 3, 1], dim=1), S(real(2, 4), 2, dim=-1))
_entry("chunk", ops.chunk, "chunk",
       S(real(5, 2), 2), S(real(2, 6), 3, dim=1), S(real(2, 3), 5, dim=-1))
_entry("flip", ops.flip, lambda x, dims: torch.flip(x, (dims,) if isinstance(dims, int) else dims),
       S(real(2, 3), 0), S(real(2, 3, 4), (0, -1)), S(real(2, 3), [1]))
_entry("repeat", ops.repeat, lambda x, *counts: x.repeat(*counts),
       S(real(2, 3), 2, 1), S(real(2, 3), 2, 3, 2), S(real(2), 3), S(real(), 2))
_entry("index_select", ops.index_select, "index_select",
       S(real(4, 3), 0, np.array([3, 0, 3, 3])), S(real(2, 3, 4), -2, np.array([2, 1])),
       once(S(real(4, 2), 0, np.array([], np.int64))))
_entry("gather", ops.gather, "gather",
       S(real(3, 4), 1, ints(4, 3, 2)), S(real(3, 4), 0, ints(3, 5, 4)),
       S(real(2, 3, 4), -2, ints(3, 2, 2, 4)), S(real(4), 0, ints(4, 6)))
_entry("clone", ops.clone, "clone", S(real(2, 3)), S(real()), S(real(0, 2)))

# --- linear algebra -----------------------------------------------------------------------------
_entry(
    "matmul", ops.matmul, "matmul",
    S(real(2, 3), real(3, 4)), S(real(3), real(3)), S(real(2, 3), real(3)),
    S(real(3), real(3, 2)), S(real(2, 2, 3), real(2, 3, 2)), S(real(2, 2, 3), real(3, 2)),
    S(real(2, 1, 2, 3), real(4, 3, 2)), S(real(3), real(2, 3, 2)), S(real(2, 2, 3), real(3)),
    S(real(2, 3), Fixed(real(3, 2))), S(Fixed(real(2, 3)), real(3, 2)), S(real(0, 3), real(3, 2)),
    reference=np.matmul,
)
_entry(
    "linear", ops.linear, "F.linear",
    S(real(4, 3), real(2, 3)), S(real(4, 3), real(2, 3), real(2)),
    S(real(2, 4, 3), real(2, 3), real(2)), S(real(3), real(2, 3), real(2)),
    S(Fixed(real(4, 3)), real(2, 3), real(2)), S(real(4, 3), Fixed(real(2, 3)), Fixed(real(2))),
    S(real(4, 3), Fixed(real(2, 3)), real(2)), S(real(0, 3), real(2, 3), real(2)),
    reference=lambda x, weight, bias=0.0: x @ weight.T + bias,
)
_entry(
    "linear_activation", ops.linear_activation,
    lambda x, weight, bias=None, negative_slope=0.0:
    F.leaky_relu(F.linear(x, weight, bias), negative_slope),
    S(real(4, 3), real(2, 3), real(2)), S(real(4, 3), real(2, 3)),
    S(real(4, 3), real(2, 3), real(2), negative_slope=0.2),
    S(real(2, 4, 3), real(2, 3), negative_slope=0.2),
    S(real(4, 3), real(2, 3), real(2), negative_slope=1.0),
    S(Fixed(real(4, 3)), real(2, 3), real(2), negative_slope=0.2),
    S(real(4, 3), Fixed(real(2, 3)), Fixed(real(2)), negative_slope=0.2),
    S(real(4, 3), Fixed(real(2, 3)), Fixed(real(2))), S(real(0, 3), real(2, 3), real(2)),
    reference=lambda x, weight, bias=0.0, negative_slope=0.0: np.where(
        x @ weight.T + bias > 0, 1, negative_slope) * (x @ weight.T + bias),
)

# --- convolution --------------------------------------------------------------------------------
_entry(
    "conv2d", ops.conv2d, "F.conv2d",
    S(real(2, 3, 5, 4), real(2, 3, 3, 3)),
    S(real(2, 3, 5, 4), real(2, 3, 3, 3), real(2), padding=1),
    S(real(2, 2, 6, 6), real(3, 2, 4, 4), real(3), stride=2, padding=1),
    S(real(1, 2, 7, 6), real(2, 2, 3, 2), None, (2, 1), (1, 0), (1, 2)),
    S(real(2, 4, 5, 5), real(6, 2, 3, 3), real(6), stride=2, padding=1, groups=2),
    S(real(2, 3, 4, 4), real(3, 1, 3, 3), padding=1, groups=3),
    S(real(2, 2, 6, 5), real(2, 2, 3, 3), real(2), padding=2, dilation=2),
    S(real(2, 3, 4, 4), real(2, 3, 1, 1), real(2)),
    S(real(2, 2, 4, 4), real(3, 2, 4, 4), real(3)),
    S(real(2, 5, 4), real(3, 2, 3, 3), real(3), padding=1),
    S(real(1, 2, 5, 5), real(2, 2, 4, 3), real(2), padding="same"),
    S(real(1, 2, 5, 5), real(2, 2, 3, 3), padding="valid"),
    S(real(1, 1, 8, 8), real(1, 1, 3, 3), stride=3, padding=1),
    S(Fixed(real(2, 2, 4, 4)), real(2, 2, 3, 3), real(2), padding=1),
    S(real(2, 2, 4, 4), Fixed(real(2, 2, 3, 3)), padding=1),
    S(real(0, 2, 4, 4), real(2, 2, 3, 3), real(2), padding=1),
)
_entry(
    "conv2d_activation", ops.conv2d_activation,
    lambda x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, negative_slope=0.0:
    F.leaky_relu(F.conv2d(x, weight, bias, stride, padding, dilation, groups), negative_slope),
    S(real(2, 3, 5, 4), real(2, 3, 3, 3)),
    S(real(2, 3, 5, 4), real(2, 3, 3, 3), real(2), padding=1, negative_slope=0.2),
    S(real(2, 2, 6, 6), real(3, 2, 4, 4), real(3), stride=2, padding=1, negative_slope=1.0),
    S(real(2, 4, 5, 5), real(6, 2, 3, 3), real(6), 2, 1, 1, 2, 0.2),
    S(real(2, 5, 4), real(3, 2, 3, 3), padding="same", negative_slope=0.2),
    S(Fixed(real(2, 2, 4, 4)), real(2, 2, 3, 3), real(2), padding=1, negative_slope=0.2),
    S(real(2, 2, 4, 4), Fixed(real(2, 2, 3, 3)), Fixed(real(2)), negative_slope=0.2),
    S(real(2, 2, 4, 4), Fixed(real(2, 2, 3, 3))),
    S(real(0, 2, 4, 4), real(2, 2, 3, 3), real(2), padding=1),
)
_entry(
    "conv_transpose2d", ops.conv_transpose2d, "F.conv_transpose2d",
    S(real(2, 3, 4, 3), real(3, 2, 3, 3)),
    S(real(2, 3, 3, 3), real(3, 2, 4, 4), real(2), stride=2, padding=1),
    S(real(2, 3, 1, 1), real(3, 2, 4, 4), real(2)),
    S(real(1, 2, 3, 4), real(2, 2, 3, 3), real(2), stride=2, padding=1, output_padding=1),
    S(real(1, 2, 3, 3), real(2, 2, 3, 2), None, (2, 3), (1, 0), (0, 2), 1, (1, 2)),
    S(real(2, 4, 3, 3), real(4, 2, 3, 3), real(4), stride=2, padding=1, groups=2),
    S(real(1, 2, 3, 3), real(2, 2, 3, 3), real(2), padding=1, dilation=2),
    S(real(2, 3, 3), real(2, 3, 4, 4), real(3), stride=2, padding=1),
    S(real(1, 2, 3, 3), real(2, 1, 5, 5), real(1), stride=2, padding=2, output_padding=1),
    S(Fixed(real(2, 2, 3, 3)), real(2, 2, 4, 4), real(2), stride=2, padding=1),
    S(real(2, 2, 3, 3), Fixed(real(2, 2, 4, 4)), stride=2, padding=1),
    S(real(0, 2, 3, 3), real(2, 2, 4, 4), real(2), stride=2, padding=1),
)


def _torch_upsample_conv2d(x: Any, weight: Any, bias: Any = None) -> Any:
    return F.conv2d(F.interpolate(x, scale_factor=2), weight, bias, padding=1)


_entry(
    "upsample_conv2d", ops.upsample_conv2d, _torch_upsample_conv2d,
    S(real(2, 3, 4, 4), real(2, 3, 3, 3), real(2)), S(real(2, 2, 3, 5), real(3, 2, 3, 3)),
    S(real(1, 1, 1, 1), real(2, 1, 3, 3), real(2)),
    S(real(2, 2, 2, 3), Fixed(real(2, 2, 3, 3)), Fixed(real(2))),
    S(Fixed(real(2, 2, 2, 3)), real(2, 2, 3, 3), real(2)),
    S(real(0, 2, 3, 3), real(2, 2, 3, 3), real(2)),
)

# --- activations --------------------------------------------------------------------------------
for _name, _torch in [
    ("relu", "relu"), ("leaky_relu", "F.leaky_relu"), ("elu", "F.elu"), ("tanh", "tanh"),
    ("sigmoid", "sigmoid"), ("softplus", "F.softplus"),
]:
    _entry(_name, getattr(ops, _name), _torch,
           S(real(3, 4)), S(real()), S(real(2, 3, 2, 2)), S(real(0, 3)))
for _name, _torch in [("tanh", "tanh"), ("sigmoid", "sigmoid"), ("softplus", "F.softplus")]:
    _entry(_name, getattr(ops, _name), _torch, S(real(3, 4) * 8.0), S(np.zeros((2, 2))))
_entry("relu", ops.relu, "relu", kink(ties(3, 4)))
_entry("leaky_relu", ops.leaky_relu, "F.leaky_relu",
       S(real(3, 4), 0.2), S(real(3, 4), negative_slope=-0.3), S(real(3, 4), 0.0),
       kink(ties(3, 4), 0.2))
_entry("relu_backward", lambda grad, y: activation.ReLUBackward()(grad, y),
       lambda grad, y: torch.where(y > 0, grad, 0.0 * grad) + 0.0 * y,
       S(real(3, 4), real(3, 4)), S(real(2, 3, 2, 2), Fixed(real(2, 3, 2, 2))))
_entry("leaky_relu_backward",
       lambda grad, x, slope: activation.LeakyReLUBackward(slope)(grad, x),
       lambda grad, x, slope: torch.where(x > 0, grad, slope * grad) + 0.0 * x,
       S(real(3, 4), real(3, 4), 0.2), S(real(2, 3, 2, 2), Fixed(real(2, 3, 2, 2)), -0.3))
_entry("elu", ops.elu, "F.elu", S(real(3, 4), 0.5), S(real(3, 4) * 3.0, alpha=2.0),
       kink(ties(3, 4)))
_entry("softplus", ops.softplus, "F.softplus", S(real(3, 4), 2.0), S(real(3, 4), beta=0.5))
for _name in ("softmax", "log_softmax"):
    _entry(
        _name, getattr(ops, _name), _name,
        S(real(3, 4), 1), S(real(3, 4), dim=0), S(real(2, 3, 4), -2), S(real(4), 0),
        S(real(3, 4) * 10.0, -1), S(real(3, 4) + 1e4, -1), S(real(0, 4), 1),
    )

# --- normalisation ------------------------------------------------------------------------------
_entry(
    "batch_norm", ops.batch_norm, "F.batch_norm",
    S(real(4, 3), None, None, real(3), real(3), True),
    S(real(3, 2, 3, 2), None, None, real(2), real(2), training=True),
    S(real(3, 2, 3, 2), None, None, training=True, eps=0.8),
    S(real(3, 2, 5), None, None, real(2), None, training=True),
    once(S(real(2, 2, 2, 2), None, None, None, real(2), training=True)),
    S(real(3, 2, 3, 3), None, None, Fixed(real(2)), Fixed(real(2)), training=True),
    S(Fixed(real(3, 2, 3, 3)), None, None, real(2), real(2), training=True),
    S(real(3, 2, 2, 2), None, None, np.zeros(2), real(2), training=True),
    S(real(4, 3), Fixed(real(3)), Fixed(positive(3)), real(3), real(3)),
    S(real(2, 3, 2, 2), Fixed(real(3)), Fixed(positive(3)), real(3), real(3), eps=1e-3),
    S(real(2, 3, 2, 2), Fixed(real(3)), Fixed(positive(3))),
    S(real(0, 3, 2, 2), Fixed(real(3)), Fixed(positive(3)), real(3), real(3)),
)
_entry(
    "batch_norm_activation", ops.batch_norm_activation,
    lambda x, mean, var, weight=None, bias=None, momentum=0.1, eps=1e-5, negative_slope=0.0:
    F.leaky_relu(F.batch_norm(x, mean, var, weight, bias, True, momentum, eps), negative_slope),
    S(real(4, 3), None, None, real(3), real(3)),
    S(real(3, 2, 3, 2), None, None, real(2), real(2), negative_slope=0.2),
    S(real(3, 2, 3, 2), None, None, eps=0.8, negative_slope=0.2),
    S(real(1, 4, 3, 3), None, None),
    S(real(3, 2, 5), None, None, real(2), None, negative_slope=0.1),
    S(real(3, 2, 3, 3), None, None, Fixed(real(2)), Fixed(real(2)), negative_slope=0.2),
    S(Fixed(real(3, 2, 3, 3)), None, None, real(2), real(2), negative_slope=0.2),
)
_entry(
    "instance_norm", ops.instance_norm, "F.instance_norm",
    S(real(2, 3, 3, 2)), S(real(2, 3, 3, 2), weight=real(3), bias=real(3)),
    S(real(2, 3, 6), weight=real(3)), S(real(1, 2, 3, 3), eps=0.1),
    S(real(2, 3, 2, 2), Fixed(real(3)), Fixed(positive(3)), real(3), real(3),
      use_input_stats=False),
)
_entry(
    "layer_norm", ops.layer_norm, "F.layer_norm",
    S(real(3, 4), (4,)), S(real(3, 4), (4,), real(4), real(4)), S(real(2, 3, 4), (3, 4)),
    S(real(2, 3, 4), (3, 4), real(3, 4), real(3, 4)), S(real(2, 3, 4), [4], real(4), None, 0.1),
    S(real(2, 3, 2, 2), (3, 2, 2), Fixed(real(3, 2, 2)), real(3, 2, 2)), S(real(0, 4), (4,)),
)
_entry(
    "group_norm", ops.group_norm, "F.group_norm",
    S(real(2, 4, 3, 2), 2), S(real(2, 4, 3, 2), 2, real(4), real(4)), S(real(2, 4, 3), 4),
    S(real(3, 4), 2, real(4), real(4), eps=0.1), S(real(2, 3, 2, 2), 1, real(3)),
)

# --- resampling ---------------------------------------------------------------------------------
for _name in ("upsample", "interpolate"):
    _entry(
        _name, getattr(ops, _name), "F.interpolate",
        S(real(2, 2, 3, 2), scale_factor=2), S(real(1, 2, 3, 2), scale_factor=(3, 1)),
        S(real(1, 2, 3, 4), size=(5, 7)), S(real(1, 1, 5, 4), size=3),
        S(real(1, 2, 4, 3), scale_factor=1.5), S(real(1, 2, 4, 4), scale_factor=0.5),
        S(real(2, 2, 3, 2), scale_factor=2, mode="bilinear"),
        S(real(1, 2, 3, 4), size=(5, 7), mode="bilinear", align_corners=False),
        S(real(1, 2, 3, 4), size=(5, 7), mode="bilinear", align_corners=True),
        S(real(1, 1, 4, 5), size=(2, 1), mode="bilinear", align_corners=True),
        S(real(1, 1, 3, 3), scale_factor=1.6, mode="bilinear"),
        S(real(1, 2, 6, 5), size=(3, 2), mode="bilinear"),
    )
_entry("pixel_shuffle", ops.pixel_shuffle, "F.pixel_shuffle",
       S(real(2, 4, 2, 3), 2), S(real(1, 9, 2, 1), 3), S(real(1, 2, 2, 2), 1))
_entry(
    "max_pool2d", ops.max_pool2d, "F.max_pool2d",
    S(real(2, 2, 4, 6), 2), S(real(1, 2, 5, 5), 3, 2), S(real(1, 2, 5, 5), 3, 2, 1),
    S(real(1, 1, 6, 6), (2, 3), (1, 2)), S(real(1, 2, 6, 6), 2, 1, 0, 2),
    S(real(1, 1, 5, 6), 2, ceil_mode=True), S(real(1, 1, 5, 5), 3, 2, 1, ceil_mode=True),
    kink(ties(1, 2, 4, 4), 2),
)
_entry(
    "avg_pool2d", ops.avg_pool2d, "F.avg_pool2d",
    S(real(2, 2, 4, 6), 2), S(real(1, 2, 5, 5), 3, 2), S(real(1, 2, 5, 5), 3, 2, 1),
    S(real(1, 1, 6, 6), (2, 3), (1, 2)), S(real(1, 1, 5, 5), 3, 2, 1, False, False),
    S(real(1, 1, 5, 6), 2, ceil_mode=True), S(real(1, 1, 5, 5), 3, 2, 1, ceil_mode=True),
)
_entry(
    "adaptive_avg_pool2d", ops.adaptive_avg_pool2d, "F.adaptive_avg_pool2d",
    S(real(2, 2, 4, 6), 1), S(real(1, 2, 5, 7), (2, 3)), S(real(1, 2, 5, 4), (None, 2)),
    S(real(1, 1, 3, 3), 5), S(real(2, 3, 4, 4), (4, 4)),
)
_entry(
    "pad", ops.pad, "F.pad",
    S(real(2, 2, 3, 3), (1, 2)), S(real(2, 2, 3, 3), (1, 0, 2, 1)),
    S(real(2, 3), (1, 1), value=3.5),
    S(real(1, 2, 4, 4), (-1, 1, 0, -2)), S(real(2, 3), (0, 0)),
    S(real(1, 2, 4, 4), (1, 2, 3, 0), mode="reflect"), S(real(2, 3, 4), (2, 1), mode="reflect"),
    S(real(1, 2, 3, 4), (2, 3, 1, 4), mode="replicate"),
    S(real(1, 2, 3, 4), (2, 3, 1, 3), mode="circular"), S(real(0, 1, 3, 3), (1, 1, 1, 1)),
    S(real(1, 2, 5, 4), (3, 3, 4, 2), mode="reflect"), S(real(1, 2, 5), (1, 2), mode="replicate"),
)

# --- sampling -----------------------------------------------------------------------------------
_entry("dropout", ops.dropout, "F.dropout",
       S(real(3, 4), 0.5, False), S(real(3, 4), p=0.0), S(real(3, 4), 1.0))
_entry("dropout2d", ops.dropout2d, "F.dropout2d",
       S(real(2, 3, 2, 2), 0.5, False), S(real(2, 3, 2, 2), p=0.0))


def _seeded(operation: Callable[..., Any]) -> Callable[..., Any]:
    """The same mask at every call, as finite differences need."""
    return lambda x, p: operation(x, p, generator=Generator(3))


_DRAWN = "draws its own mask"
_entry("dropout", _seeded(ops.dropout), None, S(real(4, 5), 0.5), S(real(2, 3, 2), 0.2),
       S(real(0, 3), 0.5), why_no_torch=_DRAWN)
_entry("dropout2d", _seeded(ops.dropout2d), None, S(real(3, 4, 2, 2), 0.5),
       S(real(2, 3, 4), 0.3), why_no_torch=_DRAWN)
_entry("embedding", ops.embedding, "F.embedding",
       S(ints(5, 4), real(5, 3)), S(np.array([2, 2, 2]), real(4, 2)), S(ints(5, 2, 3), real(5, 2)),
       once(S(np.zeros((0,), np.int64), real(5, 2))), S(np.array(1), real(3, 2)))

# --- losses -------------------------------------------------------------------------------------
_REDUCTIONS = ("mean", "sum", "none")
for _name in ("mse_loss", "l1_loss", "smooth_l1_loss"):
    _entry(
        _name, getattr(ops, _name), f"F.{_name}",
        *(S(real(3, 4), real(3, 4), reduction=r) for r in _REDUCTIONS),
        S(real(3, 4), Fixed(real(3, 4))), S(real(2, 1, 2, 2), real(2, 1, 2, 2)),
    )
_entry("l1_loss", ops.l1_loss, "F.l1_loss", kink(ties(3, 4), Fixed(ties(3, 4))))
_entry("smooth_l1_loss", ops.smooth_l1_loss, "F.smooth_l1_loss",
       S(real(3, 4) * 2, real(3, 4), beta=0.5),
       S(real(3, 4), real(3, 4), reduction="sum", beta=2.0),
       S(real(3, 4), real(3, 4), beta=0.0))
_entry(
    "binary_cross_entropy", ops.binary_cross_entropy, "F.binary_cross_entropy",
    *(S(unit(3, 2), Fixed(unit(3, 2)), reduction=r) for r in _REDUCTIONS),
    S(unit(3, 2), unit(3, 2)), S(unit(3, 2), Fixed(unit(3, 2)), Fixed(positive(3, 2))),
    S(unit(4, 1), Fixed(np.ones((4, 1)))), S(unit(4, 1), Fixed(np.zeros((4, 1)))),
)
_entry(
    "binary_cross_entropy_with_logits", ops.binary_cross_entropy_with_logits,
    "F.binary_cross_entropy_with_logits",
    *(S(real(3, 2) * 3, Fixed(unit(3, 2)), reduction=r) for r in _REDUCTIONS),
    S(real(3, 2), unit(3, 2)), S(real(3, 2), Fixed(unit(3, 2)), Fixed(positive(3, 2))),
    S(np.zeros((3, 2)), Fixed(unit(3, 2))),
    S(real(3, 2), Fixed(unit(3, 2)), pos_weight=Fixed(positive(2))),
    S(real(4, 1), Fixed(np.ones((4, 1)))), S(real(4, 1), Fixed(np.zeros((4, 1)))),
)
_entry(
    "nll_loss", ops.nll_loss, "F.nll_loss",
    *(S(real(4, 3), ints(3, 4), reduction=r) for r in _REDUCTIONS),
    S(real(4, 3), ints(3, 4), Fixed(positive(3))),
    S(real(4, 3), ints(3, 4), Fixed(positive(3)), reduction="sum"),
    S(real(4, 3), np.array([0, 2, -100, 1])), S(real(4, 3), np.array([0, 1, 1, 2]), ignore_index=1),
    S(real(2, 3, 2, 2), ints(3, 2, 2, 2)), S(real(2, 3, 2), ints(3, 2, 2), reduction="none"),
)
_entry(
    "cross_entropy", ops.cross_entropy, "F.cross_entropy",
    *(S(real(4, 3), ints(3, 4), reduction=r) for r in _REDUCTIONS),
    S(real(4, 3), ints(3, 4), Fixed(positive(3))), S(real(4, 3) * 20, ints(3, 4)),
    S(real(4, 3), np.array([0, 2, -100, 1])), S(real(4, 3), ints(3, 4), label_smoothing=0.1),
    S(real(4, 3), ints(3, 4), Fixed(positive(3)), label_smoothing=0.2),
    S(real(4, 3), np.array([0, -100, 2, 2]), label_smoothing=0.2),
    S(real(4, 3), np.array([0, -100, 2, 2]), Fixed(positive(3)), label_smoothing=0.2),
    S(real(4, 3), ints(3, 4), label_smoothing=0.1, reduction="none"),
    S(real(4, 3), ints(3, 4), label_smoothing=0.1, reduction="sum"),
    S(real(4, 3), distribution(4, 3)), S(real(4, 3), Fixed(distribution(4, 3)), reduction="none"),
    S(real(4, 3), Fixed(distribution(4, 3)), Fixed(positive(3)), label_smoothing=0.1),
    S(real(2, 3, 2, 2), ints(3, 2, 2, 2)), S(real(2, 3, 2), Fixed(distribution(2, 3, 2))),
    S(real(2, 3, 2), ints(3, 2, 2), Fixed(positive(3)), label_smoothing=0.1),
)
_entry(
    "kl_div", ops.kl_div, "F.kl_div",
    *(S(real(3, 4), distribution(3, 4), reduction=r) for r in ("sum", "none", "batchmean")),
    S(real(3, 4), Fixed(distribution(3, 4)), reduction="batchmean"),
    S(real(3, 4), real(3, 4), reduction="sum", log_target=True),
    S(real(3, 4), Fixed(np.eye(3, 4)), reduction="sum"),
)

# --- Tensor methods that are no functions ---------------------------------------------------------
_entry("Tensor.square", lambda x: x.square(), "square", S(real(2, 3)), S(real(0, 2)))
_entry("Tensor.reciprocal", lambda x: x.reciprocal(), "reciprocal", S(real(2, 3)), S(real()))
_entry("Tensor.view", lambda x, *s: x.view(*s), lambda x, *s: x.view(*s),
       S(real(2, 6), 3, -1), S(real(2, 6), (12,)))
for _name in ("view_as", "reshape_as"):
    _entry(f"Tensor.{_name}", lambda x, y, name=_name: getattr(x, name)(y),
           lambda x, y, name=_name: getattr(x, name)(y),
           S(real(2, 6), Fixed(real(3, 4))))
_entry("Tensor.expand_as", lambda x, y: x.expand_as(y), lambda x, y: x.expand_as(y),
       S(real(2, 1), Fixed(real(3, 2, 4))))
_entry("Tensor.t", lambda x: x.t(), "t", S(real(2, 3)), S(real(3)))
_entry("Tensor.T", lambda x: x.T, lambda x: x.T, S(real(2, 3)))
_entry("Tensor.contiguous", lambda x: (x.transpose(0, 1)).contiguous(),
       lambda x: x.transpose(0, 1).contiguous(), S(real(2, 3)))
for _name in ("mm", "bmm"):
    _lead = (2,) if _name == "bmm" else ()
    _entry(f"Tensor.{_name}", lambda a, b, name=_name: getattr(a, name)(b), _name,
           S(real(*_lead, 2, 3), real(*_lead, 3, 2)))

for _symbol, _operator in [
    ("add", lambda a, b: a + b), ("sub", lambda a, b: a - b), ("mul", lambda a, b: a * b),
    ("truediv", lambda a, b: a / b), ("pow", lambda a, b: a**b),
]:
    _entry(f"Tensor.__{_symbol}__", _operator, _operator,
           S(positive(2, 3), real(3)), S(positive(2, 3), 2.0), reference=_operator)
    _entry(f"Tensor.__r{_symbol}__", lambda b, a, f=_operator: f(a, b),
           lambda b, a, f=_operator: f(a, b), S(real(2, 3), 3.0))
_entry("Tensor.__matmul__", lambda a, b: a @ b, lambda a, b: a @ b, S(real(2, 3), real(3, 2)))
_entry("Tensor.__rmatmul__", lambda b, a: a._array @ b, lambda b, a: a @ b,
       S(real(3, 2), Fixed(real(2, 3))))
_entry("Tensor.__neg__", lambda x: -x, lambda x: -x, S(real(2, 3)))
_entry("Tensor.__abs__", lambda x: abs(x), lambda x: abs(x), S(real(2, 3)))


def _augmented(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda a, b: operation(a * 1.0, b)  # a leaf cannot be changed while recording


for _name in ("iadd", "isub", "imul", "itruediv"):
    _operator = _augmented(getattr(operator, _name))
    _entry(f"Tensor.__{_name}__", _operator, _operator,
           S(real(2, 3), real(2, 3)), S(real(2, 3), real(3)), S(real(2, 3), 2.0))

for _key in [
    0, -1, slice(1, 3), slice(None, None, 2), (slice(None), 1), (..., 0), (None, 1),
    (slice(1, None), None, slice(None, -1)), (slice(0, 0),),
]:
    _entry("Tensor.__getitem__", lambda x, key=_key: x[key], lambda x, key=_key: x[key],
           S(real(4, 3, 2)), reference=lambda x, key=_key: x[key])
_entry("Tensor.__getitem__", lambda x, key: x[key], lambda x, key: x[key],
       S(real(4, 3), np.array([2, 0, 2])), S(real(4, 3), ints(4, 2, 2)), S(real(3, 4), bools(3, 4)),
       S(real(3, 4), np.array([True, False, True])), S(real(4, 3), [1, 1, 0]))
_entry(
    "Tensor.__getitem__",
    lambda x, i, j: x[i, j],
    lambda x, i, j: x[i, j],
    S(real(4, 3), np.array([0, 0, 3]), np.array([1, 1, 2])),
    S(real(4, 3), slice(1, 3), np.array([2, 2, 0])),
    S(real(4, 3), np.array([3, 1]), 1),
)
_entry("Tensor.__getitem__", lambda x: x[::-1], lambda x: torch.flip(x, (0,)), S(real(4, 3)))
_entry("Tensor.to", lambda x: x.to("float64") * x.to("cpu"), lambda x: x.to(torch.float64) * x,
       S(real(2, 3)))
_entry("Tensor.double", lambda x: x.double(), lambda x: x.double(), S(real(2, 3)))
_entry("Tensor.cpu", lambda x: x.cpu() * 2.0, lambda x: x.cpu() * 2.0, S(real(2, 3)))
_entry("Tensor.type_as", lambda x, y: x.type_as(y), lambda x, y: x.type_as(y),
       S(real(2, 3), Fixed(real(1))))

# --- adjoints: reached from the backward of others, so checked on their own too -----------------
_INTERNAL = "no public function of PyTorch"


def _adjoint(name: str, fn: Callable[..., Any], *samples: Sample) -> None:
    _entry(f"adjoint:{name}", fn, None, *samples, why_no_torch=_INTERNAL)


_GEOMETRY = conv.Geometry((2, 1), (1, 0), (1, 2), 2)
_adjoint("conv2d_weight_grad",
         lambda x, g: conv.Conv2dWeightGrad(_GEOMETRY, (3, 2))(x, g),
         S(real(2, 4, 5, 4), real(2, 2, 3, 2)))
_adjoint("conv2d_input_grad",
         lambda g, w: conv.Conv2dInputGrad(_GEOMETRY, (5, 4))(g, w),
         S(real(2, 2, 3, 2), real(2, 2, 3, 2)))
_adjoint("upsample_conv2d_input_grad", lambda g, w: conv.UpsampleConv2dInputGrad()(g, w),
         S(real(2, 2, 4, 6), real(2, 3, 3, 3)))
_adjoint("upsample_conv2d_weight_grad", lambda x, g: conv.UpsampleConv2dWeightGrad()(x, g),
         S(real(2, 3, 2, 3), real(2, 2, 4, 6)))
_adjoint("sum_to", lambda x, to: shape.sum_to(x, to),
         S(real(2, 3, 4), (3, 1)), S(real(2, 3), ()), S(real(2, 3), (1, 3)),
         S(real(2, 3), (2, 3)))
_adjoint("place_item", lambda x: shape.PlaceItem(slice(1, 3), (4, 3))(x), S(real(2, 3)))
_adjoint("place_item", lambda x: shape.PlaceItem(np.array([1, 1, 0]), (4, 2))(x), S(real(3, 2)))
_adjoint("put_add", lambda x, axis: shape.PutAdd(np.array([1, 1, 3]), axis, 4)(x),
         S(real(3, 2), 0), S(real(2, 3), 1))
_adjoint("scatter_last", lambda x: shape.ScatterLast(np.array([[0, 0, 3], [1, 2, 1]]), 4)(x),
         S(real(2, 3)))
_adjoint("block_sum", lambda x, scale: resample.BlockSum(scale)(x),
         S(real(1, 2, 4, 6), (2, 3)), S(real(2, 1, 4, 2), (2, 2)))
_adjoint("fold_borders", lambda x, mode: resample.FoldBorders((3, 4), (2, 1, 0, 2), mode)(x),
         S(real(1, 2, 5, 7), "reflect"), S(real(2, 1, 5, 7), "circular"))

# fmt: on


def converted(sample: Sample, tensor: Callable[[np.ndarray, bool], Any]) -> tuple[list, dict]:
    """The sample's arguments, each array replaced by tensor(array, wants_gradient)."""

    def convert(value: Any) -> Any:
        if isinstance(value, Fixed):
            return tensor(value.array, False)
        if isinstance(value, np.ndarray):
            return tensor(value, value.dtype.kind == "f")
        return value

    return [convert(a) for a in sample.args], {k: convert(v) for k, v in sample.kwargs.items()}


def as_tensor(array: np.ndarray, wanted: bool) -> Tensor:
    return Tensor._wrap(array).requires_grad_(wanted)


CASES: list[tuple[str, Entry, Sample]] = []
for _e in TABLE:
    _taken = sum(e.name == _e.name for _, e, _s in CASES)
    for _i, _s in enumerate(_e.samples):
        CASES.append((f"{_e.name}-{_taken + _i}", _e, _s))
