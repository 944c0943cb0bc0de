// out[channel, pixel] = bias[channel] + sum over terms of A[channel, term] source[term of window]:
// a convolution or an input gradient as an implicit matrix product on the tensor cores. The windows
// are gathered while they are needed and never stored; a thread gathers for one pixel, neighbours
// for neighbouring pixels, in steps of 4 bytes because NCHW keeps pixels, not channels, together.
//
// A variant for NHWC would gather 16 bytes of channels at once: another copy_windows and by_row for
// B; nothing else here knows the layout.
#pragma once
#include "tf32_tile.cuh"
#include "window.cuh"

#ifdef TENSOR_CORES
// Terms slice_begin*16 ... slice_end*16 - 1 of [rows, depth] A; `out` is where this part goes.
template <int TM, int TN, int PRODUCTS>
__device__ __forceinline__ void windows_tf32(const float* __restrict__ A,
                                             const float* __restrict__ source,
                                             const float* __restrict__ bias,
                                             float* __restrict__ out, const Windows g, int batch,
                                             int rows, int depth, int source_image, int slice_begin,
                                             int slice_end, float* shared) {
  constexpr int STAGES = TF32_STAGES(TM, TN), STAGE = (TM + TN) * TF32_SLICE;
  constexpr int SHARE = TF32_THREADS / TN;  // threads of one pixel, which take turns
  const int t = threadIdx.x, lane = t & 31, warp = t >> 5;
  const int row0 = blockIdx.y * TM, pixel0 = blockIdx.x * TN,
            target_plane = g.h.target * g.w.target;
  const bool whole = depth % 4 == 0 && ((size_t)A & 15) == 0;

  const int column = t % TN, turn = t / TN;
  const Window window = window_of(g, pixel0 + column, batch, source_image, rows * target_plane);
  const float* first_pixel = source + window.source;
  Walk at = walk_from(g, slice_begin * TF32_SLICE);

  auto load = [&](int slice, float* stage) {
    const int first = slice * TF32_SLICE;
    copy_rows<TM>(stage, A, row0, rows, first, depth, whole);
    float* b = stage + TM * TF32_SLICE;
#pragma unroll
    for (int k = 0; k < TF32_SLICE; k++) {
      if (k % SHARE == turn) {
        const bool inside = (window.taps >> at.tap & 1) && first + k < depth;
        cp_async_4(b + by_column<TN>(k, column), first_pixel + at.offset, inside);
      }
      next_term(g, at);
    }
  };

  float acc[TM / 32][TN / 16][4] = {};
#pragma unroll
  for (int s = 0; s < STAGES - 1; s++) {
    if (slice_begin + s < slice_end) load(slice_begin + s, shared + s * STAGE);
    cp_async_commit();
  }
  int used = 0;
  for (int slice = slice_begin; slice < slice_end; slice++) {
    cp_async_wait(STAGES - 2);
    __syncthreads();  // the slice is there for all, and all have done with the one before
    const int free = used ? used - 1 : STAGES - 1;
    if (slice + STAGES - 1 < slice_end) load(slice + STAGES - 1, shared + free * STAGE);
    cp_async_commit();  // also when empty: the number of groups says which slice has arrived
    const float* stage = shared + used * STAGE;
    multiply_slice_tf32<TM, TN, PRODUCTS, false>(stage, stage + TM * TF32_SLICE, acc);
    used = used + 1 < STAGES ? used + 1 : 0;
  }

  int* targets = (int*)shared;
  __syncthreads();
  if (turn == 0) targets[column] = window.target;
  __syncthreads();
#pragma unroll
  for (int j = 0; j < TN / 16; j++) {
    const int n = (warp >> 1) * (TN / 2) + j * 8 + (lane & 3) * 2;
    const int left = targets[n], right = targets[n + 1];
#pragma unroll
    for (int i = 0; i < TM / 32 * 2; i++) {
      const int channel = row0 + (warp & 1) * (TM / 2) + i * 8 + (lane >> 2);
      if (channel >= rows || left < 0) break;
      const float start = bias ? bias[channel] : 0.f;
      const float one = acc[i / 2][j][i % 2 * 2] + start,
                  two = acc[i / 2][j][i % 2 * 2 + 1] + start;
      float* to = out + (size_t)channel * target_plane + left;
      if (right == left + 1 && ((size_t)to & 7) == 0) {
        *(float2*)to = make_float2(one, two);
      } else {
        *to = one;
        if (right >= 0) to[right - left] = two;
      }
    }
  }
}
#endif
