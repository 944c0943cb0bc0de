"""minigan: classic GANs on a small, twice differentiable autodiff engine of its own."""

import importlib as _importlib
from typing import Any as _Any

import numpy as _np

from minigan import autograd, errors, nn, optim, random
from minigan.autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from minigan.creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from minigan.device import Device, device
from minigan.ops import *  # noqa: F403
from minigan.random import Generator, manual_seed
from minigan.tensor import Size, Tensor

float16, float32, float64 = _np.dtype("float16"), _np.dtype("float32"), _np.dtype("float64")
uint8, int32, int64 = _np.dtype("uint8"), _np.dtype("int32"), _np.dtype("int64")
bool = _np.dtype("bool")
__version__ = "0.1.0"


def __getattr__(name: str) -> _Any:
    # Packages that only some programs need are imported when they are first used.
    if name in ("data", "metrics", "models", "training"):
        return _importlib.import_module(f"minigan.{name}")
    raise AttributeError(f"module 'minigan' has no attribute {name!r}")
