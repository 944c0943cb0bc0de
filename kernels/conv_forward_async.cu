// y[n,k,p,q] = bias[k] + sum over c,r,s of weight[k,c,r,s] x[n, c, p*stride - pad + r*dilation,
// ...] in fp32, TF32 or three times TF32.
//
// Replaces conv_forward.cu for compute capability 8.0 and groups = 1: the same implicit
// GEMM with asynchronous copies, its terms in the order (r, s, c). `packed` is pack_forward's.
// Launch: grid (NPQ / TN, K / TM, splits), rounded up, for the entry of tile TMxTN; 128 threads. A
// long sum can be cut into `splits` parts, which go to y [splits, N, K, P, Q] for sum_splits.
// Memory: x is read once for TM output channels (a window's overlap from L2), packed once for TN
// pixels, y written once.
#include "async_windows.cuh"

#ifdef ASYNC_COPIES
#define CONV_FORWARD(NAME, TM, TN, PRODUCTS)                                                       \
  extern "C" __global__ void __launch_bounds__(ASYNC_THREADS)                                       \
      NAME(const float* __restrict__ x, const float* __restrict__ packed,                          \
           const float* __restrict__ bias, float* __restrict__ y, Conv p, int depth, int splits) { \
    __shared__ __align__(16) float shared[ASYNC_FLOATS(TM, TN)];                                    \
    const int slices = p.R * p.S * depth / ASYNC_SLICE, split = blockIdx.z;                         \
    sum_windows<TM, TN, PRODUCTS>(packed, x, bias, y + (size_t)split * p.N * p.K * p.P * p.Q,     \
                                   forward_windows(p), p.N, p.K, p.C, depth,                       \
                                   (int)((long long)slices * split / splits),                      \
                                   (int)((long long)slices * (split + 1) / splits), shared);       \
  }

CONV_FORWARD(conv_forward_fp32_64x128, 64, 128, 0)
CONV_FORWARD(conv_forward_fp32_64x64, 64, 64, 0)
CONV_FORWARD(conv_forward_tf32_128x128, 128, 128, 1)
CONV_FORWARD(conv_forward_tf32_64x128, 64, 128, 1)
CONV_FORWARD(conv_forward_tf32_64x64, 64, 64, 1)
CONV_FORWARD(conv_forward_3xtf32_64x128, 64, 128, 3)
CONV_FORWARD(conv_forward_3xtf32_64x64, 64, 64, 3)
#endif
