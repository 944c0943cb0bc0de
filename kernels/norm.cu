// Batch normalisation of x [N,C,L] over N and L (L = 1 for vectors), and normalisation of rows.
//
//   y = (x - mean) / sqrt(var + eps) * weight + bias
//   dx = weight / std * (dy - mean(dy) - xhat * mean(dy * xhat)),  xhat = (x - mean) / std
//
// The backward follows from differentiating mean and var too: each shifts all values of its channel.
// Mean first, then the squares of what is left: sum(x^2) - mean^2 would cancel where |mean| >> std.
// Launch: one block of 256 threads a channel, or a row. Memory: forward reads x three times (twice
// from cache where a channel fits) and writes y; backward reads dy and x twice and writes dx.
#include "reduce.cuh"

// Where element i of a channel lies: i counts the channel's N * L values, image by image.
#define AT(i) (((size_t)((i) / length) * channels + channel) * length + (i) % length)

extern "C" __global__ void __launch_bounds__(REDUCE_THREADS)
batch_norm(const float* __restrict__ x, const float* __restrict__ weight,
           const float* __restrict__ bias, float* __restrict__ y, float* __restrict__ mean,
           float* __restrict__ var, int batch, int channels, int length, float eps) {
  __shared__ float warps[REDUCE_THREADS / 32];
  const int channel = blockIdx.x, count = batch * length;
  float sum = 0.f;
  for (int i = threadIdx.x; i < count; i += REDUCE_THREADS) sum += x[AT(i)];
  const float average = block_total(sum, warps) / max(count, 1);
  float squares = 0.f;
  for (int i = threadIdx.x; i < count; i += REDUCE_THREADS) {
    const float centred = x[AT(i)] - average;
    squares += centred * centred;
  }
  const float variance = block_total(squares, warps) / max(count, 1);
  const float scale = (weight ? weight[channel] : 1.f) / sqrtf(variance + eps);
  const float shift = bias ? bias[channel] : 0.f;
  for (int i = threadIdx.x; i < count; i += REDUCE_THREADS)
    y[AT(i)] = (x[AT(i)] - average) * scale + shift;
  if (threadIdx.x == 0) {
    mean[channel] = average;
    var[channel] = variance;
  }
}

extern "C" __global__ void __launch_bounds__(REDUCE_THREADS)
batch_norm_backward(const float* __restrict__ dy, const float* __restrict__ x,
                    const float* __restrict__ weight, const float* __restrict__ mean,
                    const float* __restrict__ var, float* __restrict__ dx,
                    float* __restrict__ dweight, float* __restrict__ dbias, int batch, int channels,
                    int length, float eps) {
  __shared__ float warps[REDUCE_THREADS / 32];
  const int channel = blockIdx.x, count = batch * length;
  const float average = mean[channel], inverse_std = 1.f / sqrtf(var[channel] + eps);
  float sum = 0.f, products = 0.f;
  for (int i = threadIdx.x; i < count; i += REDUCE_THREADS) {
    const float grad = dy[AT(i)];
    sum += grad;
    products += grad * (x[AT(i)] - average) * inverse_std;
  }
  sum = block_total(sum, warps);
  products = block_total(products, warps);
  const float scale = (weight ? weight[channel] : 1.f) * inverse_std;
  const float mean_grad = sum / max(count, 1), mean_product = products / max(count, 1);
  for (int i = threadIdx.x; i < count; i += REDUCE_THREADS) {
    const float xhat = (x[AT(i)] - average) * inverse_std;
    dx[AT(i)] = scale * (dy[AT(i)] - mean_grad - xhat * mean_product);
  }
  if (threadIdx.x == 0) {
    dweight[channel] = products;
    dbias[channel] = sum;
  }
}

extern "C" __global__ void __launch_bounds__(REDUCE_THREADS)
row_norm(const float* __restrict__ x, float* __restrict__ xhat, float* __restrict__ mean,
         float* __restrict__ var, int length, float eps) {
  __shared__ float warps[REDUCE_THREADS / 32];
  const size_t row = blockIdx.x;
  x += row * length;
  xhat += row * length;
  float sum = 0.f;
  for (int i = threadIdx.x; i < length; i += REDUCE_THREADS) sum += x[i];
  const float average = block_total(sum, warps) / max(length, 1);
  float squares = 0.f;
  for (int i = threadIdx.x; i < length; i += REDUCE_THREADS)
    squares += (x[i] - average) * (x[i] - average);
  const float variance = block_total(squares, warps) / max(length, 1);
  const float inverse_std = 1.f / sqrtf(variance + eps);
  for (int i = threadIdx.x; i < length; i += REDUCE_THREADS)
    xhat[i] = (x[i] - average) * inverse_std;
  if (threadIdx.x == 0) {
    mean[row] = average;
    var[row] = variance;
  }
}

extern "C" __global__ void __launch_bounds__(REDUCE_THREADS)
row_norm_backward(const float* __restrict__ dy, const float* __restrict__ xhat,
                  const float* __restrict__ var, float* __restrict__ dx, int length, float eps) {
  __shared__ float warps[REDUCE_THREADS / 32];
  const size_t row = blockIdx.x;
  dy += row * length;
  xhat += row * length;
  dx += row * length;
  float sum = 0.f, products = 0.f;
  for (int i = threadIdx.x; i < length; i += REDUCE_THREADS) {
    sum += dy[i];
    products += dy[i] * xhat[i];
  }
  const float mean_grad = block_total(sum, warps) / max(length, 1);
  const float mean_product = block_total(products, warps) / max(length, 1);
  const float inverse_std = 1.f / sqrtf(var[row] + eps);
  for (int i = threadIdx.x; i < length; i += REDUCE_THREADS)
    dx[i] = inverse_std * (dy[i] - mean_grad - xhat[i] * mean_product);
}
