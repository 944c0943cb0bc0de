"""The function of each layer: operations with the names and arguments of torch.nn.functional."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan import ops
from minigan.errors import DTypeError, ShapeError
from minigan.ops import (
    adaptive_avg_pool2d,
    avg_pool2d,
    batch_norm,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    conv2d,
    conv_transpose2d,
    cross_entropy,
    dropout,
    dropout2d,
    elu,
    group_norm,
    instance_norm,
    interpolate,
    kl_div,
    l1_loss,
    layer_norm,
    leaky_relu,
    linear,
    max_pool2d,
    mse_loss,
    nll_loss,
    pad,
    pixel_shuffle,
    relu,
    sigmoid,
    smooth_l1_loss,
    softplus,
    tanh,
    upsample,
)
from minigan.tensor import Tensor

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "dropout2d",
    "elu",
    "embedding",
    "group_norm",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pixel_shuffle",
    "relu",
    "sigmoid",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "tanh",
    "upsample",
]


def _implied_dim(x: Tensor) -> int:
    """The axis PyTorch takes when none is given: 0 for 0, 1 or 3 axes, else 1."""
    return 0 if x.ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None) -> Tensor:
    """Probabilities along `dim`; without it along axis 1 of [N, K] and [N, K, H, W]."""
    return ops.softmax(input, _implied_dim(input) if dim is None else dim)


def log_softmax(input: Tensor, dim: int | None = None) -> Tensor:
    """Logarithm of softmax along `dim`, computed stably; `dim` as for softmax."""
    return ops.log_softmax(input, _implied_dim(input) if dim is None else dim)


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of weight [K, D] for integers [...] -> [..., D]; row `padding_idx` gets no gradient."""
    rows = ops.embedding(input, weight)
    if padding_idx is None:
        return rows
    kept = (input != padding_idx % weight.shape[0]).unsqueeze(-1)
    return ops.where(kept, rows, rows.detach())


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 [..., num_classes], 1 at each label and 0 elsewhere.

    Without `num_classes` the largest label decides, which reads the labels back from the device.
    """
    if tensor.dtype.kind not in "iu":
        raise DTypeError(f"one_hot: labels must be integers; got {tensor.dtype}")
    labels = tensor._array
    classes = num_classes if num_classes >= 0 else int(labels.max(initial=-1)) + 1
    # Only labels on the host are checked: reading them back would stall a GPU, or a recording.
    if isinstance(labels, np.ndarray) and labels.size:
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= classes:
            wrong = low if low < 0 else high
            raise ShapeError(f"one_hot: label {wrong} does not lie in 0..{classes - 1}")
    from minigan.creation import arange

    columns = arange(classes, device=tensor.device)
    return (tensor.unsqueeze(-1) == columns).long()


def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Tensor:
    """input / max(||input||_p, eps), the norm taken along `dim`."""
    return input / ops.clamp(input.norm(p, dim, keepdim=True), min=eps)
