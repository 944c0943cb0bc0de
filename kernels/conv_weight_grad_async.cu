// dweight[k,c,r,s] = sum over n,p,q of dy[n,k,p,q] x[n, c, p*stride - pad + r*dilation, ...] in
// fp32, TF32 or three times TF32.
//
// Replaces conv_weight_grad.cu for compute capability 8.0 and groups = 1: A = dy [K,
// NPQ], B = the windows of x [NPQ, RS * depth], both with the pixels together in memory and in
// shared memory. The columns of B are in the order (r, s, c), depth = C filled up to a multiple of
// 16: so where a tap lies and whether it is inside the image is found once for 16 columns.
// Launch: grid (RS * depth / TN, K / TM, splits), rounded up, for the entry of tile TMxTN, 128
// threads; the sum over pixels is cut into `splits` parts, partial [splits, K, RS, depth]. Then
// sum_weight_grad with grid (C / 64, K), rounded up, 256 threads.
// Memory: dy is read once for TN columns, x R*S times for TM filters (mostly from L1 and L2); the
// parts are written and read once.
#include "async_tile.cuh"
#include "window.cuh"

#ifdef ASYNC_COPIES
#define TAP_COLUMNS 16  // of one tap

// A pixel of the batch, stepped from slice to slice without divisions.
struct PixelWalk {
  int n, p, q;
};

template <int TM, int TN, int PRODUCTS>
__device__ __forceinline__ void sum_pixels(const float* __restrict__ x,
                                           const float* __restrict__ dy,
                                           float* __restrict__ partial, const Conv& p, int depth,
                                           int splits, float* shared) {
  constexpr int STAGES = ASYNC_STAGES(TM, TN), STAGE = (TM + TN) * ASYNC_SLICE;
  constexpr int LANES =
      ASYNC_THREADS / ASYNC_SLICE;  // threads of one pixel, which share its columns
  const int t = threadIdx.x, lane = t & 31, warp = t >> 5, split = blockIdx.z;
  const int PQ = p.P * p.Q, plane = p.H * p.W, pixels = p.N * PQ, all_columns = p.R * p.S * depth;
  const int k0 = blockIdx.y * TM, column0 = blockIdx.x * TN;
  const int slices = (pixels + ASYNC_SLICE - 1) / ASYNC_SLICE;
  const int slice_begin = (int)((long long)slices * split / splits);
  const int slice_end = (int)((long long)slices * (split + 1) / splits);
  const bool whole = PQ % 4 == 0 && ((size_t)dy & 15) == 0;  // 4 pixels are of one image, aligned

  // Where 16 columns lie in a window: a tap and channels. The tap after the last is never inside.
  int tap_y[TN / TAP_COLUMNS], tap_x[TN / TAP_COLUMNS], offset[TN / TAP_COLUMNS],
      left[TN / TAP_COLUMNS];
#pragma unroll
  for (int i = 0; i < TN / TAP_COLUMNS; i++) {
    const int column = column0 + TAP_COLUMNS * i, tap = column / depth, channel = column % depth;
    tap_y[i] = column < all_columns ? tap / p.S * p.dilation_h : 1 << 30;
    tap_x[i] = tap % p.S * p.dilation_w;
    offset[i] = channel * plane + tap / p.S * p.dilation_h * p.W + tap_x[i];
    left[i] = p.C - channel;
  }
  const int pixel_lane = t % ASYNC_SLICE, column_lane = t / ASYNC_SLICE;
  const int first = slice_begin * ASYNC_SLICE + pixel_lane;
  PixelWalk at = {first / PQ, first % PQ / p.Q, first % p.Q};
  const PixelWalk jump = {ASYNC_SLICE / PQ, ASYNC_SLICE % PQ / p.Q, ASYNC_SLICE % p.Q};
  // The first of the 4 pixels that this thread copies from dy in one piece.
  int group_n = (slice_begin * ASYNC_SLICE + t % 4 * 4) / PQ;
  int group_pq = (slice_begin * ASYNC_SLICE + t % 4 * 4) % PQ;

  auto load = [&](float* stage) {
    const bool exists = at.n < p.N;
    if (whole) {
      const float* from = dy + ((size_t)group_n * p.K + k0 + t / 4) * PQ + group_pq;
#pragma unroll
      for (int i = 0; i < TM / 32; i++, from += 32 * (size_t)PQ)
        cp_async_16(stage + by_row(t / 4 + 32 * i, t % 4), from,
                    k0 + t / 4 + 32 * i < p.K && group_n < p.N);
    } else {
      const float* from = dy + ((size_t)at.n * p.K + k0 + column_lane) * PQ + at.p * p.Q + at.q;
#pragma unroll
      for (int i = 0; i < TM / LANES; i++, from += LANES * (size_t)PQ)
        cp_async_4(stage + by_row(column_lane + LANES * i, pixel_lane / 4) + t % 4, from,
                   k0 + column_lane + LANES * i < p.K && exists);
    }

    const int h = at.p * p.stride_h - p.pad_h, w = at.q * p.stride_w - p.pad_w;
    const float* window = x + ((long long)at.n * p.C + column_lane) * plane + h * p.W + w;
    float* b = stage + TM * ASYNC_SLICE + by_row(column_lane, pixel_lane / 4) + t % 4;
#pragma unroll
    for (int i = 0; i < TN / TAP_COLUMNS; i++) {
      const bool inside = exists && (unsigned)(h + tap_y[i]) < (unsigned)p.H &&
                          (unsigned)(w + tap_x[i]) < (unsigned)p.W;
      const float* from = window + offset[i];
#pragma unroll
      for (int j = 0; j < TAP_COLUMNS; j += LANES, from += LANES * (size_t)plane)
        cp_async_4(b + (TAP_COLUMNS * i + j) * ASYNC_SLICE, from,
                   inside && column_lane + j < left[i]);
    }

    at.q += jump.q;
    at.p += jump.p + (at.q >= p.Q);
    if (at.q >= p.Q) at.q -= p.Q;
    at.n += jump.n + (at.p >= p.P);
    if (at.p >= p.P) at.p -= p.P;
    group_pq += ASYNC_SLICE % PQ;
    group_n += ASYNC_SLICE / PQ + (group_pq >= PQ);
    if (group_pq >= PQ) group_pq -= PQ;
  };

  float acc[TM / 32][TN / 16][4] = {};
  int used = 0, free = 0;
  for (int slice = slice_begin - (STAGES - 1); slice < slice_end; slice++) {
    if (slice >= slice_begin) {
      cp_async_wait(STAGES - 2);
      __syncthreads();  // the slice is there for all, and all have done with the one before
    }
    if (slice + STAGES - 1 < slice_end) load(shared + free * STAGE);
    cp_async_commit();  // also when empty: the number of groups says which slice has arrived
    free = free + 1 < STAGES ? free + 1 : 0;
    if (slice < slice_begin) continue;
    const float* stage = shared + used * STAGE;
    multiply_stage<TM, TN, PRODUCTS, false, true>(stage, stage + TM * ASYNC_SLICE, acc);
    used = used + 1 < STAGES ? used + 1 : 0;
  }

#pragma unroll
  for (int i = 0; i < TM / 32 * 2; i++) {
    const int k = k0 + (warp & 1) * (TM / 2) + i * 8 + (lane >> 2);
    float* row = partial + ((size_t)split * p.K + k) * all_columns;
#pragma unroll
    for (int j = 0; j < TN / 16; j++) {
      const int column = column0 + (warp >> 1) * (TN / 2) + j * 8 + (lane & 3) * 2;
      if (k < p.K && column < all_columns)
        *(float2*)(row + column) =
            make_float2(acc[i / 2][j][i % 2 * 2], acc[i / 2][j][i % 2 * 2 + 1]);
    }
  }
}

