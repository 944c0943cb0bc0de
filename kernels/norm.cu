// Batch normalisation of x [N,C,L] over N and L, followed by a leaky ReLU of any slope. A slope of 1
// is no activation, 0 is ReLU; instance normalisation is the case N = 1 with N*C channels.
//
//   z = (x - mean) / sqrt(var + eps) * weight + bias,  y = z where z > 0, else slope z
//   dx = weight / std * (dz - mean(dz) - xhat * mean(dz * xhat)),  xhat = (x - mean) / std
//
// The backward follows from differentiating mean and var too: each shifts all values of its channel.
// It computes z's sign again from x, so nothing but x is kept for it.
//
// Launch: grid (C, chunks), 256 threads; a block keeps its values in registers (chunks.cuh).
// One chunk: one launch, which reads x once (backward: dy and x) and writes y (dx). More: the first
// launch leaves sums of each chunk, the second (`*_apply`) adds those of its channel in a fixed order
// and reads the arrays again. So few channels of many pixels keep the whole GPU busy, where one block a
// channel left most of it idle.
// Mean first, then the squares of what is left: sum(x^2) - mean^2 would cancel where |mean| >> std.
#include "chunks.cuh"

struct Norm {
  Channels cut;
  float eps, slope;
};

// The same roundings in forward and backward, so that both see the same sign of z.
__device__ __forceinline__ float affine(float xhat, float weight, float bias) {
  return __fmaf_rn(xhat, weight, bias);
}

// A value below 0 times slope; so written, NaN stays NaN and ReLU of -inf is 0.
__device__ __forceinline__ float activated(float z, float slope) {
  return z < 0.f ? (slope == 0.f ? 0.f : slope * z) : z;
}

template <int V>
__device__ __forceinline__ void write_normalised(const Norm& p, const float* v, float average,
                                                 float variance, const float* weight,
                                                 const float* bias, float* y) {
  const float inverse_std = 1.f / sqrtf(variance + p.eps);
  const float scale = weight ? weight[blockIdx.x] : 1.f, shift = bias ? bias[blockIdx.x] : 0.f;
  over_chunk<V>(p.cut, [&](int j, unsigned offset) {
    float out[V];
#pragma unroll
    for (int k = 0; k < V; k++)
      out[k] = activated(affine((v[j * V + k] - average) * inverse_std, scale, shift), p.slope);
    store<V>(y + offset, out);
  });
}

template <int V>
__device__ __forceinline__ void forward(const float* x, const float* weight, const float* bias,
                                        float* y, float* mean, float* var, float* partial,
                                        const Norm& p, float* warps) {
  float v[PER_THREAD], sum = 0.f, squares = 0.f;
  over_chunk<V>(p.cut, [&](int j, unsigned offset) {
    load<V>(x + offset, v + j * V);
#pragma unroll
    for (int k = 0; k < V; k++) sum += v[j * V + k];
  });
  const int count = max(values_of(p.cut, blockIdx.y), 1);
  const float average = block_total(sum, warps) / count;
  over_chunk<V>(p.cut, [&](int j, unsigned) {
#pragma unroll
    for (int k = 0; k < V; k++) {
      const float centred = v[j * V + k] - average;
      squares += centred * centred;
    }
  });
  squares = block_total(squares, warps);
  const bool first = threadIdx.x == 0;
  if (p.cut.chunks > 1) {
    const size_t at = 2 * ((size_t)blockIdx.x * p.cut.chunks + blockIdx.y);
    if (first) partial[at] = average, partial[at + 1] = squares;
    return;
  }
  if (first) mean[blockIdx.x] = average, var[blockIdx.x] = squares / count;
  write_normalised<V>(p, v, average, squares / count, weight, bias, y);
}

extern "C" __global__ void __launch_bounds__(REDUCE_THREADS)
norm_forward(const float* __restrict__ x, const float* __restrict__ weight,
             const float* __restrict__ bias, float* __restrict__ y, float* __restrict__ mean,
             float* __restrict__ var, float* __restrict__ partial, const Norm p) {
  __shared__ float warps[REDUCE_THREADS / 32];
  if (p.cut.quads)
    forward<4>(x, weight, bias, y, mean, var, partial, p, warps);
  else
    forward<1>(x, weight, bias, y, mean, var, partial, p, warps);
}

