// y[n,k,p,q] = bias[k] + sum over c,r,s of weight[k,c,r,s] x[n, c, p*stride - pad + r*dilation,
// ...]
//
// Implicit GEMM in fp32: A = weight [K, CRS], B = the windows of x [CRS, NPQ], gathered while they
// are needed and never stored. Any stride, padding, dilation and number of groups.
// Launch: grid (NPQ / 64, K/groups / 64, groups * splits), rounded up; 256 threads. `splits` parts of
// the sum go to y [splits, N, K, P, Q] for sum_splits.
// Memory: x and weight are read once per 64 output channels or pixels (L2 serves most of it), y is
// written once. Replaces nothing: the first version.
#include "conv.cuh"
#include "gemm_tile.cuh"

extern "C" __global__ void __launch_bounds__(TILE_THREADS)
conv_forward(const float* __restrict__ x, const float* __restrict__ weight,
             const float* __restrict__ bias, float* __restrict__ y, Conv p, int splits) {
  __shared__ __align__(16) float a[SLICE][TILE_LD];
  __shared__ __align__(16) float b[SLICE][TILE_LD];
  // For each of a slice's rows (c,r,s): where its pixel lies, relative to the window's first one.
  __shared__ int tap_offset[SLICE], tap_y[SLICE], tap_x[SLICE];

  const int t = threadIdx.x, group = blockIdx.z / splits, split = blockIdx.z % splits;
  const int channels = p.C / p.groups, filters = p.K / p.groups;
  const int RS = p.R * p.S, CRS = channels * RS, PQ = p.P * p.Q, pixels = p.N * PQ;
  const int k0 = blockIdx.y * TILE, pixel0 = blockIdx.x * TILE;
  const int slices = (CRS + SLICE - 1) / SLICE;
  const int begin = (int)((long long)slices * split / splits) * SLICE;
  const int end = min((int)((long long)slices * (split + 1) / splits) * SLICE, CRS);

  // The pixel whose window this thread gathers is the same in every slice.
  const int pixel = pixel0 + (t & 63);
  const int n = pixel < pixels ? pixel / PQ : 0, pq = pixel < pixels ? pixel % PQ : 0;
  const int y0 = (pq / p.Q) * p.stride_h - p.pad_h, x0 = (pq % p.Q) * p.stride_w - p.pad_w;
  const float* image = x + ((size_t)n * p.C + group * channels) * p.H * p.W;
  const float* filter = weight + (size_t)group * filters * CRS;

  float acc[4][4] = {};
  for (int first = begin; first < end; first += SLICE) {
    if (t < SLICE) {
      const int crs = first + t, c = crs / RS, rs = crs % RS;
      tap_y[t] = (rs / p.S) * p.dilation_h;
      tap_x[t] = (rs % p.S) * p.dilation_w;
      tap_offset[t] = (c * p.H + tap_y[t]) * p.W + tap_x[t];
    }
    __syncthreads();
    for (int i = 0; i < 4; i++) {
      const int at = t & 15, row = (t >> 4) + 16 * i, crs = first + at;
      const bool inside = k0 + row < filters && crs < CRS;
      a[at][row] = inside ? filter[(size_t)(k0 + row) * CRS + crs] : 0.f;
    }
    for (int i = 0; i < 4; i++) {
      const int at = (t >> 6) * 4 + i, h = y0 + tap_y[at], w = x0 + tap_x[at];
      const bool inside = pixel < pixels && first + at < CRS && (unsigned)h < (unsigned)p.H &&
                          (unsigned)w < (unsigned)p.W;
      b[at][t & 63] = inside ? image[y0 * p.W + x0 + tap_offset[at]] : 0.f;
    }
    __syncthreads();
    multiply_slice(a, b, acc);  // the barrier after the next table keeps a and b until all have
  }

  y += (size_t)split * p.N * p.K * PQ;
  for (int j = 0; j < 4; j++) {
    const int out = pixel0 + (t & 15) * 4 + j;
    if (out >= pixels) break;
    for (int i = 0; i < 4; i++) {
      const int k = k0 + (t >> 4) * 4 + i;
      if (k >= filters) break;
      const int channel = group * filters + k;
      const float start = bias ? bias[channel] : 0.f;
      y[((size_t)(out / PQ) * p.K + channel) * PQ + out % PQ] = acc[i][j] + start;
    }
  }
}
