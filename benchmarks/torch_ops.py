"""The operation in PyTorch that does what one of minigan's kernels does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _conv_backward(
    torch: Any, grad: Any, x: Any, weight: Any, geometry: tuple[Any, ...], wanted: list[bool]
) -> Any:
    stride, padding, dilation, groups = geometry
    return torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, dilation, False, [0, 0], groups, wanted
    )


def _conv2d_input_grad(
    torch: Any, grad: Any, weight: Any, bias: Any, hw: Any, *geometry: Any
) -> Any:
    if bias is None:
        x = torch.empty(grad.shape[0], weight.shape[1] * geometry[-1], *hw)
        return lambda: _conv_backward(torch, grad, x, weight, geometry, [True, False, False])
    stride, padding, dilation, groups = geometry  # a transposed convolution
    least = [
        (grad.shape[2 + i] - 1) * stride[i]
        - 2 * padding[i]
        + dilation[i] * (weight.shape[2 + i] - 1)
        + 1
        for i in range(2)
    ]
    extra = [size - low for size, low in zip(hw, least, strict=True)]
    args = (stride, padding, extra, groups, dilation)
    return lambda: torch.conv_transpose2d(grad, weight, bias, *args)


def _conv2d_weight_grad(torch: Any, x: Any, grad: Any, kernel: Any, *geometry: Any) -> Any:
    weight = torch.empty(grad.shape[1], x.shape[1] // geometry[-1], *kernel)
    return lambda: _conv_backward(torch, grad, x, weight, geometry, [False, True, False])


_THREE_BY_THREE = ((1, 1), (1, 1), (1, 1), 1)


def _upsample_conv2d(torch: Any, x: Any, weight: Any, bias: Any) -> Any:
    F = torch.nn.functional
    return lambda: F.conv2d(F.interpolate(x, scale_factor=2), weight, bias, padding=1)


def _upsample_conv2d_input_grad(torch: Any, grad: Any, weight: Any) -> Any:
    n, _, h, w = grad.shape
    shape = (n, weight.shape[1], h // 2, w // 2)
    x = torch.empty(n, weight.shape[1], h, w)

    def call() -> Any:
        back, _, _ = _conv_backward(torch, grad, x, weight, _THREE_BY_THREE, [True, False, False])
        return torch.ops.aten.upsample_nearest2d_backward(back, [h, w], shape, 2.0, 2.0)

    return call


def _upsample_conv2d_weight_grad(torch: Any, x: Any, grad: Any) -> Any:
    weight = torch.empty(grad.shape[1], x.shape[1], 3, 3)
    upsampled = torch.nn.functional.interpolate(x, scale_factor=2)  # kept since the forward pass
    wanted = [False, True, False]
    return lambda: _conv_backward(torch, grad, upsampled, weight, _THREE_BY_THREE, wanted)


def _batch_norm(torch: Any, x: Any, weight: Any, bias: Any, eps: float) -> Any:
    return lambda: torch.native_batch_norm(x, weight, bias, None, None, True, 0.1, eps)


def _batch_norm_backward(
    torch: Any, grad: Any, x: Any, weight: Any, mean: Any, var: Any, eps: float
) -> Any:
    inverse = 1 / torch.sqrt(var + eps)
    return lambda: torch.ops.aten.native_batch_norm_backward(
        grad, x, weight, None, None, mean, inverse, True, eps, [True, True, True]
    )


def _adam_step(torch: Any, param: Any, grad: Any, *state: Any) -> Any:
    param.grad = grad
    optimizer = torch.optim.Adam([param], lr=state[2], betas=state[3:5], fused=True)
    return optimizer.step


# kernel -> a function that takes torch and the kernel's arguments as tensors, and returns the call
COUNTERPARTS: dict[str, Callable[..., Callable[[], Any]]] = {
    "conv2d": lambda torch, *args: lambda: torch.conv2d(*args),
    "conv2d_input_grad": _conv2d_input_grad,
    "conv2d_weight_grad": _conv2d_weight_grad,
    "upsample_conv2d": _upsample_conv2d,
    "upsample_conv2d_input_grad": _upsample_conv2d_input_grad,
    "upsample_conv2d_weight_grad": _upsample_conv2d_weight_grad,
    "matmul": lambda torch, a, b: lambda: torch.matmul(a, b),
    "add_matmul": lambda torch, total, a, b: lambda: total.addmm_(a, b),
    "batch_norm": _batch_norm,
    "batch_norm_backward": _batch_norm_backward,
    "relu": lambda torch, x: lambda: torch.relu(x),
    "relu_backward": lambda torch, grad, y: lambda: torch.ops.aten.threshold_backward(grad, y, 0),
    "leaky_relu": lambda torch, x, slope: lambda: torch.nn.functional.leaky_relu(x, slope),
    "leaky_relu_backward": lambda torch, grad, x, slope: (
        lambda: torch.ops.aten.leaky_relu_backward(grad, x, slope, False)
    ),
    "tanh": lambda torch, x: lambda: torch.tanh(x),
    "tanh_backward": lambda torch, grad, y: lambda: torch.ops.aten.tanh_backward(grad, y),
    "adam_step": _adam_step,
}