template <int V>
__device__ __forceinline__ void apply(const float* x, const float* weight, const float* bias,
                                      float* y, float average, float variance, const Norm& p) {
  float v[PER_THREAD];
  over_chunk<V>(p.cut, [&](int j, unsigned offset) { load<V>(x + offset, v + j * V); });
  write_normalised<V>(p, v, average, variance, weight, bias, y);
}

extern "C" __global__ void __launch_bounds__(REDUCE_THREADS)
norm_forward_apply(const float* __restrict__ x, const float* __restrict__ weight,
                   const float* __restrict__ bias, float* __restrict__ y, float* __restrict__ mean,
                   float* __restrict__ var, const float* __restrict__ partial, const Norm p) {
  __shared__ float warps[REDUCE_THREADS / 32];
  const float* parts = partial + 2 * (size_t)blockIdx.x * p.cut.chunks;
  const int count = p.cut.batch * p.cut.length;
  float sum = 0.f, squares = 0.f;
  for (int i = threadIdx.x; i < p.cut.chunks; i += REDUCE_THREADS)
    sum += parts[2 * i] * values_of(p.cut, i);
  const float average = block_total(sum, warps) / count;
  for (int i = threadIdx.x; i < p.cut.chunks; i += REDUCE_THREADS) {
    const float away = parts[2 * i] - average;
    squares += parts[2 * i + 1] + away * away * values_of(p.cut, i);
  }
  const float variance = block_total(squares, warps) / count;
  if (threadIdx.x == 0 && blockIdx.y == 0) mean[blockIdx.x] = average, var[blockIdx.x] = variance;
  if (p.cut.quads)
    apply<4>(x, weight, bias, y, average, variance, p);
  else
    apply<1>(x, weight, bias, y, average, variance, p);
}

// What the backward knows of its channel. Without a mean, x is xhat already.
struct Channel {
  float mean, to_xhat, scale, shift, inverse_std;
};

__device__ __forceinline__ Channel channel_of(const float* weight, const float* bias,
                                              const float* mean, const float* var, float eps) {
  Channel c;
  c.inverse_std = 1.f / sqrtf(var[blockIdx.x] + eps);
  c.mean = mean ? mean[blockIdx.x] : 0.f;
  c.to_xhat = mean ? c.inverse_std : 1.f;
  c.scale = weight ? weight[blockIdx.x] : 1.f;
  c.shift = bias ? bias[blockIdx.x] : 0.f;
  return c;
}

// Reads dy and x, and turns them into dz and xhat.
template <int V>
__device__ __forceinline__ void load_pair(const Norm& p, const Channel& c, const float* dy,
                                          const float* x, float* dz, float* xhat) {
  over_chunk<V>(p.cut, [&](int j, unsigned offset) {
    load<V>(dy + offset, dz + j * V);
    load<V>(x + offset, xhat + j * V);
  });
  over_chunk<V>(p.cut, [&](int j, unsigned) {
#pragma unroll
    for (int k = j * V; k < j * V + V; k++) {
      xhat[k] = (xhat[k] - c.mean) * c.to_xhat;
      if (p.slope != 1.f && !(affine(xhat[k], c.scale, c.shift) > 0.f)) dz[k] *= p.slope;
    }
  });
}

template <int V>
__device__ __forceinline__ void write_grad(const Norm& p, const Channel& c, const float* dz,
                                           const float* xhat, float sum, float products,
                                           float* dx) {
  const int count = max(p.cut.batch * p.cut.length, 1);
  const float average = sum / count, slope = products / count, scale = c.scale * c.inverse_std;
  over_chunk<V>(p.cut, [&](int j, unsigned offset) {
    float out[V];
#pragma unroll
    for (int k = 0; k < V; k++)
      out[k] = scale * (dz[j * V + k] - average - xhat[j * V + k] * slope);
    store<V>(dx + offset, out);
  });
}

