"""The CUDA backend: our kernels (kernels/*.cu), launched through CuPy.

What no kernel of ours covers, a dtype or a whole kernel of the protocol, goes to the reference,
which computes with CuPy's array functions; `minigan info` tells the two apart. Everything here is
checked without a GPU, in tests/cuda_on_cpu.
"""

from minigan.backends.cuda.conv import conv2d, conv2d_input_grad, conv2d_weight_grad
from minigan.backends.cuda.layer_activation import (
    bias_activation_backward,
    conv2d_activation,
    linear_activation,
)
from minigan.backends.cuda.linalg import add_matmul, matmul
from minigan.backends.cuda.loss import (
    cross_entropy,
    cross_entropy_backward,
    log_softmax,
    log_softmax_backward,
    softplus,
    softplus_backward,
)
from minigan.backends.cuda.norm import (
    batch_norm,
    batch_norm_activation,
    batch_norm_activation_backward,
    batch_norm_backward,
    move_running,
    row_norm,
    row_norm_backward,
)
from minigan.backends.cuda.optim import adam_steps, rmsprop_steps, sgd_steps
from minigan.backends.cuda.pad import pad2d, pad2d_adjoint
from minigan.backends.cuda.pair_loss import pair_loss, pair_loss_backward
from minigan.backends.cuda.pick import max_pool2d_indices, scatter_add_last, scatter_add_rows
from minigan.backends.cuda.pointwise import (
    leaky_relu,
    leaky_relu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    tanh,
    tanh_backward,
)
from minigan.backends.cuda.random import philox, philox_mask, philox_normal, philox_uniform
from minigan.backends.cuda.resample import (
    block_sum,
    upsample_conv2d,
    upsample_conv2d_input_grad,
    upsample_conv2d_weight_grad,
    upsample_nearest,
)
from minigan.backends.cuda.sums import sum
