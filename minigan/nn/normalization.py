"""Normalisation layers: over the batch, the instance, the sample, groups of channels."""

from __future__ import annotations

from typing import Any

from minigan.creation import empty, ones, tensor, zeros
from minigan.errors import ConfigError
from minigan.nn import functional as F
from minigan.nn import init
from minigan.nn.module import Module, require_input
from minigan.nn.parameter import Parameter
from minigan.ops import batch_norm_activation, leaky_relu
from minigan.tensor import Tensor


def _reset_affine(weight: Tensor | None, bias: Tensor | None) -> None:
    if weight is not None:
        init.ones_(weight)
    if bias is not None:
        init.zeros_(bias)


class _ChannelNorm(Module):
    """Weight, bias and running statistics, one value a channel."""

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    weight: Parameter | None
    bias: Parameter | None
    _expected: str  # with {C} for the channels
    _dims: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            param = Parameter(empty(num_features, **where)) if wanted else None
            self.register_parameter(name, param)
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **where) if tracked else None)
        self.register_buffer("running_var", ones(num_features, **where) if tracked else None)
        self.register_buffer("num_batches_tracked", tensor(0, device=device) if tracked else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batches seen."""
        if self.running_mean is not None and self.running_var is not None:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
        if self.num_batches_tracked is not None:
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and fresh running statistics."""
        self.reset_running_stats()
        _reset_affine(self.weight, self.bias)

    def _require_input(self, x: Any) -> None:
        def fits(shape: Any) -> bool:
            return len(shape) in self._dims and shape[1] == self.num_features

        require_input(self, x, fits, self._expected.format(C=self.num_features))

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_ChannelNorm):
    def forward(self, input: Tensor) -> Tensor:
        momentum, by_batch = self._next_batch(input)
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, by_batch, momentum,
            self.eps,
        )  # fmt: skip

    def activated(self, input: Tensor, negative_slope: float) -> Tensor:
        """A leaky ReLU of the layer's output, in training: one operation for both."""
        momentum, _ = self._next_batch(input)
        return batch_norm_activation(
            input, self.running_mean, self.running_var, self.weight, self.bias, momentum, self.eps,
            negative_slope,
        )  # fmt: skip

    def _next_batch(self, input: Tensor) -> tuple[float, bool]:
        """Check and count a batch: (momentum, whether its own statistics are used)."""
        self._require_input(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked._array += 1
            self.num_batches_tracked._version[0] += 1
            if self.momentum is None:
                momentum = 1.0 / self.num_batches_tracked.item()
        return momentum, self.training or self.running_mean is None


class BatchNorm1d(_BatchNorm):
    """Normalises each channel of [N, C] or [N, C, L] over the batch (Ioffe & Szegedy 2015).

    Training uses the batch's mean and biased variance, and moves the running statistics (unbiased
    variance) towards them by `momentum`; None averages all batches. eval() uses the running ones.
    """

    _dims, _expected = (2, 3), "[N, {C}] or [N, {C}, L]"


class BatchNorm2d(_BatchNorm):
    """Normalises each channel of [N, C, H, W] over the batch; see BatchNorm1d."""

    _dims, _expected = (4,), "[N, {C}, H, W]"


class InstanceNorm2d(_ChannelNorm):
    """Normalises each channel of each sample of [N, C, H, W] (Ulyanov et al. 2016).

    No weight, bias or running statistics unless asked for.
    """

    _dims, _expected = (4,), "[N, {C}, H, W]"

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, input: Tensor) -> Tensor:
        self._require_input(input)
        by_input = self.training or self.running_mean is None
        momentum = 0.0 if self.momentum is None else self.momentum
        return F.instance_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, by_input, momentum,
            self.eps,
        )  # fmt: skip

    def activated(self, input: Tensor, negative_slope: float) -> Tensor:
        """A leaky ReLU of the layer's output, without weight, bias and running statistics.

        The channels of all samples are those of a batch of one.
        """
        self._require_input(input)
        n, channels, height, width = input.shape
        if height * width < 2:
            return leaky_relu(self(input), negative_slope)  # which says what is wrong
        flat = input.reshape(1, n * channels, height, width)
        y = batch_norm_activation(flat, None, None, eps=self.eps, negative_slope=negative_slope)
        return y.reshape(input.shape)


class LayerNorm(Module):
    """Normalises the last axes, those of `normalized_shape`, of each sample (Ba et al. 2016)."""

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape, self.eps = tuple(shape), eps
        self.elementwise_affine = elementwise_affine
        for name, wanted in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            values = empty(self.normalized_shape, device=device, dtype=dtype)
            self.register_parameter(name, Parameter(values) if wanted else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        _reset_affine(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        last = self.normalized_shape
        require_input(
            self,
            input,
            lambda shape: len(shape) >= len(last) and shape[len(shape) - len(last) :] == last,
            f"[..., {', '.join(map(str, last))}]",
        )
        return F.layer_norm(input, last, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        affine, bias = self.elementwise_affine, self.bias is not None
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={affine}, bias={bias}"


class GroupNorm(Module):
    """Normalises groups of channels of each sample of [N, C, ...] (Wu & He 2018)."""

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ConfigError(
                f"GroupNorm: num_groups={num_groups} must divide num_channels={num_channels}"
            )
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.affine = affine
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            values = empty(num_channels, device=device, dtype=dtype)
            self.register_parameter(name, Parameter(values) if wanted else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        _reset_affine(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        channels = self.num_channels
        require_input(
            self,
            input,
            lambda shape: len(shape) >= 2 and shape[1] == channels,
            f"[N, {channels}, ...]",
        )
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
                f"bias={self.bias is not None}")  # fmt: skip