template <int V>
__device__ __forceinline__ void backward(const float* dy, const float* x, const Channel& c,
                                         float* dx, float* dweight, float* dbias, float* partial,
                                         const Norm& p, float* warps) {
  float dz[PER_THREAD], xhat[PER_THREAD], sum = 0.f, products = 0.f;
  load_pair<V>(p, c, dy, x, dz, xhat);
  over_chunk<V>(p.cut, [&](int j, unsigned) {
#pragma unroll
    for (int k = j * V; k < j * V + V; k++) {
      sum += dz[k];
      products += dz[k] * xhat[k];
    }
  });
  sum = block_total(sum, warps);
  products = block_total(products, warps);
  const bool first = threadIdx.x == 0;
  if (p.cut.chunks > 1) {
    const size_t at = 2 * ((size_t)blockIdx.x * p.cut.chunks + blockIdx.y);
    if (first) partial[at] = sum, partial[at + 1] = products;
    return;
  }
  if (first && dweight) dweight[blockIdx.x] = products, dbias[blockIdx.x] = sum;
  write_grad<V>(p, c, dz, xhat, sum, products, dx);
}

extern "C" __global__ void __launch_bounds__(REDUCE_THREADS)
norm_backward(const float* __restrict__ dy, const float* __restrict__ x,
              const float* __restrict__ weight, const float* __restrict__ bias,
              const float* __restrict__ mean, const float* __restrict__ var,
              float* __restrict__ dx, float* __restrict__ dweight, float* __restrict__ dbias,
              float* __restrict__ partial, const Norm p) {
  __shared__ float warps[REDUCE_THREADS / 32];
  const Channel c = channel_of(weight, bias, mean, var, p.eps);
  if (p.cut.quads)
    backward<4>(dy, x, c, dx, dweight, dbias, partial, p, warps);
  else
    backward<1>(dy, x, c, dx, dweight, dbias, partial, p, warps);
}

template <int V>
__device__ __forceinline__ void backward_apply(const float* dy, const float* x, const Channel& c,
                                               float sum, float products, float* dx,
                                               const Norm& p) {
  float dz[PER_THREAD], xhat[PER_THREAD];
  load_pair<V>(p, c, dy, x, dz, xhat);
  write_grad<V>(p, c, dz, xhat, sum, products, dx);
}

extern "C" __global__ void __launch_bounds__(REDUCE_THREADS)
norm_backward_apply(const float* __restrict__ dy, const float* __restrict__ x,
                    const float* __restrict__ weight, const float* __restrict__ bias,
                    const float* __restrict__ mean, const float* __restrict__ var,
                    float* __restrict__ dx, float* __restrict__ dweight, float* __restrict__ dbias,
                    const float* __restrict__ partial, const Norm p) {
  __shared__ float warps[REDUCE_THREADS / 32];
  const Channel c = channel_of(weight, bias, mean, var, p.eps);
  const float* parts = partial + 2 * (size_t)blockIdx.x * p.cut.chunks;
  float sum = 0.f, products = 0.f;
  for (int i = threadIdx.x; i < p.cut.chunks; i += REDUCE_THREADS) {
    sum += parts[2 * i];
    products += parts[2 * i + 1];
  }
  sum = block_total(sum, warps);
  products = block_total(products, warps);
  if (threadIdx.x == 0 && blockIdx.y == 0 && dweight)
    dweight[blockIdx.x] = products, dbias[blockIdx.x] = sum;
  if (p.cut.quads)
    backward_apply<4>(dy, x, c, sum, products, dx, p);
  else
    backward_apply<1>(dy, x, c, sum, products, dx, p);
}

// Running statistics move towards those of a batch: r += (value - r) momentum, as (1 - m) r + m v;
// the variance is made unbiased first. Launch: one thread a channel, 256 a block.
extern "C" __global__ void __launch_bounds__(256)
move_running(float* __restrict__ running_mean, float* __restrict__ running_var,
             const float* __restrict__ mean, const float* __restrict__ var, int channels,
             float momentum, float keep, float momentum_unbiased) {
  const int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= channels) return;
  running_mean[c] = keep * running_mean[c] + momentum * mean[c];
  running_var[c] = keep * running_var[c] + momentum_unbiased * var[c];
}
