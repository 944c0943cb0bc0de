"""Losses, with PyTorch's names and reductions: "mean", "sum" or "none".

Each is written with other operations, so its derivatives follow; binary cross-entropy of
probabilities has a rule of its own, which stays finite at 0 and 1. Prefer logits: both binary and
categorical cross-entropy lose all precision once a probability has been rounded to 0 or 1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigan.autograd import Function
from minigan.backends import kernels_for
from minigan.errors import ConfigError, DTypeError, ShapeError
from minigan.ops.activation import log_softmax, sigmoid, softmax, softplus
from minigan.ops.elementwise import clamp, log, where
from minigan.ops.operands import cast, check_index, promoted, require_float, require_one_device
from minigan.ops.shape import GatherLast
from minigan.tensor import Tensor


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    if reduction == "none":
        return loss
    raise ConfigError(f"reduction {reduction!r} is unknown; use 'mean', 'sum' or 'none'")


def _same_shape(input: Tensor, target: Tensor, op: str) -> None:
    if input.shape != target.shape:
        raise ShapeError(
            f"{op}: input of shape {tuple(input.shape)} and target of shape {tuple(target.shape)} "
            "must be equal: reshape one of them"
        )


_PAIR_SLOPES: dict[str, Any] = {
    "l1": lambda x, t: (x - t).sign(),
    "mse": lambda x, t: (x - t) * 2.0,
    "bce": lambda x, t: sigmoid(x) - t,
}


class PairLoss(Function):
    """y = scale * sum of l(x, t): l1 |x - t|, mse (x - t)^2 or bce ln(1 + e^x) - t x.

    dx = dy scale l'(x, t); dt = -dx, for bce -dy scale x.
    """

    saves = (0, 1)

    def __init__(self, kind: str, scale: float) -> None:
        self.kind, self.scale = kind, scale

    def forward(self, x: Any, t: Any) -> Any:
        return kernels_for(x).pair_loss(self.kind, x, t, self.scale)

    def backward(self, grad: Tensor) -> Any:
        x, t = self.saved
        weight, binary = grad * self.scale, self.kind == "bce"
        grad_x: Any = None
        grad_t: Any = None
        if self.needs[0] or not binary:
            grad_x = weight * _PAIR_SLOPES[self.kind](x, t)
        if self.needs[1]:
            grad_t = -(weight * x if binary else grad_x)
        return grad_x if self.needs[0] else None, grad_t

    def backward_arrays(self, grad: Any) -> Any:
        x, t = (tensor._array for tensor in self.saved)
        binary = self.kind == "bce"
        grad_x: Any = None
        grad_t: Any = None
        if self.needs[0] or not binary:
            grad_x = kernels_for(x).pair_loss_backward(self.kind, grad, x, t, self.scale)
        if self.needs[1]:
            grad_t = -(grad * self.scale * x if binary else grad_x)
        return grad_x if self.needs[0] else None, grad_t


def _pair_loss(kind: str, input: Tensor, target: Tensor, reduction: str, op: str) -> Tensor:
    x, t = promoted(input, target, op)
    count = x.numel() if reduction == "mean" else 1
    return PairLoss(kind, 1.0 / count if count else math.nan)(x, t)


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(input - target)^2."""
    _same_shape(input, target, "mse_loss")
    if reduction in ("mean", "sum"):
        return _pair_loss("mse", input, target, reduction, "mse_loss")
    difference = input - target
    return _reduce(difference * difference, reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """|input - target|."""
    _same_shape(input, target, "l1_loss")
    if reduction in ("mean", "sum"):
        return _pair_loss("l1", input, target, reduction, "l1_loss")
    return _reduce((input - target).abs(), reduction)


def smooth_l1_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """d^2 / (2 beta) for |d| < beta, else |d| - beta / 2, with d = input - target."""
    _same_shape(input, target, "smooth_l1_loss")
    if beta < 0:
        raise ConfigError(f"smooth_l1_loss: beta must not be negative; got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    difference = input - target
    size = difference.abs()
    loss = where(size < beta, difference * difference * (0.5 / beta), size - 0.5 * beta)
    return _reduce(loss, reduction)


class BinaryCrossEntropy(Function):
    """y = -(t ln p + (1 - t) ln(1 - p)), logarithms cut at -100; dp = dy (p - t) / (p (1 - p)).

    The divisor is cut at 1e-12, so that a probability of exactly 0 or 1 has a finite gradient, and
    0 where it equals its target: as in PyTorch.
    """

    saves = (0, 1)

    def forward(self, p: Any, t: Any) -> Any:
        with np.errstate(divide="ignore"):
            return -(t * np.maximum(np.log(p), -100) + (1 - t) * np.maximum(np.log1p(-p), -100))

    def backward(self, grad: Tensor) -> Any:
        p, t = self.saved
        grad_p = grad_t = None
        if self.needs[0]:
            grad_p = grad * (p - t) / clamp(p * (1.0 - p), min=1e-12)
        if self.needs[1]:
            grad_t = grad * (clamp(log(1.0 - p), min=-100.0) - clamp(log(p), min=-100.0))
        return grad_p, grad_t


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """-(t ln p + (1 - t) ln(1 - p)) of probabilities, logarithms cut at -100 as PyTorch does.

    binary_cross_entropy_with_logits keeps the gradient where this one has lost it.
    """
    _same_shape(input, target, "binary_cross_entropy")
    loss = BinaryCrossEntropy()(*promoted(input, target, "binary_cross_entropy"))
    return _reduce(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy of sigmoid(input): softplus(x) - t x, finite for every logit x."""
    _same_shape(input, target, "binary_cross_entropy_with_logits")
    if weight is None and pos_weight is None and reduction in ("mean", "sum"):
        op = "binary_cross_entropy_with_logits"
        return _pair_loss("bce", input, target, reduction, op)
    if pos_weight is None:
        loss = softplus(input) - target * input
    else:
        factor = (pos_weight - 1.0) * target + 1.0
        loss = (1.0 - target) * input + factor * softplus(-input)
    return _reduce(loss if weight is None else loss * weight, reduction)


class CrossEntropy(Function):
    """y[m] = ln sum e^x[m] - x[m, label m] for logits x [M,K]; dx = dy (softmax(x) - [k = label]).

    0 for the label `ignored`.
    """

    saves = (0,)

    def __init__(self, labels: Any, ignored: int) -> None:
        self.labels, self.ignored = labels, ignored

    def forward(self, x: Any) -> Any:
        return kernels_for(x).cross_entropy(x, self.labels, self.ignored)

    def backward(self, grad: Tensor) -> Tensor:
        (x,) = self.saved
        kept = self.labels != self.ignored
        hot = self.labels[:, None] == kernels_for(x._array).xp.arange(x.shape[1])
        weight = grad * Tensor._wrap(kept.astype(x.dtype))
        return (softmax(x, 1) - Tensor._wrap(hot.astype(x.dtype))) * weight.unsqueeze(1)

    def backward_arrays(self, grad: Any) -> Any:
        (x,) = self.saved
        kernels = kernels_for(grad)
        return kernels.cross_entropy_backward(grad, x._array, self.labels, self.ignored)


def _labels(input: Tensor, target: Tensor, ignore_index: int, op: str) -> tuple[Tensor, Any]:
    """Log-probabilities as rows [M,K], and labels [M] checked to lie in 0..K-1."""
    if target.dtype.kind not in "iu":
        raise DTypeError(f"{op}: labels must be integers; got {target.dtype}")
    require_one_device(op, input, target)
    if input.ndim < 2 or target.shape != input.shape[:1] + input.shape[2:]:
        raise ShapeError(
            f"{op}: input [N,K,...] of shape {tuple(input.shape)} does not fit labels [N,...] of "
            f"shape {tuple(target.shape)}"
        )
    classes = input.shape[1]
    if input.ndim > 2:
        input = input.permute(0, *range(2, input.ndim), 1).reshape(-1, classes)
    labels = target._array.reshape(-1)
    kept = labels[labels != ignore_index] if isinstance(labels, np.ndarray) else labels
    check_index(kept, classes, op, "label")
    return input, labels


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-input[i, label i] for log-probabilities [N,K,...] and labels [N,...], weighted by class.

    The mean divides by the weights of the labels, as PyTorch does.
    """
    rows, labels = _labels(input, target, ignore_index, "nll_loss")
    kept = labels != ignore_index
    safe = labels * kept  # ignored labels point at class 0 with weight 0
    factor = Tensor._wrap(kept.astype(input.dtype))
    if weight is not None:
        factor = factor * Tensor._wrap(weight._array[safe])
    loss = GatherLast(safe[:, None])(rows).squeeze(1) * -factor
    if reduction == "mean":
        return loss.sum() / factor.sum()
    return _reduce(loss.reshape(target.shape), reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-ln softmax(input)[label] for **logits** [N,K,...] and labels [N,...].

    `target` may also be probabilities of the shape of input. Softmax before this loss is a
    well-known mistake: with 10 classes the loss can then not fall below 1.461.
    """
    if target.dtype.kind != "f" and weight is None and label_smoothing == 0.0:
        rows, labels = _labels(require_float(input, "cross_entropy"), target, ignore_index,
                               "cross_entropy")  # fmt: skip
        loss = CrossEntropy(labels, ignore_index)(rows)
        if reduction == "mean":
            return loss.sum() / Tensor._wrap((labels != ignore_index).astype(rows.dtype)).sum()
        return _reduce(loss.reshape(target.shape), reduction)
    log_p = log_softmax(input, 1)
    if target.dtype.kind == "f":
        _same_shape(input, target, "cross_entropy")
        target = target * (1.0 - label_smoothing) + label_smoothing / input.shape[1]
        loss = -(log_p * target if weight is None else log_p * target * _by_class(weight, log_p))
        loss = loss.sum(1)
        return loss.mean() if reduction == "mean" else _reduce(loss, reduction)
    loss = nll_loss(log_p, target, weight, ignore_index, reduction)
    if label_smoothing == 0.0:
        return loss
    smooth = -(log_p if weight is None else log_p * _by_class(weight, log_p)).sum(1)
    kept = Tensor._wrap((target._array != ignore_index).astype(input.dtype))
    smooth = smooth * kept
    if reduction == "mean":
        if weight is not None:
            kept = kept * Tensor._wrap(weight._array[target._array * (kept._array > 0)])
        smooth = smooth.sum() / kept.sum()
    else:
        smooth = _reduce(smooth, reduction)
    return loss * (1.0 - label_smoothing) + smooth * (label_smoothing / input.shape[1])


def _by_class(weight: Tensor, log_p: Tensor) -> Tensor:
    return weight.reshape((1, -1) + (1,) * (log_p.ndim - 2))


def kl_div(
    input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """target (ln target - input) for log-probabilities `input`; "batchmean" divides by N."""
    _same_shape(input, target, "kl_div")
    target = cast(target, input.dtype)
    if log_target:
        loss = target.exp() * (target - input)
    else:
        positive = target > 0.0
        entropy = where(positive, target * log(where(positive, target, 1.0)), 0.0)
        loss = entropy - target * input
    if reduction == "batchmean":
        return loss.sum() / float(input.shape[0])
    return _reduce(loss, reduction)
