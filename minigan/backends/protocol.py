"""The kernels that a backend may provide, one signature each.

A backend is a plain module of functions on arrays; it knows no Tensor and no gradient mode.
`reference.py` has all of them, obvious and vectorised, and is the oracle of every test.
`cpu/` and `cuda/` override any of them by defining a function of the same name; what they do not
define, or hand on for a dtype or geometry that they do not cover, runs in the reference.

Conventions. Arrays are C-contiguous or not, float32 or float64 unless said; results are new
arrays of the dtype of the first argument; arguments are never modified (add_to, add_matmul,
clip_to, move_running and the optimiser kernels, which update in place, are the exception). Layout
is NCHW, weights are [K, C/groups, KH, KW].
`stride`, `padding`, `dilation` are (height, width) pairs of ints, padding is symmetric.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

Array = Any  # numpy.ndarray or cupy.ndarray
Pair = tuple[int, int]


class Kernels(Protocol):
    """What an op finds on `kernels_for(array)`."""

    xp: Any  # the array namespace: numpy or cupy
    name: str
    concatenate: Any  # (arrays, axis) -> array
    constant: Any  # (number or small host array, dtype) -> array, which nobody may change

    # --- convolution: a closed family of three bilinear maps ------------------------------
    def conv2d(
        self,
        x: Array,
        weight: Array,
        bias: Array | None,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
    ) -> Array:
        """x [N,C,H,W], weight [K,C/g,KH,KW], bias [K] -> [N,K,OH,OW] (cross-correlation)."""

    def conv2d_activation(
        self,
        x: Array,
        weight: Array,
        bias: Array | None,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
        slope: float,
    ) -> Array:
        """leaky_relu(conv2d(...), slope); slope 0 is relu, 1 no activation."""

    def conv2d_input_grad(
        self,
        grad: Array,
        weight: Array,
        bias: Array | None,
        input_hw: Pair,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
    ) -> Array:
        """grad [N,K,OH,OW], weight [K,C/g,KH,KW] -> [N,C,H,W], (H,W) = input_hw; the adjoint of
        conv2d in x, so also a transposed convolution; bias [C] is added for that use."""

    def conv2d_weight_grad(
        self,
        x: Array,
        grad: Array,
        kernel_hw: Pair,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
    ) -> Array:
        """x [N,C,H,W], grad [N,K,OH,OW] -> [K,C/g,KH,KW]; the adjoint of conv2d in the weight."""

    # --- nearest upsampling by 2 before a 3x3 convolution (stride 1, padding 1), as one map ---
    def upsample_conv2d(self, x: Array, weight: Array, bias: Array | None) -> Array:
        """x [N,C,H,W], weight [K,C,3,3] -> conv2d(upsample_nearest(x, 2), weight, padding 1)."""

    def upsample_conv2d_input_grad(self, grad: Array, weight: Array) -> Array:
        """grad [N,K,2H,2W] -> [N,C,H,W]."""

    def upsample_conv2d_weight_grad(self, x: Array, grad: Array) -> Array:
        """x [N,C,H,W], grad [N,K,2H,2W] -> [K,C,3,3]."""

    # --- sums ---------------------------------------------------------------------------------
    def sum(self, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
        """The sum over axes (not negative), also of no axes; dtype as numpy.sum."""

    # --- linear algebra ---------------------------------------------------------------------
    def matmul(self, a: Array, b: Array) -> Array:
        """numpy.matmul: [..., M, K] @ [..., K, N], batch axes broadcast, 1-d operands allowed."""

    def add_matmul(self, total: Array, a: Array, b: Array) -> None:
        """In place: total += a @ b, of matrices."""

    def linear_activation(self, x: Array, weight: Array, bias: Array | None, slope: float) -> Array:
        """x [N,I], weight [O,I], bias [O] -> leaky_relu(x weight^T + bias, slope); slope 0 is relu,
        1 no activation."""

    def bias_activation_backward(self, grad: Array, y: Array, slope: float) -> tuple[Array, Array]:
        """grad and y [N,C,...], the result of linear_activation or conv2d_activation -> (the
        gradient before the activation, that of the bias [C]); the sign of y is that of what was
        activated (slope >= 0)."""

    # --- normalisation ----------------------------------------------------------------------
    def batch_norm(
        self, x: Array, weight: Array | None, bias: Array | None, eps: float
    ) -> tuple[Array, Array, Array]:
        """x [N,C,...] -> (y, mean [C], var [C]); statistics over all axes but 1, var biased;
        y = (x - mean) / sqrt(var + eps) * weight + bias."""

    def batch_norm_backward(
        self, grad: Array, x: Array, weight: Array | None, mean: Array, var: Array, eps: float
    ) -> tuple[Array, Array, Array]:
        """-> (grad_x like x, grad_weight [C], grad_bias [C]), differentiating mean and var too."""

    def row_norm(self, x: Array, eps: float) -> tuple[Array, Array, Array]:
        """x [M,K] -> (xhat, mean [M], var [M]); each row normalised on its own, var biased."""

    def row_norm_backward(self, grad: Array, xhat: Array, var: Array, eps: float) -> Array:
        """-> grad_x [M,K]."""

    def batch_norm_activation(
        self, x: Array, weight: Array | None, bias: Array | None, eps: float, slope: float
    ) -> tuple[Array, Array, Array]:
        """(leaky_relu(batch_norm(x), slope), mean [C], var [C]); slope 0 is relu."""

    def batch_norm_activation_backward(
        self,
        grad: Array,
        x: Array,
        y: Array,
        weight: Array | None,
        bias: Array | None,
        mean: Array,
        var: Array,
        eps: float,
        slope: float,
    ) -> tuple[Array, Array, Array]:
        """-> (grad_x, grad_weight [C], grad_bias [C]); y is the result of batch_norm_activation,
        whose sign is that of the normalised value (slope >= 0)."""

    def move_running(
        self,
        running_mean: Array,
        running_var: Array,
        mean: Array,
        var: Array,
        momentum: float,
        unbiased: float,
    ) -> None:
        """In place: r = (1 - momentum) r + momentum value; var is multiplied by `unbiased`."""

    # --- sums and limits, element by element --------------------------------------------------
    def add(self, a: Array, b: Array) -> Array:
        """a + b of one shape and dtype."""

    def add_to(self, total: Array, values: Array) -> None:
        """In place: total += values, of the same shape."""

    def clip_to(self, x: Array, low: float | None, high: float | None) -> None:
        """In place: x limited to [low, high], on one side where the other is None; NaN stays."""

    # --- dropout ------------------------------------------------------------------------------
    def apply_mask(self, x: Array, mask: Array) -> Array:
        """x * mask of x's dtype, whose shape is x's, or that of x's first axes and then ones."""

    # --- activations: value, and gradient as one pass -----------------------------------------
    def relu(self, x: Array) -> Array:
        """max(x, 0); NaN stays NaN."""

    def relu_backward(self, grad: Array, y: Array) -> Array:
        """grad where y > 0, else 0; y is the output of relu."""

    def leaky_relu(self, x: Array, slope: float) -> Array:
        """x where x > 0, else slope * x."""

    def leaky_relu_backward(self, grad: Array, x: Array, slope: float) -> Array:
        """grad where x > 0, else slope * grad."""

    def tanh(self, x: Array) -> Array:
        """Hyperbolic tangent."""

    def tanh_backward(self, grad: Array, y: Array) -> Array:
        """grad * (1 - y*y)."""

    def sigmoid(self, x: Array) -> Array:
        """1 / (1 + exp(-x)) without overflow."""

    def sigmoid_backward(self, grad: Array, y: Array) -> Array:
        """grad * y * (1 - y)."""

    def softplus(self, x: Array, beta: float) -> Array:
        """ln(1 + exp(beta x)) / beta without overflow."""

    def softplus_backward(self, grad: Array, x: Array, beta: float) -> Array:
        """grad * sigmoid(beta x)."""

    def log_softmax(self, x: Array, axis: int) -> Array:
        """x - ln sum exp(x) along an axis."""

    def log_softmax_backward(self, grad: Array, y: Array, axis: int) -> Array:
        """grad - exp(y) sum(grad); y is the output of log_softmax."""

    def pair_loss(self, kind: str, x: Array, target: Array, scale: float) -> Array:
        """scale times the sum, [], of |x - t| ("l1"), (x - t)^2 ("mse") or softplus(x) - t x
        ("bce"); x and target of one shape."""

    def pair_loss_backward(
        self, kind: str, grad: Array, x: Array, target: Array, scale: float
    ) -> Array:
        """grad [] -> the gradient by x."""

    def cross_entropy(self, x: Array, labels: Array, ignored: int) -> Array:
        """logits x [M,K], integer labels [M] -> [M]: ln sum exp(x) - x[label], 0 for `ignored`."""

    def cross_entropy_backward(self, grad: Array, x: Array, labels: Array, ignored: int) -> Array:
        """grad [M] -> [M,K]: grad (softmax(x) - [k = label]), 0 for `ignored`."""

    # --- resampling -------------------------------------------------------------------------
    def upsample_nearest(self, x: Array, scale: Pair) -> Array:
        """x [N,C,H,W] -> [N,C,H*sh,W*sw], each pixel repeated."""

    def block_sum(self, x: Array, scale: Pair) -> Array:
        """x [N,C,H*sh,W*sw] -> [N,C,H,W], the sum of each block; adjoint of upsample_nearest."""

    def pad2d(self, x: Array, widths: tuple[int, int, int, int], mode: str) -> Array:
        """x [N,C,H,W] with borders of widths (left, right, top, bottom) that repeat it: mode
        "reflect" (the edge itself once), "replicate" or "circular"."""

    def pad2d_adjoint(
        self, grad: Array, input_hw: Pair, widths: tuple[int, int, int, int], mode: str
    ) -> Array:
        """-> [N,C,H,W], (H,W) = input_hw: each pixel the sum at its copies, in a fixed order."""

    def max_pool2d_indices(
        self, x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, output_hw: Pair
    ) -> Array:
        """x [N,C,H,W] -> int64 [N,C,OH,OW]: the flat position in H*W of each window's maximum
        (the first one of equals; padding never wins; NaN wins)."""

    def gather_last(self, values: Array, index: Array) -> Array:
        """values [M,S], index [M,L] -> [M,L]: out[m, l] = values[m, index[m, l]]."""

    def scatter_add_last(self, values: Array, index: Array, size: int) -> Array:
        """values, index [M,L] -> [M,size]: out[m, index[m, l]] += values[m, l]; a fixed order."""

    def scatter_add_rows(self, values: Array, index: Array, size: int) -> Array:
        """values [L,D], index [L] -> [size,D]: out[index[l]] += values[l]; a fixed order."""

    # --- random numbers: Philox4x32-10 ---------------------------------------------------------
    def philox(self, seed: int, offset: int, n: int) -> Array:
        """uint32 [n]: word i is lane i % 4 of the block with the 128-bit counter
        (low64 = offset + i // 4, high64 = 0) and key = seed (64 bits, low word first)."""

    def philox_uniform(self, seed: int, offset: int, n: int) -> Array:
        """float32 [n] in [0, 1): (word i >> 8) * 2**-24."""

    def philox_mask(self, seed: int, offset: int, n: int, p: float) -> Array:
        """float32 [n]: 0 where philox_uniform is below p < 1, else 1 / (1 - p)."""

    def philox_normal(self, seed: int, offset: int, n: int) -> Array:
        """float32 [n], N(0,1) by Box-Muller: for pair j (words a=2j, b=2j+1),
        r = sqrt(-2 ln u), u = ((a >> 8) + 1) * 2**-24, t = 2 pi (b >> 8) * 2**-24,
        element 2j = r cos t, element 2j+1 = r sin t, computed in float64, rounded to float32."""

    # --- optimisers: one pass, in place ---------------------------------------------------------
    # The `*_steps` update many parameters at once: the lists have an entry for each. What changes
    # from step to step is in `clock`, so that a captured step can be replayed: float64, clock[0]
    # the learning rate and, for Adam, clock[1 + rows[i]] the number of steps of parameter i.
    def sgd_step(
        self,
        param: Array,
        grad: Array,
        momentum_buffer: Array | None,
        lr: float,
        momentum: float,
        dampening: float,
        weight_decay: float,
        nesterov: bool,
        first: bool,
    ) -> None:
        """PyTorch's SGD; `first` says that momentum_buffer starts as the gradient."""

    def adam_step(
        self,
        param: Array,
        grad: Array,
        exp_avg: Array,
        exp_avg_sq: Array,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
        decoupled: bool,
        step: int,
    ) -> None:
        """PyTorch's Adam (AdamW when decoupled): eps outside the square root, bias-corrected with
        step = 1, 2, ..."""

    def rmsprop_step(
        self,
        param: Array,
        grad: Array,
        square_avg: Array,
        momentum_buffer: Array | None,
        grad_avg: Array | None,
        lr: float,
        alpha: float,
        eps: float,
        weight_decay: float,
        momentum: float,
    ) -> None:
        """PyTorch's RMSprop (centered when grad_avg is given)."""

    def sgd_steps(
        self,
        params: Sequence[Array],
        grads: Sequence[Array],
        momentum_buffers: Sequence[Array | None],
        clock: Array,
        momentum: float,
        dampening: float,
        weight_decay: float,
        nesterov: bool,
        first: bool,
    ) -> None:
        """sgd_step for each parameter."""

    def adam_steps(
        self,
        params: Sequence[Array],
        grads: Sequence[Array],
        exp_avgs: Sequence[Array],
        exp_avg_sqs: Sequence[Array],
        clock: Array,
        rows: Sequence[int],
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
        decoupled: bool,
    ) -> None:
        """adam_step for each parameter, whose steps are counted up by one first."""

    def rmsprop_steps(
        self,
        params: Sequence[Array],
        grads: Sequence[Array],
        square_avgs: Sequence[Array],
        momentum_buffers: Sequence[Array | None],
        grad_avgs: Sequence[Array | None],
        clock: Array,
        alpha: float,
        eps: float,
        weight_decay: float,
        momentum: float,
    ) -> None:
        """rmsprop_step for each parameter."""


NAMES: tuple[str, ...] = tuple(
    name for name, value in vars(Kernels).items() if callable(value) and not name.startswith("_")
)
