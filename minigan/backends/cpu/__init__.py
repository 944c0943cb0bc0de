"""The numba backend: the hot kernels for float32 on the CPU; the reference has all others.

Imported at the first kernel call only, because importing numba takes half a second.
"""

from minigan.backends.cpu.conv import (
    conv2d,
    conv2d_activation,
    conv2d_input_grad,
    conv2d_weight_grad,
)
from minigan.backends.cpu.layer_activation import bias_activation_backward, linear_activation
from minigan.backends.cpu.linalg import add_matmul, matmul
from minigan.backends.cpu.max_pool import max_pool2d_indices
from minigan.backends.cpu.memory import keep_freed_memory
from minigan.backends.cpu.norm import (
    batch_norm,
    batch_norm_activation,
    batch_norm_activation_backward,
    batch_norm_backward,
    move_running,
    row_norm,
    row_norm_backward,
)
from minigan.backends.cpu.optim import adam_step, rmsprop_step, sgd_step
from minigan.backends.cpu.optim_many import adam_steps, rmsprop_steps, sgd_steps
from minigan.backends.cpu.pad import pad2d, pad2d_adjoint
from minigan.backends.cpu.pair_loss import pair_loss, pair_loss_backward
from minigan.backends.cpu.pointwise import (
    add,
    add_to,
    apply_mask,
    clip_to,
    leaky_relu,
    leaky_relu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    softplus,
    softplus_backward,
    tanh,
    tanh_backward,
)
from minigan.backends.cpu.random import philox, philox_mask, philox_normal, philox_uniform
from minigan.backends.cpu.resample import (
    block_sum,
    gather_last,
    scatter_add_last,
    scatter_add_rows,
    upsample_nearest,
)
from minigan.backends.cpu.sums import sum
from minigan.backends.cpu.upsample_conv import (
    upsample_conv2d,
    upsample_conv2d_input_grad,
    upsample_conv2d_weight_grad,
)

__all__ = [
    "adam_step",
    "adam_steps",
    "add_matmul",
    "add",
    "add_to",
    "apply_mask",
    "clip_to",
    "batch_norm",
    "batch_norm_activation",
    "batch_norm_activation_backward",
    "batch_norm_backward",
    "bias_activation_backward",
    "block_sum",
    "conv2d",
    "conv2d_activation",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "gather_last",
    "leaky_relu",
    "leaky_relu_backward",
    "linear_activation",
    "matmul",
    "max_pool2d_indices",
    "move_running",
    "pad2d",
    "pad2d_adjoint",
    "pair_loss",
    "pair_loss_backward",
    "philox",
    "philox_mask",
    "philox_normal",
    "philox_uniform",
    "relu",
    "relu_backward",
    "rmsprop_step",
    "rmsprop_steps",
    "row_norm",
    "row_norm_backward",
    "scatter_add_last",
    "scatter_add_rows",
    "sgd_step",
    "sgd_steps",
    "sigmoid",
    "sigmoid_backward",
    "softplus",
    "softplus_backward",
    "sum",
    "tanh",
    "tanh_backward",
    "upsample_conv2d",
    "upsample_conv2d_input_grad",
    "upsample_conv2d_weight_grad",
    "upsample_nearest",
]

keep_freed_memory()
