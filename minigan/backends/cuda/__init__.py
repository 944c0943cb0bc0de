"""The CUDA backend: our kernels (kernels/*.cu), launched through CuPy.

Under construction: convolutions and matrix products are here, checked by running the kernels on
the CPU (tests/cuda_on_cpu); no device selects this backend yet. A dtype that a kernel does not
cover goes to the reference, which computes with CuPy's array functions.
"""

from minigan.backends.cuda.conv import conv2d, conv2d_input_grad, conv2d_weight_grad
from minigan.backends.cuda.linalg import matmul
