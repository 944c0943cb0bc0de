// dx[n,c,h,w] = bias[c] + sum over k,r,s of weight[k,c,r,s] dy[n,k,p,q] where p*stride - pad +
// r*dilation = h (and so for w), in fp32, TF32 or three times TF32: also a
// transposed convolution.
//
// Replaces conv_input_grad.cu for compute capability 8.0 and groups = 1: the same dense
// convolution for each phase of the stride, its terms in the order (r, s, k). `packed` is
// pack_input_grad's, each phase at a multiple of phase_size.
// Launch: grid (pixels of the largest phase / TN, C / TM, phases * splits), rounded up, for the
// entry of tile TMxTN; 128 threads. As in conv_forward_async.cu, `splits` parts go to dx [splits, N,
// C, H, W] for sum_splits.
// Memory: dy is read once for TM channels and each phase (the phases' overlap from L2), packed once
// for TN pixels, dx written once, in steps of the stride.
#include "async_windows.cuh"

#ifdef ASYNC_COPIES
#define CONV_INPUT_GRAD(NAME, TM, TN, PRODUCTS)                                                  \
  extern "C" __global__ void __launch_bounds__(ASYNC_THREADS)                                     \
      NAME(const float* __restrict__ dy, const float* __restrict__ packed,                       \
           const float* __restrict__ bias, float* __restrict__ dx, Conv p, int depth,            \
           int phase_size, int splits) {                                                         \
    __shared__ __align__(16) float shared[ASYNC_FLOATS(TM, TN)];                                  \
    const int phase = blockIdx.z / splits, split = blockIdx.z % splits;                          \
    const Windows g = input_grad_windows(p, phase);                                              \
    const int slices = g.h.taps * g.w.taps * depth / ASYNC_SLICE;                                 \
    sum_windows<TM, TN, PRODUCTS>(packed + (size_t)phase * phase_size, dy, bias,                \
                                   dx + (size_t)split * p.N * p.C * p.H * p.W, g, p.N, p.C, p.K, \
                                   depth, (int)((long long)slices * split / splits),             \
                                   (int)((long long)slices * (split + 1) / splits), shared);     \
  }

CONV_INPUT_GRAD(conv_input_grad_fp32_64x128, 64, 128, 0)
CONV_INPUT_GRAD(conv_input_grad_fp32_64x64, 64, 64, 0)
CONV_INPUT_GRAD(conv_input_grad_tf32_128x128, 128, 128, 1)
CONV_INPUT_GRAD(conv_input_grad_tf32_64x128, 64, 128, 1)
CONV_INPUT_GRAD(conv_input_grad_tf32_64x64, 64, 64, 1)
CONV_INPUT_GRAD(conv_input_grad_3xtf32_64x128, 64, 128, 3)
CONV_INPUT_GRAD(conv_input_grad_3xtf32_64x64, 64, 64, 3)
#endif
