// dweight[k,c,r,s] = sum over n,p,q of dy[n,k,p,q] x[n, c, p*stride - pad + r*dilation, ...] for at
// most 4 filters a group, in fp32: a last layer, for which a tile of 64 filters would be mostly
// empty.
//
// A warp owns one channel c and one row r of the filters, at most 8 taps long: 4x8 sums, to which
// each lane adds its pixels, 32 apart; the lanes' sums are added at the end. Warps of the same
// channel read the same pixels at about the same time, from L1.
// Replaces conv_weight_grad*.cu, which would multiply by zero in 60 of 64 rows.
// Launch: grid (C * R / 8 rounded up, splits), 256 threads; the sum over pixels is cut into
// `splits` parts, partial [splits, K, C/groups, R, S], which sum_splits adds up.
// Memory: x is read once for each of its R rows (mostly from L1), dy once for each warp (from L2).
#include "conv.cuh"

#define FEW 4
#define FEW_ROW 8

extern "C" __global__ void __launch_bounds__(256, 2)
conv_weight_grad_few_filters(const float* __restrict__ x, const float* __restrict__ dy,
                             float* __restrict__ partial, Conv p, int splits) {
  const int lane = threadIdx.x & 31, task = blockIdx.x * 8 + (threadIdx.x >> 5);
  if (task >= p.C * p.R) return;
  const int split = blockIdx.y, channel = task / p.R, r = task % p.R;
  const int channels = p.C / p.groups, filters = p.K / p.groups, group = channel / channels;
  const int PQ = p.P * p.Q, pixels = p.N * PQ;
  const int begin = (int)((long long)pixels * split / splits);
  const int end = (int)((long long)pixels * (split + 1) / splits);

  float acc[FEW][FEW_ROW] = {};
  for (int pixel = begin + lane; pixel < end; pixel += 32) {
    const int n = pixel / PQ, pq = pixel % PQ;
    const int h = pq / p.Q * p.stride_h - p.pad_h + r * p.dilation_h;
    const int w = pq % p.Q * p.stride_w - p.pad_w;
    if ((unsigned)h >= (unsigned)p.H) continue;
    const float* grad = dy + ((size_t)n * p.K + group * filters) * PQ + pq;
    const float* row = x + (((size_t)n * p.C + channel) * p.H + h) * p.W;
    float g[FEW];
#pragma unroll
    for (int k = 0; k < FEW; k++) g[k] = k < filters ? grad[(size_t)k * PQ] : 0.f;
#pragma unroll
    for (int s = 0; s < FEW_ROW; s++) {
      if (s >= p.S) break;
      const int at = w + s * p.dilation_w;
      const float value = (unsigned)at < (unsigned)p.W ? row[at] : 0.f;
#pragma unroll
      for (int k = 0; k < FEW; k++) acc[k][s] += g[k] * value;
    }
  }

#pragma unroll
  for (int k = 0; k < FEW; k++)
#pragma unroll
    for (int s = 0; s < FEW_ROW; s++) {
      if (k >= filters || s >= p.S) break;
      float total = acc[k][s];
      for (int distance = 16; distance; distance >>= 1)
        total += __shfl_xor_sync(0xffffffffu, total, distance);
      const size_t row =
          (((size_t)split * p.K + group * filters + k) * channels + channel % channels);
      if (lane == 0) partial[(row * p.R + r) * p.S + s] = total;
    }
}
