// The windows that a convolution and its input gradient sum over, as one description: output pixel
// (i, j) sums source pixels (i*step + origin + tap*tap_step) along each axis, over all channels.
// The taps of a window are numbered row by row, at most MAX_TAPS. Kernels that are written on
// Windows serve both.
#pragma once
#include "conv.cuh"

#define MAX_TAPS 63  // they are bits of a 64-bit mask, whose last bit stays clear

// The taps r0, r0+step, ... of one axis that reach the pixels first, first+stride, ...
struct Taps {
  int r0, step, count;
};

__device__ __forceinline__ Taps taps_of(int first, int pad, int stride, int dilation, int size) {
  int period = 1;  // r and r + period reach the same phase
  while ((period * dilation) % stride) period++;
  Taps taps = {0, period, 0};
  while (taps.r0 < period &&
         (first + pad + stride * dilation * taps.r0 - taps.r0 * dilation) % stride)
    taps.r0++;
  if (taps.r0 < period && taps.r0 < size) taps.count = (size - 1 - taps.r0) / period + 1;
  return taps;
}

struct Axis {
  int taps, tap_step;  // taps of a window, source pixels from one to the next (may be negative)
  int outputs, step;   // output pixels, source pixels from one's window to the next
  int origin;          // source pixel of the first output's first tap
  int first, every;    // output pixel i is pixel first + i * every of the target image
  int source, target;  // sizes of the two images
  int weight_first, weight_step;  // the filter's row or column of the first tap, and to the next
};

struct Windows {
  Axis h, w;
};

__device__ __forceinline__ Windows forward_windows(const Conv& p) {
  return {{p.R, p.dilation_h, p.P, p.stride_h, -p.pad_h, 0, 1, p.H, p.P, 0, 1},
          {p.S, p.dilation_w, p.Q, p.stride_w, -p.pad_w, 0, 1, p.W, p.Q, 0, 1}};
}

__device__ __forceinline__ Axis grad_axis(int first, int source, int target, int size, int stride,
                                          int pad, int dilation) {
  const Taps taps = taps_of(first, pad, stride, dilation, size);
  const int outputs = first < target ? (target - first - 1) / stride + 1 : 0;
  // Both divisions are exact: these taps reach this phase.
  return {taps.count,
          -taps.step * dilation / stride,
          outputs,
          1,
          taps.count ? (first + pad - taps.r0 * dilation) / stride : 0,
          first,
          stride,
          source,
          target,
          taps.r0,
          taps.step};
}

// Of one phase of the stride: dx pixels with the same remainder, which the same taps reach.
__device__ __forceinline__ Windows input_grad_windows(const Conv& p, int phase) {
  return {grad_axis(phase / p.stride_w, p.P, p.H, p.R, p.stride_h, p.pad_h, p.dilation_h),
          grad_axis(phase % p.stride_w, p.Q, p.W, p.S, p.stride_w, p.pad_w, p.dilation_w)};
}

// One output pixel: where its window begins in the source, where it goes, which taps are inside.
struct PixelWindow {
  int source, target;  // elements; without the channel, and source also without the tap
  unsigned long long taps;
};

// Of pixel number `pixel` of the batch; source_image, target_image: elements of an image. A pixel
// past the last one has no taps and the target -1.
__device__ __forceinline__ PixelWindow window_of(const Windows& g, int pixel, int batch,
                                                 int source_image, int target_image) {
  const int plane = g.h.outputs * g.w.outputs;
  if (pixel >= batch * plane) return {0, -1, 0};
  const int n = pixel / plane, i = pixel % plane / g.w.outputs, j = pixel % plane % g.w.outputs;
  const int y = i * g.h.step + g.h.origin, x = j * g.w.step + g.w.origin;
  unsigned long long row = 0, taps = 0;
  for (int s = 0; s < g.w.taps; s++)
    if ((unsigned)(x + s * g.w.tap_step) < (unsigned)g.w.source) row |= 1ull << s;
  for (int r = 0; r < g.h.taps; r++)
    if ((unsigned)(y + r * g.h.tap_step) < (unsigned)g.h.source) taps |= row << (r * g.w.taps);
  return {n * source_image + y * g.w.source + x,
          n * target_image + (g.h.first + i * g.h.every) * g.w.target + g.w.first + j * g.w.every,
          taps};
}

// Walks over the taps of a window: `offset` leads from the window's first source pixel to the
// tap's. It is the same for all pixels.
struct Walk {
  int offset, tap, column;
};

__device__ __forceinline__ Walk walk_from(const Windows& g, int tap) {
  if (g.w.taps == 0) return {0, 0, 0};  // a phase that no tap reaches
  return {tap / g.w.taps * g.h.tap_step * g.w.source + tap % g.w.taps * g.w.tap_step, tap,
          tap % g.w.taps};
}

__device__ __forceinline__ void next_tap(const Windows& g, Walk& at) {
  at.tap++;
  at.column++;
  at.offset += g.w.tap_step;
  if (at.column == g.w.taps) {
    at.column = 0;
    at.offset += g.h.tap_step * g.w.source - g.w.taps * g.w.tap_step;
  }
}
