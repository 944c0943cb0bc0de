// dx[n,c,h,w] = bias[c] + sum over k,r,s of weight[k,c,r,s] dy[n,k,p,q] where p*stride - pad +
// r*dilation = h (and so for w): the input gradient of a convolution, and a transposed convolution.
//
// Which taps r reach h depends only on (h + pad) mod stride. So the pixels are split into stride_h
// x stride_w phases, each a dense convolution of its own with the taps that reach it: no zero is
// multiplied, where inserting zeros between the pixels of dy would do stride_h*stride_w times the
// work.
// Launch: grid (pixels of the largest phase / 64, C/groups / 64, groups * phases * splits), rounded
// up; 256 threads. `splits` parts of the sum go to dx [splits, N, C, H, W] for sum_splits.
#include "gemm_tile.cuh"
#include "window.cuh"

extern "C" __global__ void __launch_bounds__(TILE_THREADS)
conv_input_grad(const float* __restrict__ dy, const float* __restrict__ weight,
                const float* __restrict__ bias, float* __restrict__ dx, Conv p, int splits) {
  __shared__ __align__(16) float a[SLICE][TILE_LD];
  __shared__ __align__(16) float b[SLICE][TILE_LD];
  // For each of a slice's rows (k,r,s): its weight, its pixel of dy for the phase's first pixel.
  __shared__ int tap_weight[SLICE], tap_k[SLICE], tap_p[SLICE], tap_q[SLICE];

  const int t = threadIdx.x, phases = p.stride_h * p.stride_w;
  const int group = blockIdx.z / splits / phases, phase = blockIdx.z / splits % phases;
  const int split = blockIdx.z % splits;
  const int first_h = phase / p.stride_w, first_w = phase % p.stride_w;
  const int height = first_h < p.H ? (p.H - first_h - 1) / p.stride_h + 1 : 0;
  const int width = first_w < p.W ? (p.W - first_w - 1) / p.stride_w + 1 : 0;
  const Taps rows = taps_of(first_h, p.pad_h, p.stride_h, p.dilation_h, p.R);
  const Taps cols = taps_of(first_w, p.pad_w, p.stride_w, p.dilation_w, p.S);
  const int taps = rows.count * cols.count;
  const int channels = p.C / p.groups, filters = p.K / p.groups, RS = p.R * p.S;
  const int depth = filters * taps, HW = height * width, pixels = p.N * HW;
  const int c0 = blockIdx.y * TILE, pixel0 = blockIdx.x * TILE;
  const int slices = (depth + SLICE - 1) / SLICE;
  const int begin = (int)((long long)slices * split / splits) * SLICE;
  const int end = min((int)((long long)slices * (split + 1) / splits) * SLICE, depth);

  const int pixel = pixel0 + (t & 63);
  const int n = pixel < pixels ? pixel / HW : 0, hw = pixel < pixels ? pixel % HW : 0;
  const int h = width ? hw / width : 0, w = width ? hw % width : 0;
  const float* grad = dy + ((size_t)n * p.K + group * filters) * p.P * p.Q;
  const float* filter = weight + (size_t)group * filters * channels * RS;

  float acc[4][4] = {};
  for (int first = begin; first < end; first += SLICE) {
    if (t < SLICE) {
      const int k = (first + t) / taps, tap = (first + t) % taps;
      const int r = rows.r0 + tap / cols.count * rows.step;
      const int s = cols.r0 + tap % cols.count * cols.step;
      tap_k[t] = k;
      tap_weight[t] = k * channels * RS + r * p.S + s;
      tap_p[t] = (first_h + p.pad_h - r * p.dilation_h) / p.stride_h;  // exact: r reaches the phase
      tap_q[t] = (first_w + p.pad_w - s * p.dilation_w) / p.stride_w;
    }
    __syncthreads();
    for (int i = 0; i < 4; i++) {
      const int at = t & 15, row = (t >> 4) + 16 * i;
      const bool inside = c0 + row < channels && first + at < depth;
      a[at][row] = inside ? filter[tap_weight[at] + (c0 + row) * RS] : 0.f;
    }
    for (int i = 0; i < 4; i++) {
      const int at = (t >> 6) * 4 + i, gp = h + tap_p[at], gq = w + tap_q[at];
      const bool inside = pixel < pixels && first + at < depth && (unsigned)gp < (unsigned)p.P &&
                          (unsigned)gq < (unsigned)p.Q;
      b[at][t & 63] = inside ? grad[((size_t)tap_k[at] * p.P + gp) * p.Q + gq] : 0.f;
    }
    __syncthreads();
    multiply_slice(a, b, acc);  // the barrier after the next table keeps a and b until all have
  }

  dx += (size_t)split * p.N * p.C * p.H * p.W;
  for (int j = 0; j < 4; j++) {
    const int out = pixel0 + (t & 15) * 4 + j;
    if (out >= pixels) break;
    const int at_h = first_h + out % HW / width * p.stride_h;
    const int at_w = first_w + out % HW % width * p.stride_w;
    for (int i = 0; i < 4; i++) {
      const int c = c0 + (t >> 4) * 4 + i;
      if (c >= channels) break;
      const int channel = group * channels + c;
      const float start = bias ? bias[channel] : 0.f;
      dx[(((size_t)(out / HW) * p.C + channel) * p.H + at_h) * p.W + at_w] = acc[i][j] + start;
    }
  }
}