#define CONV_WEIGHT_GRAD(NAME, TM, TN, PRODUCTS)                                                   \
  extern "C" __global__ void __launch_bounds__(ASYNC_THREADS)                                      \
      NAME(const float* __restrict__ x, const float* __restrict__ dy, float* __restrict__ partial, \
           Conv p, int depth, int splits) {                                                        \
    __shared__ __align__(16) float shared[ASYNC_FLOATS(TM, TN)];                                   \
    sum_pixels<TM, TN, PRODUCTS>(x, dy, partial, p, depth, splits, shared);                        \
  }

CONV_WEIGHT_GRAD(conv_weight_grad_fp32_64x128, 64, 128, 0)
CONV_WEIGHT_GRAD(conv_weight_grad_fp32_64x64, 64, 64, 0)
CONV_WEIGHT_GRAD(conv_weight_grad_tf32_128x128, 128, 128, 1)
CONV_WEIGHT_GRAD(conv_weight_grad_tf32_64x128, 64, 128, 1)
CONV_WEIGHT_GRAD(conv_weight_grad_tf32_64x64, 64, 64, 1)
CONV_WEIGHT_GRAD(conv_weight_grad_3xtf32_64x128, 64, 128, 3)
CONV_WEIGHT_GRAD(conv_weight_grad_3xtf32_64x64, 64, 64, 3)

#define SUM_CHANNELS 64  // a block
#define SUM_THREADS 256

// dweight [K,C,R,S] = the parts added in a fixed order. Both sides are read and written in the
// order in which they lie, with the change of order in shared memory.
extern "C" __global__ void __launch_bounds__(SUM_THREADS)
sum_weight_grad(const float* __restrict__ partial, float* __restrict__ dweight, Conv p,
                int depth, int splits) {
  __shared__ float shared[SUM_CHANNELS * (MAX_TAPS + 1)];
  const int k = blockIdx.y, first = blockIdx.x * SUM_CHANNELS, RS = p.R * p.S;
  const int channels = min(SUM_CHANNELS, p.C - first);
  const size_t part = (size_t)p.K * RS * depth;
  for (int i = threadIdx.x; i < RS * SUM_CHANNELS; i += SUM_THREADS) {
    const int tap = i / SUM_CHANNELS, channel = i % SUM_CHANNELS;
    if (channel >= channels) continue;
    const float* from = partial + ((size_t)k * RS + tap) * depth + first + channel;
    float total = 0.f;
    for (int split = 0; split < splits; split++) total += from[split * part];
    shared[channel * (RS | 1) + tap] = total;
  }
  __syncthreads();
  float* to = dweight + ((size_t)k * p.C + first) * RS;
  for (int i = threadIdx.x; i < channels * RS; i += SUM_THREADS)
    to[i] = shared[i / RS * (RS | 1) + i % RS];
}
#endif
