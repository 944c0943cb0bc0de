"""Convolution: three bilinear maps, closed under differentiation.

With x [N,C,H,W], w [K,C/g,KH,KW], g [N,K,OH,OW]:

    C(x, w)  the convolution (cross-correlation, as everywhere in deep learning)
    T(g, w)  the adjoint of C in x: the input gradient, and also a transposed convolution
    G(x, g)  the adjoint of C in w: the weight gradient

All three come from one trilinear form <C(x, w), g> = <x, T(g, w)> = <w, G(x, g)>, so the
derivative of each with respect to each argument is one of the other two:

    C: dx = T(dy, w), dw = G(x, dy)
    T: dg = C(dy, w), dw = G(dy, g)
    G: dx = T(g, dy), dg = C(x, dy)

and every order of differentiation is covered.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from minigan.autograd import Function
from minigan.backends import kernels_for
from minigan.errors import ConfigError, DTypeError, ShapeError
from minigan.ops.activation import arrays_through_activation, through_activation
from minigan.ops.operands import check_dtypes, pair
from minigan.tensor import Tensor


class Geometry(NamedTuple):
    """How the window moves: (height, width) pairs, and the number of channel groups."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def output_hw(self, hw: Any, kernel: Any) -> tuple[int, int]:
        """The size of C(x, w) for an input of size hw."""
        return tuple(
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(hw, kernel, *self[:3], strict=True)
        )

    def smallest_input_hw(self, hw: Any, kernel: Any) -> tuple[int, int]:
        """The smallest input whose convolution has size hw."""
        return tuple(
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, k, s, p, d in zip(hw, kernel, *self[:3], strict=True)
        )


class Conv2d(Function):
    """y = f(C(x, w) + b), f a leaky ReLU as in ops/linear.py: slope 0 is ReLU, 1 no activation."""

    makes_new = True

    def __init__(self, geometry: Geometry, slope: float = 1.0) -> None:
        self.geometry, self.slope = geometry, slope
        self.saves = (0, 1) if slope == 1 else (0, 1, "output")

    def forward(self, x: Any, weight: Any, bias: Any = None) -> Any:
        kernels = kernels_for(x)
        if self.slope == 1:
            return kernels.conv2d(x, weight, bias, *self.geometry)
        return kernels.conv2d_activation(x, weight, bias, *self.geometry, self.slope)

    def backward(self, grad: Tensor) -> Any:
        x, weight, *y = self.saved
        for output in y:
            grad = through_activation(grad, output, self.slope)
        return (
            Conv2dInputGrad(self.geometry, x.shape[2:])(grad, weight) if self.needs[0] else None,
            Conv2dWeightGrad(self.geometry, weight.shape[2:])(x, grad) if self.needs[1] else None,
            *(grad.sum((0, 2, 3)) if need else None for need in self.needs[2:]),
        )

    def backward_arrays(self, grad: Any) -> Any:
        x, weight, *y = self.saved_arrays
        kernels = kernels_for(grad)
        grad, grad_bias = arrays_through_activation(
            grad, y[0] if y else None, self.slope, any(self.needs[2:])
        )
        grads = (
            kernels.conv2d_input_grad(grad, weight, None, x.shape[2:], *self.geometry)
            if self.needs[0] else None,
            kernels.conv2d_weight_grad(x, grad, weight.shape[2:], *self.geometry)
            if self.needs[1] else None,
        )  # fmt: skip
        return grads if len(self.needs) == 2 else (*grads, grad_bias)


class Conv2dInputGrad(Function):
    """y = T(g, w) + b, of size input_hw."""

    saves = (0, 1)
    makes_new = True

    def __init__(self, geometry: Geometry, input_hw: Any) -> None:
        self.geometry, self.input_hw = geometry, tuple(input_hw)

    def forward(self, grad: Any, weight: Any, *bias: Any) -> Any:
        return kernels_for(grad).conv2d_input_grad(
            grad, weight, bias[0] if bias else None, self.input_hw, *self.geometry
        )

    def backward(self, grad: Tensor) -> Any:
        g, weight = self.saved
        return (
            Conv2d(self.geometry)(grad, weight) if self.needs[0] else None,
            Conv2dWeightGrad(self.geometry, weight.shape[2:])(grad, g) if self.needs[1] else None,
            *(grad.sum((0, 2, 3)) if need else None for need in self.needs[2:]),
        )


