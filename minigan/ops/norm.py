"""Normalisation: subtract a mean, divide by a standard deviation, both differentiated.

With mu and r = (var + eps)^(-1/2) over the n elements of a group, xhat = (x - mu) r. Since mu and
r depend on x, the gradient of xhat loses its mean and its component along xhat:

    dx = r (dy - mean(dy) - xhat mean(dy xhat))

(Ioffe & Szegedy 2015, section 3, rearranged). For a second order, r must be differentiated too,
so the composite rule computes it from x with recorded operations. Batch, instance, layer and
group norm differ only in the groups.
"""

from __future__ import annotations

import math
from typing import Any

from minigan.autograd import Function
from minigan.backends import kernels_for
from minigan.errors import ConfigError, ShapeError
from minigan.ops.elementwise import rsqrt
from minigan.ops.reduction import mean, var
from minigan.tensor import Tensor


def _normalized_grad(
    grad: Tensor, x: Tensor, xhat: Tensor, axes: tuple[int, ...], eps: float
) -> Tensor:
    """The formula above, with r differentiable."""
    r = rsqrt(var(x, axes, unbiased=False, keepdim=True) + eps)
    along = mean(grad * xhat, axes, keepdim=True)
    return r * (grad - mean(grad, axes, keepdim=True) - xhat * along)


