"""The operations that layers are made of, as functions: the public face of minigan.ops."""

from __future__ import annotations

import builtins

from minigan import creation
from minigan.errors import DTypeError
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
    embedding,
    group_norm,
    instance_norm,
    interpolate,
    kl_div,
    l1_loss,
    layer_norm,
    leaky_relu,
    linear,
    log_softmax,
    max_pool2d,
    mse_loss,
    nll_loss,
    norm,
    pad,
    pixel_shuffle,
    relu,
    sigmoid,
    smooth_l1_loss,
    softmax,
    softplus,
    tanh,
    upsample,
    upsample_conv2d,
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
    "upsample_conv2d",
]


def one_hot(labels: Tensor, num_classes: int = -1) -> Tensor:
    """Integer labels [...] -> int64 [..., num_classes] with a 1 at each label."""
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"one_hot: labels must be integers; got {labels.dtype}")
    classes = int(labels.max().item()) + 1 if num_classes < 0 else num_classes
    table = creation.eye(classes, dtype="int64", device=labels.device)
    return embedding(labels, table)


def normalize(
    input: Tensor, p: builtins.float = 2.0, dim: int = 1, eps: builtins.float = 1e-12
) -> Tensor:
    """input / max(||input||_p, eps) along `dim`."""
    return input / norm(input, p, dim, keepdim=True).clamp(min=eps)
