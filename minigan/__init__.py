"""minigan: classic GANs on a small, twice differentiable autodiff engine of its own."""

import numpy as _np

from minigan import autograd, errors
from minigan.autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from minigan.device import Device, device
from minigan.ops import *  # noqa: F403
from minigan.tensor import Size, Tensor

float16, float32, float64 = _np.dtype("float16"), _np.dtype("float32"), _np.dtype("float64")
uint8, int32, int64 = _np.dtype("uint8"), _np.dtype("int32"), _np.dtype("int64")
bool = _np.dtype("bool")
__version__ = "0.1.0"