class Conv2dWeightGrad(Function):
    """y = G(x, g), of kernel size kernel_hw."""

    saves = (0, 1)
    makes_new = True

    def __init__(self, geometry: Geometry, kernel_hw: Any) -> None:
        self.geometry, self.kernel_hw = geometry, tuple(kernel_hw)

    def forward(self, x: Any, g: Any) -> Any:
        return kernels_for(x).conv2d_weight_grad(x, g, self.kernel_hw, *self.geometry)

    def backward(self, grad: Tensor) -> Any:
        x, g = self.saved
        return (
            Conv2dInputGrad(self.geometry, x.shape[2:])(g, grad) if self.needs[0] else None,
            Conv2d(self.geometry)(x, grad) if self.needs[1] else None,
        )


class UpsampleConv2d(Function):
    """y = C(upsample(x), w) + b: nearest upsampling by 2, then a 3x3 convolution, as one map.

    Every 2x2 block of y sees only 2x2 pixels of x, so the work is that of four 2x2 convolutions
    with summed weights: 16/36 of the multiplications, and no upsampled image in memory. Bilinear
    in x and w, with a closed family of its own.
    """

    saves = (0, 1)
    makes_new = True

    def forward(self, x: Any, weight: Any, *bias: Any) -> Any:
        return kernels_for(x).upsample_conv2d(x, weight, bias[0] if bias else None)

    def backward(self, grad: Tensor) -> Any:
        x, weight = self.saved
        return (
            UpsampleConv2dInputGrad()(grad, weight) if self.needs[0] else None,
            UpsampleConv2dWeightGrad()(x, grad) if self.needs[1] else None,
            *(grad.sum((0, 2, 3)) if need else None for need in self.needs[2:]),
        )


class UpsampleConv2dInputGrad(Function):
    """The adjoint of UpsampleConv2d in x. g [N,K,2H,2W] -> [N,C,H,W]."""

    saves = (0, 1)
    makes_new = True

    def forward(self, g: Any, weight: Any) -> Any:
        return kernels_for(g).upsample_conv2d_input_grad(g, weight)

    def backward(self, grad: Tensor) -> Any:
        g, weight = self.saved
        return (
            UpsampleConv2d()(grad, weight) if self.needs[0] else None,
            UpsampleConv2dWeightGrad()(grad, g) if self.needs[1] else None,
        )


class UpsampleConv2dWeightGrad(Function):
    """The adjoint of UpsampleConv2d in the weight. x [N,C,H,W], g [N,K,2H,2W] -> [K,C,3,3]."""

    saves = (0, 1)
    makes_new = True

    def forward(self, x: Any, g: Any) -> Any:
        return kernels_for(x).upsample_conv2d_weight_grad(x, g)

    def backward(self, grad: Tensor) -> Any:
        x, g = self.saved
        return (
            UpsampleConv2dInputGrad()(g, grad) if self.needs[0] else None,
            UpsampleConv2d()(x, grad) if self.needs[1] else None,
        )


# --- public functions -------------------------------------------------------------------------
def _batched(x: Tensor, op: str) -> tuple[Tensor, bool]:
    """x as [N,C,H,W]; one image [C,H,W] is taken as a batch of one."""
    if x.ndim not in (3, 4):
        raise ShapeError(f"{op}: input must be [N,C,H,W] or [C,H,W]; got shape {tuple(x.shape)}")
    return (x.unsqueeze(0), True) if x.ndim == 3 else (x, False)


