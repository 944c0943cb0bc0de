// dx[n,c,h,w] = bias[c] + sum over k,r,s of weight[k,c,r,s] dy[n,k,p,q] where p*stride - pad +
// r*dilation = h (and so for w), on the tensor cores: also a transposed convolution.
//
// Replaces conv_input_grad.cu where a GPU has tensor cores for TF32 and groups = 1: the same dense
// convolution for each phase of the stride. Its operand A, the weights that reach a phase, would be
// gathered again by every block in steps of R*S floats; pack_weights puts it in order once.
// Launch: pack_weights with grid (C * K * taps of the largest phase / 256, phases), 256 threads;
// then conv_input_grad_* with grid (pixels of the largest phase / TN, C / TM, phases * splits),
// rounded up, for the entry of tile TMxTN, 128 threads. As in conv_forward_tf32.cu, `splits` parts
// go to dx [splits, N, C, H, W] for sum_splits.
// Memory: the weights are read and written once more than in conv_forward_tf32.cu.
#include "tf32_windows.cuh"

// packed [phase][C][K * taps of the phase], each phase at a multiple of `phase_size`.
extern "C" __global__ void __launch_bounds__(256)
pack_weights(const float* __restrict__ weight, float* __restrict__ packed, Conv p,
             int phase_size) {
  const Windows g = input_grad_windows(p, blockIdx.y);
  const int taps = g.h.taps * g.w.taps, depth = p.K * taps;
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= p.C * depth) return;
  const int c = i / depth, k = i % depth / taps, tap = i % taps;
  const int r = g.h.weight_first + tap / g.w.taps * g.h.weight_step;
  const int s = g.w.weight_first + tap % g.w.taps * g.w.weight_step;
  packed[(size_t)blockIdx.y * phase_size + i] = weight[(((size_t)k * p.C + c) * p.R + r) * p.S + s];
}

#ifdef TENSOR_CORES
#define CONV_INPUT_GRAD(NAME, TM, TN, PRODUCTS)                                                    \
  extern "C" __global__ void __launch_bounds__(TF32_THREADS)                                       \
      NAME(const float* __restrict__ dy, const float* __restrict__ packed,                         \
           const float* __restrict__ bias, float* __restrict__ dx, Conv p, int phase_size,         \
           int splits) {                                                                           \
    __shared__ __align__(16) float shared[TF32_FLOATS(TM, TN)];                                    \
    const int phase = blockIdx.z / splits, split = blockIdx.z % splits;                            \
    const Windows g = input_grad_windows(p, phase);                                                \
    const int depth = p.K * g.h.taps * g.w.taps, slices = (depth + TF32_SLICE - 1) / TF32_SLICE;   \
    windows_tf32<TM, TN, PRODUCTS>(packed + (size_t)phase * phase_size, dy, bias,                  \
                                   dx + (size_t)split * p.N * p.C * p.H * p.W, g, p.N, p.C, depth, \
                                   p.K * p.P * p.Q, (int)((long long)slices * split / splits),     \
                                   (int)((long long)slices * (split + 1) / splits), shared);       \
  }

CONV_INPUT_GRAD(conv_input_grad_tf32_128x128, 128, 128, 1)
CONV_INPUT_GRAD(conv_input_grad_tf32_64x128, 64, 128, 1)
CONV_INPUT_GRAD(conv_input_grad_tf32_64x64, 64, 64, 1)
CONV_INPUT_GRAD(conv_input_grad_3xtf32_64x128, 64, 128, 3)
CONV_INPUT_GRAD(conv_input_grad_3xtf32_64x64, 64, 64, 3)
#endif
