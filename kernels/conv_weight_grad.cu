// dweight[k,c,r,s] = sum over n,p,q of dy[n,k,p,q] x[n, c, p*stride - pad + r*dilation, ...]
//
// A product of A = dy [K, NPQ] and B = the windows of x [NPQ, CRS]: few results, each a sum over
// all pixels. So that the whole GPU works on it, the sum is cut into `splits` pieces, which go to a
// workspace [splits, K, CRS] and are added up by a second launch in a fixed order: the same bits in
// every run, which atomic additions would not give.
// Launch: conv_weight_grad with grid (CRS / 64, K/groups / 64, groups * splits), 256 threads; then
// split_sum.cu with one thread a weight.
#include "conv.cuh"
#include "gemm_tile.cuh"

extern "C" __global__ void __launch_bounds__(TILE_THREADS)
conv_weight_grad(const float* __restrict__ x, const float* __restrict__ dy,
                 float* __restrict__ partial, Conv p, int splits) {
  __shared__ __align__(16) float a[SLICE][TILE_LD];
  __shared__ __align__(16) float b[SLICE][TILE_LD];
  // For each of a slice's pixels: where its values of dy and its window in x begin.
  __shared__ int pixel_dy[SLICE], pixel_x[SLICE], pixel_h[SLICE], pixel_w[SLICE];

  const int t = threadIdx.x, group = blockIdx.z / splits, split = blockIdx.z % splits;
  const int channels = p.C / p.groups, filters = p.K / p.groups;
  const int RS = p.R * p.S, CRS = channels * RS, PQ = p.P * p.Q, pixels = p.N * PQ;
  const int k0 = blockIdx.y * TILE, crs0 = blockIdx.x * TILE;
  const int slices = (pixels + SLICE - 1) / SLICE;
  const int begin = (int)((long long)slices * split / splits) * SLICE;
  const int end = min((int)((long long)slices * (split + 1) / splits) * SLICE, pixels);

  // Neighbouring threads read neighbouring pixels; each serves the same four columns throughout.
  int column_offset[4], column_y[4], column_x[4];
  for (int i = 0; i < 4; i++) {
    const int crs = crs0 + (t >> 4) + 16 * i, rs = crs % RS;
    column_y[i] = rs / p.S * p.dilation_h;
    column_x[i] = rs % p.S * p.dilation_w;
    column_offset[i] = (crs / RS * p.H + column_y[i]) * p.W + column_x[i];
  }

  float acc[4][4] = {};
  for (int first = begin; first < end; first += SLICE) {
    if (t < SLICE && first + t < end) {
      const int n = (first + t) / PQ, pq = (first + t) % PQ;
      pixel_h[t] = pq / p.Q * p.stride_h - p.pad_h;
      pixel_w[t] = pq % p.Q * p.stride_w - p.pad_w;
      pixel_dy[t] = (n * p.K + group * filters) * PQ + pq;
      pixel_x[t] = ((n * p.C + group * channels) * p.H + pixel_h[t]) * p.W + pixel_w[t];
    }
    __syncthreads();
    const int at = t & 15;
    for (int i = 0; i < 4; i++) {
      const int row = (t >> 4) + 16 * i;
      const bool inside = k0 + row < filters && first + at < end;
      a[at][row] = inside ? dy[pixel_dy[at] + (k0 + row) * PQ] : 0.f;
    }
    for (int i = 0; i < 4; i++) {
      const int col = (t >> 4) + 16 * i;
      bool inside = crs0 + col < CRS && first + at < end;
      if (inside) {
        const int h = pixel_h[at] + column_y[i], w = pixel_w[at] + column_x[i];
        inside = (unsigned)h < (unsigned)p.H && (unsigned)w < (unsigned)p.W;
      }
      b[at][col] = inside ? x[pixel_x[at] + column_offset[i]] : 0.f;
    }
    __syncthreads();
    multiply_slice(a, b, acc);  // the barrier after the next table keeps a and b until all have
  }

  for (int i = 0; i < 4; i++) {
    const int k = k0 + (t >> 4) * 4 + i;
    if (k >= filters) break;
    for (int j = 0; j < 4; j++) {
      const int crs = crs0 + (t & 15) * 4 + j;
      if (crs >= CRS) break;
      partial[((size_t)split * p.K + group * filters + k) * CRS + crs] = acc[i][j];
    }
  }
}