def _batch_norm_grads(
    grad: Tensor, x: Tensor, weight: Tensor | None, eps: float, needs: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """Gradients by x and, where they are inputs, by weight and bias."""
    axes = (0, *range(2, x.ndim))
    centred = x - mean(x, axes, keepdim=True)
    xhat = centred * rsqrt(var(x, axes, unbiased=False, keepdim=True) + eps)
    scaled = grad if weight is None else grad * _per_channel(weight, x.ndim)
    grads: list[Tensor | None] = [None] * len(needs)
    if needs[0]:
        grads[0] = _normalized_grad(scaled, x, xhat, axes, eps)
    if any(needs[1:2]):
        grads[1] = (grad * xhat).sum(axes)
    if any(needs[2:]):
        grads[2] = grad.sum(axes)
    return tuple(grads)


class BatchNorm(Function):
    """y = xhat weight + bias per channel of x [N,C,...]; d(weight) = sum dy xhat, d(bias) = sum dy.

    After forward, `mean` and `var` (biased) hold the batch statistics [C].
    """

    saves = (0, 1)

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def forward(self, x: Any, weight: Any, bias: Any) -> Any:
        y, self.mean, self.var = kernels_for(x).batch_norm(x, weight, bias, self.eps)
        return y

    def backward(self, grad: Tensor) -> Any:
        x, weight = self.saved
        return _batch_norm_grads(grad, x, weight, self.eps, self.needs)

    def backward_arrays(self, grad: Any) -> Any:
        x, weight = self.saved
        grads = kernels_for(grad).batch_norm_backward(
            grad, x._array, weight._array, self.mean, self.var, self.eps
        )
        return tuple(g if need else None for g, need in zip(grads, self.needs, strict=True))


class BatchNormActivation(Function):
    """y = z where z > 0, else slope z (slope 0 is ReLU), z = BatchNorm of x [N,C,...].

    Takes (x), or (x, weight, bias). After forward, `mean` and `var` are as in BatchNorm.
    """

    def __init__(self, eps: float, slope: float, affine: bool) -> None:
        self.eps, self.slope = eps, slope
        self.saves = (0, "output", 1, 2) if affine else (0, "output")

    def forward(self, x: Any, weight: Any = None, bias: Any = None) -> Any:
        kernels = kernels_for(x)
        y, self.mean, self.var = kernels.batch_norm_activation(
            x, weight, bias, self.eps, self.slope
        )
        return y

    def backward(self, grad: Tensor) -> Any:
        x, y, *affine = self.saved
        factor = (y._array > 0) * (1.0 - self.slope) + self.slope
        through = grad * Tensor._wrap(factor.astype(y.dtype))
        return _batch_norm_grads(through, x, affine[0] if affine else None, self.eps, self.needs)

    def backward_arrays(self, grad: Any) -> Any:
        x, y, *affine = (t._array for t in self.saved)
        weight, bias = affine or (None, None)
        grads = kernels_for(grad).batch_norm_activation_backward(
            grad, x, y, weight, bias, self.mean, self.var, self.eps, self.slope
        )
        return tuple(g if need else None for g, need in zip(grads, self.needs, strict=False))


class RowNorm(Function):
    """xhat of each row of x [M,L]."""

    saves = (0, "output")

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def forward(self, x: Any) -> Any:
        xhat, self.mean, self.var = kernels_for(x).row_norm(x, self.eps)
        return xhat

    def backward(self, grad: Tensor) -> Tensor:
        x, xhat = self.saved
        return _normalized_grad(grad, x, xhat, (1,), self.eps)

    def backward_arrays(self, grad: Any) -> Any:
        return kernels_for(grad).row_norm_backward(grad, self.saved[1]._array, self.var, self.eps)


# --- public functions -------------------------------------------------------------------------
def _per_channel(t: Tensor, ndim: int) -> Tensor:
    return t.reshape((1, -1) + (1,) * (ndim - 2))


def _affine(y: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is not None:
        y = y * _per_channel(weight, y.ndim)
    return y if bias is None else y + _per_channel(bias, y.ndim)


def _check_channels(x: Tensor, op: str, **given: Tensor | None) -> None:
    if x.ndim < 2:
        raise ShapeError(f"{op}: input must be [N,C,...]; got shape {tuple(x.shape)}")
    for name, t in given.items():
        if t is not None and tuple(t.shape) != (x.shape[1],):
            raise ShapeError(
                f"{op}: {name} must have shape ({x.shape[1]},) for input {tuple(x.shape)}; "
                f"got {tuple(t.shape)}"
            )


def _update_running(
    stat: Tensor | None, value: Any, momentum: float, correction: float = 1.0
) -> None:
    if stat is not None:
        stat._array[...] = (1 - momentum) * stat._array + momentum * correction * value
        stat._version[0] += 1


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of [N,C,...] by the batch (training) or by the running statistics.

    Training moves running_mean and running_var (unbiased) towards the batch by `momentum`.
    """
    _check_channels(input, "batch_norm", weight=weight, bias=bias, running_mean=running_mean)
    if not training:
        if running_mean is None or running_var is None:
            raise ShapeError("batch_norm: without training it needs running_mean and running_var")
        scale = rsqrt(running_var + eps)
        scale = scale if weight is None else scale * weight
        shift = -running_mean * scale
        shift = shift if bias is None else shift + bias
        return input * _per_channel(scale, input.ndim) + _per_channel(shift, input.ndim)
    _require_a_batch(input, "batch_norm")
    op = BatchNorm(eps)
    y = op(input, *_affine_params(input, weight, bias))
    _track(op, input, running_mean, running_var, momentum)
    return y


def batch_norm_activation(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    momentum: float = 0.1,
    eps: float = 1e-5,
    negative_slope: float = 0.0,
) -> Tensor:
    """leaky_relu(batch_norm(..., training=True), negative_slope) as one operation; 0 is relu."""
    _check_channels(
        input, "batch_norm_activation", weight=weight, bias=bias, running_mean=running_mean
    )
    if negative_slope < 0:
        raise ConfigError(
            f"batch_norm_activation: negative_slope must not be negative, got {negative_slope}"
        )
    _require_a_batch(input, "batch_norm_activation")
    affine = weight is not None or bias is not None
    op = BatchNormActivation(eps, float(negative_slope), affine)
    y = op(input, *(_affine_params(input, weight, bias) if affine else ()))
    _track(op, input, running_mean, running_var, momentum)
    return y


def _values_per_channel(x: Tensor) -> int:
    return x.numel() // max(x.shape[1], 1)


def _require_a_batch(x: Tensor, op: str) -> None:
    if _values_per_channel(x) < 2:
        raise ShapeError(
            f"{op}: training needs more than one value per channel; got {tuple(x.shape)}: use a "
            "larger batch, or eval()"
        )


def _affine_params(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weight 1 and bias 0 where they are not given."""
    xp, shape = kernels_for(x._array).xp, (x.shape[1], x.dtype)
    return (
        Tensor._wrap(xp.ones(*shape)) if weight is None else weight,
        Tensor._wrap(xp.zeros(*shape)) if bias is None else bias,
    )


def _track(
    op: BatchNorm | BatchNormActivation,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    momentum: float,
) -> None:
    """Move the running statistics towards those of the batch."""
    if running_mean is None or running_var is None:
        return
    count = _values_per_channel(x)
    kernels_for(x._array).move_running(
        running_mean._array, running_var._array, op.mean, op.var, momentum, count / (count - 1)
    )
    running_mean._version[0] += 1
    running_var._version[0] += 1


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each of num_groups groups of channels of each sample of [N,C,...]."""
    _check_channels(input, "group_norm", weight=weight, bias=bias)
    if num_groups < 1 or input.shape[1] % num_groups:
        raise ShapeError(f"group_norm: {num_groups} groups do not divide {input.shape[1]} channels")
    rows = input.reshape(input.shape[0] * num_groups, -1)
    return _affine(RowNorm(eps)(rows).reshape(input.shape), weight, bias)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of each sample of [N,C,...] (Ulyanov et al. 2016)."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    _check_channels(input, "instance_norm", weight=weight, bias=bias)
    length = math.prod(input.shape[2:])
    if length < 2:
        raise ShapeError(
            f"instance_norm: it needs more than one value per channel; got {tuple(input.shape)}"
        )
    op = RowNorm(eps)
    y = op(input.reshape(-1, length)).reshape(input.shape)
    if running_mean is not None:
        n, channels = input.shape[:2]
        correction = length / (length - 1)
        _update_running(running_mean, op.mean.reshape(n, channels).mean(0), momentum)
        _update_running(running_var, op.var.reshape(n, channels).mean(0), momentum, correction)
    return _affine(y, weight, bias)


def layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise the last axes, those of `normalized_shape`, of each sample."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if tuple(input.shape[input.ndim - len(shape) :]) != shape:
        raise ShapeError(
            f"layer_norm: the last axes of {tuple(input.shape)} are not normalized_shape {shape}"
        )
    y = RowNorm(eps)(input.reshape(-1, math.prod(shape))).reshape(input.shape)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias
