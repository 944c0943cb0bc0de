// out[channel, pixel] = bias[channel] + sum over taps and source channels of A[channel, tap, source
// channel] source[source channel, pixel of the tap]: a convolution or an input gradient as an
// implicit matrix product on the tensor cores. The windows are gathered while they are needed and
// never stored. A slice is one tap of 16 source channels: whether the tap is inside the image, and
// where, is found once for all 16. A thread gathers for one pixel, its neighbours for neighbouring
// pixels, in steps of 4 bytes because NCHW keeps pixels, not channels, together.
//
// A variant for NHWC would copy 16 bytes of channels at once and keep B by_row; only `load` and the
// last loop know the layout.
#pragma once
#include "async_tile.cuh"
#include "window.cuh"

#ifdef ASYNC_COPIES
// A as conv_pack.cu leaves it, `rows` x taps x `depth`; slices slice_begin ... slice_end - 1, tap
// by tap. `out` is where this part of the sum goes; `inputs` are the source's channels.
template <int TM, int TN, int PRODUCTS>
__device__ __forceinline__ void sum_windows(const float* __restrict__ A,
                                            const float* __restrict__ source,
                                            const float* __restrict__ bias, float* __restrict__ out,
                                            const Windows g, int batch, int rows, int inputs,
                                            int depth, int slice_begin, int slice_end,
                                            float* shared) {
  constexpr int STAGES = ASYNC_STAGES(TM, TN), STAGE = (TM + TN) * ASYNC_SLICE;
  constexpr int SHARE = ASYNC_THREADS / TN,
                TERMS = ASYNC_SLICE / SHARE;  // threads, terms of a pixel
  const int t = threadIdx.x, lane = t & 31, warp = t >> 5;
  const int row0 = blockIdx.y * TM, pixel0 = blockIdx.x * TN;
  const int plane = g.h.source * g.w.source, target_plane = g.h.target * g.w.target;
  const int taps = g.h.taps * g.w.taps, tap_slices = depth / ASYNC_SLICE;

  const int column = t % TN, turn = t / TN;
  const PixelWindow window =
      window_of(g, pixel0 + column, batch, inputs * plane, rows * target_plane);
  const float* pixel = source + window.source + (size_t)(turn * TERMS) * plane;
  Walk at = walk_from(g, slice_begin / tap_slices);
  int tap_slice = slice_begin % tap_slices;

  auto load = [&](int slice, float* stage) {
    copy_rows<TM>(stage, A, row0, rows, slice * ASYNC_SLICE, taps * depth);
    float* b = stage + TM * ASYNC_SLICE;
    const float* from = pixel + at.offset + (size_t)tap_slice * ASYNC_SLICE * plane;
    const bool inside = window.taps >> at.tap & 1;
    const int left = inputs - tap_slice * ASYNC_SLICE - turn * TERMS;
    if (left >= TERMS) {
#pragma unroll
      for (int i = 0; i < TERMS; i++, from += plane)
        cp_async_4(b + by_column<TN>(turn * TERMS + i, column), from, inside);
    } else {
#pragma unroll
      for (int i = 0; i < TERMS; i++, from += plane)
        cp_async_4(b + by_column<TN>(turn * TERMS + i, column), from, inside && i < left);
    }
    if (++tap_slice == tap_slices) {
      tap_slice = 0;
      next_tap(g, at);
    }
  };

  float acc[TM / 32][TN / 16][4] = {};
  int used = 0, free = 0;
  for (int slice = slice_begin - (STAGES - 1); slice < slice_end; slice++) {
    if (slice >= slice_begin) {
      cp_async_wait(STAGES - 2);
      __syncthreads();  // the slice is there for all, and all have done with the one before
    }
    if (slice + STAGES - 1 < slice_end) load(slice + STAGES - 1, shared + free * STAGE);
    cp_async_commit();  // also when empty: the number of groups says which slice has arrived
    free = free + 1 < STAGES ? free + 1 : 0;
    if (slice < slice_begin) continue;
    const float* stage = shared + used * STAGE;
    multiply_stage<TM, TN, PRODUCTS, true, false>(stage, stage + TM * ASYNC_SLICE, acc);
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
      const float one = acc[i / 2][j][i % 2 * 2] + start;
      const float two = acc[i / 2][j][i % 2 * 2 + 1] + start;
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