def _geometry(stride: Any, padding: Any, dilation: Any, groups: int, op: str) -> Geometry:
    geometry = Geometry(
        pair(stride, f"{op}: stride"),
        pair(padding, f"{op}: padding"),
        pair(dilation, f"{op}: dilation"),
        int(groups),
    )
    positive = (*geometry.stride, *geometry.dilation, geometry.groups)
    if min(positive) < 1 or min(geometry.padding) < 0:
        raise ShapeError(
            f"{op}: stride {geometry.stride}, dilation {geometry.dilation} and groups {groups} "
            f"must be positive, padding {geometry.padding} must not be negative"
        )
    return geometry


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, inputs: int, outputs: int, op: str,
           groups: int) -> None:  # fmt: skip
    """Channels, dtypes and groups of an input against a weight."""
    if weight.ndim != 4:
        raise ShapeError(f"{op}: weight must have 4 dimensions; got shape {tuple(weight.shape)}")
    if x.shape[1] != inputs or inputs % groups or outputs % groups:
        raise ShapeError(
            f"{op}: input of shape {tuple(x.shape)} does not fit weight {tuple(weight.shape)} with "
            f"groups={groups}: {inputs} input channels expected, and {groups} must divide {inputs} "
            f"and {outputs}"
        )
    if bias is not None and tuple(bias.shape) != (outputs,):
        raise ShapeError(f"{op}: bias must have shape ({outputs},); got {tuple(bias.shape)}")
    if x.dtype.kind != "f":
        raise DTypeError(f"{op}: input must be floating point; got {x.dtype}: use .float()")
    check_dtypes(op, x, weight=weight, bias=bias)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution of [N,C,H,W] (or [C,H,W]) with weight [K,C/groups,KH,KW] and bias [K].

    padding is an int, a pair, "valid" or "same" (stride 1). Raises ShapeError where the kernel
    does not fit.
    """
    return _conv2d("conv2d", input, weight, bias, stride, padding, dilation, groups, 1.0)


def conv2d_activation(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    negative_slope: float = 0.0,
) -> Tensor:
    """leaky_relu(conv2d(...), negative_slope) as one operation; 0 is relu."""
    op = "conv2d_activation"
    if negative_slope < 0:
        raise ConfigError(f"{op}: negative_slope must not be negative, got {negative_slope}")
    slope = float(negative_slope)
    return _conv2d(op, input, weight, bias, stride, padding, dilation, groups, slope)


def _conv2d(
    op: str,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    slope: float,
) -> Tensor:
    x, single = _batched(input, op)
    if isinstance(padding, str):
        x, padding = _pad_by_name(x, weight, padding, stride, dilation)
    geometry = _geometry(stride, padding, dilation, groups, op)
    inputs = weight.shape[1] * groups if weight.ndim == 4 else 0
    _check(x, weight, bias, inputs, weight.shape[0], op, groups)
    if min(geometry.output_hw(x.shape[2:], weight.shape[2:])) < 1:
        raise ShapeError(
            f"{op}: an image of {x.shape[2]}x{x.shape[3]} is too small for a kernel of "
            f"{weight.shape[2]}x{weight.shape[3]} with padding {geometry.padding} and dilation "
            f"{geometry.dilation}"
        )
    args = (x, weight) if bias is None else (x, weight, bias)
    y = Conv2d(geometry, slope)(*args)
    return y.squeeze(0) if single else y


def _pad_by_name(
    x: Tensor, weight: Tensor, name: str, stride: Any, dilation: Any
) -> tuple[Tensor, int]:
    if name not in ("valid", "same"):
        raise ShapeError(f"conv2d: padding {name!r} is unknown; use a number, 'valid' or 'same'")
    if name == "valid":
        return x, 0
    if pair(stride, "stride") != (1, 1):
        raise ShapeError("conv2d: padding 'same' needs stride 1")
    total = [d * (k - 1) for d, k in zip(pair(dilation, "dilation"), weight.shape[2:], strict=True)]
    (top, left), (h, w) = [n // 2 for n in total], total
    return x.pad((left, w - left, top, h - top)), 0


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The adjoint of conv2d in its input. input [N,K,H,W], weight [K,C/groups,KH,KW], bias [C].

    output_padding adds rows and columns on one side, to choose among the input sizes that a
    strided convolution maps to the same output size.
    """
    x, single = _batched(input, "conv_transpose2d")
    geometry = _geometry(stride, padding, dilation, groups, "conv_transpose2d")
    extra = pair(output_padding, "conv_transpose2d: output_padding")
    outputs = weight.shape[1] * groups if weight.ndim == 4 else 0
    _check(x, weight, bias, weight.shape[0], outputs, "conv_transpose2d", groups)
    if any(e and e >= max(s, d) for e, s, d in zip(extra, geometry[0], geometry[2], strict=True)):
        raise ShapeError(
            f"conv_transpose2d: output_padding {extra} must be smaller than stride "
            f"{geometry.stride} or dilation {geometry.dilation}"
        )
    smallest = geometry.smallest_input_hw(x.shape[2:], weight.shape[2:])
    output_hw = tuple(n + e for n, e in zip(smallest, extra, strict=True))
    if min(output_hw) < 1:
        raise ShapeError(
            f"conv_transpose2d: input of shape {tuple(x.shape)} would give an image of size "
            f"{output_hw}; use less padding"
        )
    args = (x, weight) if bias is None else (x, weight, bias)
    y = Conv2dInputGrad(geometry, output_hw)(*args)
    return y.squeeze(0) if single else y


def upsample_conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """conv2d(upsample(input, 2), weight, bias, padding=1) as one operation; weight [K,C,3,3]."""
    x, single = _batched(input, "upsample_conv2d")
    if tuple(weight.shape[2:]) != (3, 3):
        raise ShapeError(f"upsample_conv2d: weight must be [K,C,3,3]; got {tuple(weight.shape)}")
    _check(x, weight, bias, weight.shape[1], weight.shape[0], "upsample_conv2d", 1)
    args = (x, weight) if bias is None else (x, weight, bias)
    y = UpsampleConv2d()(*args)
    return y.squeeze(0) if single else y
