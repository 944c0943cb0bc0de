"""Normalisation layers."""

from __future__ import annotations

from typing import Any

from minigan import creation
from minigan.errors import ConfigError, ShapeError
from minigan.nn import functional as F
from minigan.nn.module import Module
from minigan.nn.parameter import Parameter
from minigan.tensor import Tensor


class _ChannelNorm(Module):
    """Scale and shift per channel, and running statistics."""

    dims: tuple[int, ...] = ()  # numbers of dimensions that an input may have

    def __init__(
        self, num_features: int, eps: float, momentum: float | None, affine: bool,
        track_running_stats: bool, device: Any, dtype: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        like = {"device": device, "dtype": dtype}
        ones, zeros = creation.ones, creation.zeros
        self.register_parameter("weight", Parameter(ones(num_features, **like)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(num_features, **like)) if affine else None)
        track = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **like) if track else None)
        self.register_buffer("running_var", ones(num_features, **like) if track else None)
        counter = creation.zeros((), dtype="int64", device=device) if track else None
        self.register_buffer("num_batches_tracked", counter)

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batches seen."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1.0)
            self.num_batches_tracked.zero_()

    def _check(self, input: Tensor) -> None:
        if input.ndim not in self.dims or input.shape[1] != self.num_features:
            dims = " or ".join(f"{n}-d" for n in self.dims)
            raise ShapeError(
                f"{self!r}: input must be {dims} with {self.num_features} channels; "
                f"got {tuple(input.shape)}"
            )

    def _momentum(self) -> float:
        """The weight of this batch; counts the batch."""
        self.num_batches_tracked.add_(1)
        if self.momentum is not None:
            return self.momentum
        return 1.0 / int(self.num_batches_tracked.item())  # a plain average over all batches

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_ChannelNorm):
    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
        affine: bool = True, track_running_stats: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        use_batch = self.training or self.running_mean is None
        count = input.numel() // self.num_features
        if use_batch and input.numel() and count < 2:
            raise ShapeError(
                f"{self!r}: one value per channel (input {tuple(input.shape)}) has no variance: "
                "use a larger batch, or eval()"
            )
        update = self.training and self.track_running_stats
        momentum = self._momentum() if update else 0.0
        keeps = update or not use_batch
        return F.batch_norm(
            input, self.running_mean if keeps else None, self.running_var if keeps else None,
            self.weight, self.bias, use_batch, momentum, self.eps,
        )  # fmt: skip


class BatchNorm1d(_BatchNorm):
    """Normalises each feature of [N,C] or [N,C,L] over the batch (Ioffe & Szegedy 2015)."""

    dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Normalises each channel of [N,C,H,W] over batch and pixels (Ioffe & Szegedy 2015).

    Training uses the batch's statistics and moves the running ones towards them by `momentum`
    (the weight of the new batch; None for a plain average); eval uses the running ones.
    """

    dims = (4,)


class InstanceNorm2d(_ChannelNorm):
    """Normalises each channel of each sample of [N,C,H,W] (Ulyanov et al. 2016)."""

    dims = (4,)

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        use_input = self.training or not self.track_running_stats
        update = self.training and self.track_running_stats
        momentum = self._momentum() if update else 0.0
        return F.instance_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, use_input,
            momentum, self.eps,
        )  # fmt: skip


class GroupNorm(Module):
    """Normalises groups of channels of each sample of [N,C,...] (Wu & He 2018)."""

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ConfigError(f"{num_groups} groups do not divide {num_channels} channels")
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        like = {"device": device, "dtype": dtype}
        weight, bias = creation.ones(num_channels, **like), creation.zeros(num_channels, **like)
        self.register_parameter("weight", Parameter(weight) if affine else None)
        self.register_parameter("bias", Parameter(bias) if affine else None)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim < 2 or input.shape[1] != self.num_channels:
            raise ShapeError(
                f"{self!r}: input must have {self.num_channels} channels; got {tuple(input.shape)}"
            )
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class LayerNorm(Module):
    """Normalises the last axes, those of normalized_shape (Ba et al. 2016)."""

    def __init__(
        self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True,
        bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        single = isinstance(normalized_shape, int)
        self.normalized_shape = (normalized_shape,) if single else tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        like = {"device": device, "dtype": dtype}
        weight = creation.ones(self.normalized_shape, **like)
        shift = creation.zeros(self.normalized_shape, **like)
        self.register_parameter("weight", Parameter(weight) if elementwise_affine else None)
        self.register_parameter("bias", Parameter(shift) if elementwise_affine and bias else None)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        shape, affine = self.normalized_shape, self.elementwise_affine
        return f"{shape}, eps={self.eps}, elementwise_affine={affine}"
