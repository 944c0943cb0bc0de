// Losses: softplus, which binary cross-entropy on logits is made of, and categorical cross-entropy.
//
// softplus goes element by element (elements.cuh); 8 bytes an element forward, 12 backward.
// Launch of the others: one warp a row of K logits, 8 rows a block of 256; logits are read twice forward
// (once from cache) and once backward. Each replaces five to ten array operations.
#include "elements.cuh"

#define WARPS 8

// ln(1 + e^(beta x)) / beta: the exponent is never positive, so nothing overflows.
extern "C" __global__ void __launch_bounds__(256)
softplus(const float* __restrict__ x, float* __restrict__ y, long long n, float beta) {
  each(x, y, n, [=](float v) {
    const float z = beta * v;
    return ((z < 0.f ? 0.f : z) + log1pf(expf(-fabsf(z)))) / beta;
  });
}

// dx = dy sigmoid(beta x)
extern "C" __global__ void __launch_bounds__(256)
softplus_backward(const float* __restrict__ dy, const float* __restrict__ x, float* __restrict__ dx,
                  long long n, float beta) {
  each(dy, x, dx, n, [=](float g, float v) {
    const float z = beta * v, decay = expf(-fabsf(z));
    return g * ((z >= 0.f ? 1.f : decay) / (1.f + decay));
  });
}

__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int distance = 16; distance; distance >>= 1)
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  return value;
}

// The largest of the warp's values; NaN if there is one, as in NumPy.
__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
  for (int distance = 16; distance; distance >>= 1) {
    const float other = __shfl_xor_sync(0xffffffffu, value, distance);
    if (other > value || other != other) value = other;
  }
  return value;
}

// ln sum e^x over a row, as (maximum, ln sum e^(x - maximum)).
__device__ __forceinline__ float2 log_total(const float* row, int classes) {
  float largest = __int_as_float((int)0xff800000u), total = 0.f;  // -inf
  for (int k = threadIdx.x & 31; k < classes; k += 32)
    if (row[k] > largest || row[k] != row[k]) largest = row[k];
  largest = warp_max(largest);
  for (int k = threadIdx.x & 31; k < classes; k += 32) total += expf(row[k] - largest);
  return make_float2(largest, logf(warp_sum(total)));
}

// y = x - ln sum e^x, row by row.
extern "C" __global__ void __launch_bounds__(256)
log_softmax(const float* __restrict__ x, float* __restrict__ y, int rows, int classes) {
  const int row = blockIdx.x * WARPS + (threadIdx.x >> 5);
  if (row >= rows) return;  // the whole warp
  x += (size_t)row * classes;
  y += (size_t)row * classes;
  const float2 total = log_total(x, classes);
  for (int k = threadIdx.x & 31; k < classes; k += 32) y[k] = x[k] - total.x - total.y;
}

// dx = dy - e^y sum(dy), row by row.
extern "C" __global__ void __launch_bounds__(256)
log_softmax_backward(const float* __restrict__ dy, const float* __restrict__ y,
                     float* __restrict__ dx, int rows, int classes) {
  const int row = blockIdx.x * WARPS + (threadIdx.x >> 5);
  if (row >= rows) return;
  const size_t begin = (size_t)row * classes;
  float total = 0.f;
  for (int k = threadIdx.x & 31; k < classes; k += 32) total += dy[begin + k];
  total = warp_sum(total);
  for (int k = threadIdx.x & 31; k < classes; k += 32)
    dx[begin + k] = dy[begin + k] - expf(y[begin + k]) * total;
}

// loss[m] = ln sum e^x[m] - x[m, labels[m]], 0 for the label `ignored`, NaN for one that is none.
extern "C" __global__ void __launch_bounds__(256)
cross_entropy(const float* __restrict__ x, const long long* __restrict__ labels,
              float* __restrict__ loss, int rows, int classes, long long ignored) {
  const int row = blockIdx.x * WARPS + (threadIdx.x >> 5);
  if (row >= rows) return;
  x += (size_t)row * classes;
  const float2 total = log_total(x, classes);
  const long long label = labels[row];
  if (threadIdx.x & 31) return;
  if (label == ignored)
    loss[row] = 0.f;
  else
    loss[row] = label >= 0 && label < classes ? total.y - (x[label] - total.x) : __int_as_float(-1);
}

// dx = dloss (softmax(x) - [k = label]), 0 for the label `ignored`.
extern "C" __global__ void __launch_bounds__(256)
cross_entropy_backward(const float* __restrict__ dloss, const float* __restrict__ x,
                       const long long* __restrict__ labels, float* __restrict__ dx, int rows,
                       int classes, long long ignored) {
  const int row = blockIdx.x * WARPS + (threadIdx.x >> 5);
  if (row >= rows) return;
  x += (size_t)row * classes;
  dx += (size_t)row * classes;
  const float2 total = log_total(x, classes);
  const long long label = labels[row];
  const float scale = label == ignored ? 0.f : dloss[row];
  for (int k = threadIdx.x & 31; k < classes; k += 32)
    dx[k] = scale * (expf(x[k] - total.x - total.y) - (k == label ? 1.f : 0.f));
}
