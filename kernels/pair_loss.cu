// Losses that compare x with a target t element by element: scale times the sum of
//   0: |x - t|,  1: (x - t)^2,  2: ln(1 + e^x) - t x, binary cross-entropy of sigmoid(x)
// and its gradient by x.
//
// Launch of pair_loss: one block of 256 threads for at most 4096 elements, 16 a thread, which leaves
// their sum; more than one sum is added up by a second launch, of sum_channels. Then 8 bytes an element.
// Launch of pair_loss_backward: elements.cuh; 12 bytes an element. Replaces eight array operations.
#include "elements.cuh"
#include "reduce.cuh"

#define ELEMENTS 4096

__device__ __forceinline__ float loss_of(int kind, float x, float t) {
  const float d = x - t;
  if (kind == 0) return fabsf(d);
  if (kind == 1) return d * d;
  return (x < 0.f ? 0.f : x) + log1pf(expf(-fabsf(x))) - t * x;
}

__device__ __forceinline__ float slope_of(int kind, float x, float t) {
  const float d = x - t;
  if (kind == 0) return d > 0.f ? 1.f : (d < 0.f ? -1.f : d);  // 0 at 0, NaN at NaN
  if (kind == 1) return 2.f * d;
  const float decay = expf(-fabsf(x));
  return (x >= 0.f ? 1.f : decay) / (1.f + decay) - t;
}

extern "C" __global__ void __launch_bounds__(REDUCE_THREADS)
pair_loss(const float* __restrict__ x, const float* __restrict__ t, float* __restrict__ out,
          long long n, int kind, float scale) {
  __shared__ float warps[REDUCE_THREADS / 32];
  const long long begin = (long long)blockIdx.x * ELEMENTS;
  const int count = (int)min((long long)ELEMENTS, n - begin);
  float sum = 0.f;
  for (int i = threadIdx.x; i < count; i += REDUCE_THREADS)
    sum += loss_of(kind, x[begin + i], t[begin + i]);
  const float total = block_total(sum, warps);
  if (threadIdx.x == 0) out[blockIdx.x] = scale * total;
}

extern "C" __global__ void __launch_bounds__(256)
pair_loss_backward(const float* __restrict__ dloss, const float* __restrict__ x,
                   const float* __restrict__ t, float* __restrict__ dx, long long n, int kind,
                   float scale) {
  const float grad = scale * *dloss;
  each(x, t, dx, n, [=](float value, float target) { return grad * slope_of(kind, value, target); });
}
