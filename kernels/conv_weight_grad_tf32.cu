// dweight[k,c,r,s] = sum over n,p,q of dy[n,k,p,q] x[n, c, p*stride - pad + r*dilation, ...] on the
// tensor cores.
//
// Replaces conv_weight_grad.cu where a GPU has tensor cores for TF32 and groups = 1: A = dy [K,
// NPQ], B = the windows of x [NPQ, CRS], both with the pixels together in memory and in shared
// memory.
// Launch: grid (CRS / TN, K / TM, splits), rounded up, for the entry of tile TMxTN, 128 threads;
// the sum over pixels is cut into `splits` parts, partial [splits, K, CRS], which sum_splits adds
// up.
// Memory: dy is read once for TN columns, x R*S times for TM filters (mostly from L1 and L2); the
// parts are written and read once.
#include "tf32_tile.cuh"
#include "window.cuh"

#ifdef TENSOR_CORES
// A pixel of the batch, stepped from slice to slice without divisions.
struct PixelWalk {
  int n, p, q;
};

template <int TM, int TN, int PRODUCTS>
__device__ __forceinline__ void weight_grad_tf32(const float* __restrict__ x,
                                                 const float* __restrict__ dy,
                                                 float* __restrict__ partial, const Conv& p,
                                                 int splits, float* shared) {
  constexpr int STAGES = TF32_STAGES(TM, TN), STAGE = (TM + TN) * TF32_SLICE;
  constexpr int LANES = TF32_THREADS / TF32_SLICE;  // threads of one pixel, which share its columns
  const int t = threadIdx.x, lane = t & 31, warp = t >> 5, split = blockIdx.z;
  const int RS = p.R * p.S, CRS = p.C * RS, PQ = p.P * p.Q, pixels = p.N * PQ;
  const int k0 = blockIdx.y * TM, crs0 = blockIdx.x * TN;
  const int slices = (pixels + TF32_SLICE - 1) / TF32_SLICE;
  const int slice_begin = (int)((long long)slices * split / splits);
  const int slice_end = (int)((long long)slices * (split + 1) / splits);
  const bool whole = PQ % 4 == 0 && ((size_t)dy & 15) == 0;  // 4 pixels are of one image, aligned

  // This thread's columns: where they lie in a window, and which tap they are.
  unsigned columns[TN / LANES];
#pragma unroll
  for (int i = 0; i < TN / LANES; i++) {
    const int crs = crs0 + t / TF32_SLICE + LANES * i, tap = crs % RS;
    const int offset = (crs / RS * p.H + tap / p.S * p.dilation_h) * p.W + tap % p.S * p.dilation_w;
    columns[i] = crs < CRS ? (unsigned)offset << 6 | tap : MAX_TAPS;
  }
  const int first = slice_begin * TF32_SLICE + t % TF32_SLICE;
  PixelWalk at = {first / PQ, first % PQ / p.Q, first % p.Q};
  const PixelWalk jump = {TF32_SLICE / PQ, TF32_SLICE % PQ / p.Q, TF32_SLICE % p.Q};
  // The first of the 4 pixels that this thread copies from dy in one piece.
  int group_n = (slice_begin * TF32_SLICE + t % 4 * 4) / PQ;
  int group_pq = (slice_begin * TF32_SLICE + t % 4 * 4) % PQ;

  auto load = [&](float* stage) {
    const bool exists = at.n < p.N;
#pragma unroll
    for (int i = 0; i < (TM / 32); i++) {
      if (whole) {
        const int row = t / 4 + 32 * i, k = k0 + row;
        cp_async_16(stage + by_row(row, t % 4), dy + ((size_t)group_n * p.K + k) * PQ + group_pq,
                    k < p.K && group_n < p.N);
      } else {
        for (int j = 0; j < 4; j++) {
          const int row = t / TF32_SLICE + LANES * (4 * i + j), k = k0 + row;
          cp_async_4(stage + by_row(row, t % TF32_SLICE / 4) + t % 4,
                     dy + ((size_t)at.n * p.K + k) * PQ + at.p * p.Q + at.q, k < p.K && exists);
        }
      }
    }
    const int h = at.p * p.stride_h - p.pad_h, w = at.q * p.stride_w - p.pad_w;
    unsigned long long row = 0, taps = 0;
    for (int s = 0; s < p.S; s++)
      if ((unsigned)(w + s * p.dilation_w) < (unsigned)p.W) row |= 1ull << s;
    for (int r = 0; r < p.R; r++)
      if ((unsigned)(h + r * p.dilation_h) < (unsigned)p.H) taps |= row << (r * p.S);
    if (!exists) taps = 0;
    const float* window = x + ((long long)at.n * p.C * p.H + h) * p.W + w;
    float* b = stage + TM * TF32_SLICE;
#pragma unroll
    for (int i = 0; i < TN / LANES; i++)
      cp_async_4(b + by_row(t / TF32_SLICE + LANES * i, t % TF32_SLICE / 4) + t % 4,
                 window + (columns[i] >> 6), taps >> (columns[i] & 63) & 1);

    at.q += jump.q;
    at.p += jump.p + (at.q >= p.Q);
    if (at.q >= p.Q) at.q -= p.Q;
    at.n += jump.n + (at.p >= p.P);
    if (at.p >= p.P) at.p -= p.P;
    group_pq += TF32_SLICE % PQ;
    group_n += TF32_SLICE / PQ + (group_pq >= PQ);
    if (group_pq >= PQ) group_pq -= PQ;
  };

  float acc[TM / 32][TN / 16][4] = {};
#pragma unroll
  for (int s = 0; s < STAGES - 1; s++) {
    if (slice_begin + s < slice_end) load(shared + s * STAGE);
    cp_async_commit();
  }
  int used = 0;
  for (int slice = slice_begin; slice < slice_end; slice++) {
    cp_async_wait(STAGES - 2);
    __syncthreads();  // the slice is there for all, and all have done with the one before
    const int free = used ? used - 1 : STAGES - 1;
    if (slice + STAGES - 1 < slice_end) load(shared + free * STAGE);
    cp_async_commit();  // also when empty: the number of groups says which slice has arrived
    const float* stage = shared + used * STAGE;
    multiply_slice_tf32<TM, TN, PRODUCTS, true>(stage, stage + TM * TF32_SLICE, acc);
    used = used + 1 < STAGES ? used + 1 : 0;
  }

#pragma unroll
  for (int i = 0; i < TM / 32 * 2; i++) {
    const int k = k0 + (warp & 1) * (TM / 2) + i * 8 + (lane >> 2);
    float* row = partial + ((size_t)split * p.K + k) * CRS;
#pragma unroll
    for (int j = 0; j < TN / 16; j++)
#pragma unroll
      for (int e = 0; e < 2; e++) {
        const int crs = crs0 + (warp >> 1) * (TN / 2) + j * 8 + (lane & 3) * 2 + e;
        if (k < p.K && crs < CRS) row[crs] = acc[i / 2][j][i % 2 * 2 + e];
      }
  }
}

#define CONV_WEIGHT_GRAD(NAME, TM, TN, PRODUCTS)                                                   \
  extern "C" __global__ void __launch_bounds__(TF32_THREADS)                                       \
      NAME(const float* __restrict__ x, const float* __restrict__ dy, float* __restrict__ partial, \
           Conv p, int splits) {                                                                   \
    __shared__ __align__(16) float shared[TF32_FLOATS(TM, TN)];                                    \
    weight_grad_tf32<TM, TN, PRODUCTS>(x, dy, partial, p, splits, shared);                         \
  }

CONV_WEIGHT_GRAD(conv_weight_grad_tf32_128x128, 128, 128, 1)
CONV_WEIGHT_GRAD(conv_weight_grad_tf32_64x128, 64, 128, 1)
CONV_WEIGHT_GRAD(conv_weight_grad_tf32_64x64, 64, 64, 1)
CONV_WEIGHT_GRAD(conv_weight_grad_3xtf32_64x128, 64, 128, 3)
CONV_WEIGHT_GRAD(conv_weight_grad_3xtf32_64x64, 64, 64, 3)
#endif
