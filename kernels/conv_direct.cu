// Convolutions and input gradients with few channels on one side, in fp32: the first and the last
// layer of a network, where a tile of 64 or 128 channels would be mostly empty. Both are written on
// the windows of window.cuh, any groups; a block owns 128 pixels, a thread 4 of them, 32 apart, so
// that a warp reads and writes neighbouring pixels.
//
// few_outputs: at most 4 output channels. A thread keeps all of them; the 8 warps share the
//   source's channels and add up in shared memory. Launch: grid (pixels of the largest phase / 128,
//   1, groups * phases * splits), 256 threads; `splits` parts of the sum go to y [splits, ...] for
//   sum_splits. Replaces the tiles, which would multiply by zero in 60 of 64 rows. Memory: the
//   source is read once (a window's overlap from L1), for each 128 pixels the weights.
// few_inputs: at most 4 source channels. A thread keeps 8 output channels, a warp has its own 8.
//   Launch: grid (pixels of the largest phase / 128, channels / 64, groups * phases), 256 threads.
//   Replaces the tiles' barriers and gathers through shared memory: the sum is short, the source
//   small enough for L1. Memory: the result is written once, which is most of it.
#include "window.cuh"

#define FEW 4
#define FEW_THREADS 256
#define FEW_PIXELS 128
#define FEW_SUMMED 32   // source channels of few_outputs whose weights are in shared memory at once
#define FEW_TAPS 16     // and taps of few_inputs
#define FEW_RESULTS 64  // output channels of a block of few_inputs

// The channels of one group, and the distances between their weights.
struct GroupChannels {
  int inputs, outputs, input_step, output_step, kernel_width;
};

// Where the weight of a tap lies, from its channels' first.
__device__ __forceinline__ int weight_of(const Windows& g, const GroupChannels& c, int tap) {
  return (g.h.weight_first + tap / g.w.taps * g.h.weight_step) * c.kernel_width + g.w.weight_first +
         tap % g.w.taps * g.w.weight_step;
}

// The windows of this thread's 4 pixels.
struct FourWindows {
  const float* source[4];
  int target[4];
  unsigned long long taps[4];
};

__device__ __forceinline__ FourWindows four_windows(const float* source, const Windows& g,
                                                    int batch, int source_image, int target_image) {
  FourWindows four;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const int pixel = blockIdx.x * FEW_PIXELS + (threadIdx.x & 31) + 32 * i;
    const PixelWindow window = window_of(g, pixel, batch, source_image, target_image);
    four.source[i] = source + window.source;
    four.target[i] = window.target;
    four.taps[i] = window.taps;
  }
  return four;
}

// Where one tap of the 4 windows begins, and whether it is inside.
struct FourTaps {
  const float* source[4];
  bool inside[4];
};

__device__ __forceinline__ FourTaps four_taps(const FourWindows& four, const Walk& at) {
  FourTaps taps;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    taps.source[i] = four.source[i] + at.offset;
    taps.inside[i] = four.taps[i] >> at.tap & 1;
  }
  return taps;
}

union OutputsShared {
  float weights[FEW_SUMMED * MAX_TAPS][FEW];
  float sums[FEW_THREADS / 32][FEW_PIXELS][FEW + 1];
};

__device__ __forceinline__ void few_outputs(const float* __restrict__ source,
                                            const float* __restrict__ weight,
                                            const float* __restrict__ bias, float* __restrict__ out,
                                            const Windows g, const GroupChannels c, int batch,
                                            int groups, int split, int splits,
                                            OutputsShared& shared) {
  const int t = threadIdx.x, lane = t & 31, warp = t >> 5, taps = g.h.taps * g.w.taps;
  const int plane = g.h.source * g.w.source, target_plane = g.h.target * g.w.target;
  const FourWindows four =
      four_windows(source, g, batch, groups * c.inputs * plane, groups * c.outputs * target_plane);
  const int chunks = (c.inputs + FEW_SUMMED - 1) / FEW_SUMMED;
  const int begin = (int)((long long)chunks * split / splits) * FEW_SUMMED;
  const int end = min((int)((long long)chunks * (split + 1) / splits) * FEW_SUMMED, c.inputs);

  float acc[4][FEW] = {};
  for (int first = begin; first < end; first += FEW_SUMMED) {
    for (int e = t; e < min(FEW_SUMMED, end - first) * taps; e += FEW_THREADS) {
      const int from = (first + e / taps) * c.input_step + weight_of(g, c, e % taps);
#pragma unroll
      for (int o = 0; o < FEW; o++)
        shared.weights[e][o] = o < c.outputs ? weight[from + o * c.output_step] : 0.f;
    }
    __syncthreads();
    // Each warp takes 4 of the channels.
    const int mine = warp * 4, channels = min(4, end - first - mine);
    Walk at = walk_from(g, 0);
    for (int tap = 0; tap < taps; tap++, next_tap(g, at)) {
      const FourTaps from = four_taps(four, at);
#pragma unroll
      for (int channel = 0; channel < 4; channel++) {
        if (channel >= channels) break;
        const float4 w = *(const float4*)shared.weights[(mine + channel) * taps + tap];
        const size_t offset = (size_t)(first + mine + channel) * plane;
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const float value = from.inside[i] ? from.source[i][offset] : 0.f;
          acc[i][0] += w.x * value;
          acc[i][1] += w.y * value;
          acc[i][2] += w.z * value;
          acc[i][3] += w.w * value;
        }
      }
    }
    __syncthreads();
  }

#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int o = 0; o < FEW; o++) shared.sums[warp][lane + 32 * i][o] = acc[i][o];
  __syncthreads();
  // A warp adds up one channel of 32 pixels at a time: pixels of its own lanes.
  for (int task = warp; task < 4 * c.outputs; task += FEW_THREADS / 32) {
    const int channel = task / 4, i = task % 4;
    float total = bias ? bias[channel] : 0.f;
    for (int other = 0; other < FEW_THREADS / 32; other++)
      total += shared.sums[other][lane + 32 * i][channel];
    int target = four.target[0];
#pragma unroll
    for (int j = 1; j < 4; j++)
      if (i == j) target = four.target[j];
    if (target >= 0) out[(size_t)channel * target_plane + target] = total;
  }
}

struct InputsShared {
  float weights[FEW * FEW_TAPS][FEW_RESULTS + 4];
  int places[FEW * FEW_TAPS];
};

__device__ __forceinline__ void few_inputs(const float* __restrict__ source,
                                           const float* __restrict__ weight,
                                           const float* __restrict__ bias, float* __restrict__ out,
                                           const Windows g, const GroupChannels c, int batch,
                                           int groups, InputsShared& shared) {
  const int t = threadIdx.x, channel0 = blockIdx.y * FEW_RESULTS, mine = (t >> 5) * 8;
  const int plane = g.h.source * g.w.source, target_plane = g.h.target * g.w.target;
  const int taps = g.h.taps * g.w.taps;
  const FourWindows four =
      four_windows(source, g, batch, groups * c.inputs * plane, groups * c.outputs * target_plane);

  float acc[4][8] = {};
  Walk at = walk_from(g, 0);
  for (int first = 0; first < taps; first += FEW_TAPS) {
    if (t < FEW * FEW_TAPS) {
      const int channel = t / FEW_TAPS, tap = first + t % FEW_TAPS;
      const bool inside = channel < c.inputs && tap < taps;
      shared.places[t] = inside ? channel * c.input_step + weight_of(g, c, tap) : -1;
    }
    __syncthreads();
    const int o = channel0 + (t >> 2);
    for (int term = t & 3; term < FEW * FEW_TAPS; term += 4) {
      const bool inside = o < c.outputs && shared.places[term] >= 0;
      shared.weights[term][t >> 2] = inside ? weight[shared.places[term] + o * c.output_step] : 0.f;
    }
    __syncthreads();
    for (int tap = first; tap < min(first + FEW_TAPS, taps); tap++, next_tap(g, at)) {
      const FourTaps from = four_taps(four, at);
#pragma unroll
      for (int channel = 0; channel < FEW; channel++) {
        if (channel >= c.inputs) break;
        const float* row = shared.weights[channel * FEW_TAPS + tap - first] + mine;
        const float4 low = *(const float4*)row, high = *(const float4*)(row + 4);
        const float w[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const float value = from.inside[i] ? from.source[i][(size_t)channel * plane] : 0.f;
#pragma unroll
          for (int j = 0; j < 8; j++) acc[i][j] += w[j] * value;
        }
      }
    }
    __syncthreads();
  }

#pragma unroll
  for (int j = 0; j < 8; j++) {
    const int channel = channel0 + mine + j;
    if (channel >= c.outputs) break;
    const float start = bias ? bias[channel] : 0.f;
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (four.target[i] >= 0)
        out[(size_t)channel * target_plane + four.target[i]] = acc[i][j] + start;
  }
}

// In a forward pass a group sums over channels of x, and its filters are whole rows of the weight.
__device__ __forceinline__ GroupChannels forward_channels(const Conv& p) {
  const int RS = p.R * p.S, inputs = p.C / p.groups;
  return {inputs, p.K / p.groups, RS, inputs * RS, p.S};
}

// In an input gradient it sums over those filters, and the weight's channels are the outputs.
__device__ __forceinline__ GroupChannels input_grad_channels(const Conv& p) {
  const int RS = p.R * p.S, outputs = p.C / p.groups;
  return {p.K / p.groups, outputs, outputs * RS, RS, p.S};
}

extern "C" __global__ void __launch_bounds__(FEW_THREADS, 2)
conv_forward_few_outputs(const float* __restrict__ x, const float* __restrict__ weight,
                         const float* __restrict__ bias, float* __restrict__ y, Conv p,
                         int splits) {
  __shared__ __align__(16) OutputsShared shared;
  const GroupChannels c = forward_channels(p);
  const int group = blockIdx.z / splits, split = blockIdx.z % splits, PQ = p.P * p.Q;
  few_outputs(x + (size_t)group * c.inputs * p.H * p.W,
              weight + (size_t)group * c.outputs * c.output_step,
              bias ? bias + group * c.outputs : bias,
              y + ((size_t)split * p.N * p.K + group * c.outputs) * PQ, forward_windows(p), c, p.N,
              p.groups, split, splits, shared);
}

extern "C" __global__ void __launch_bounds__(FEW_THREADS, 2)
conv_input_grad_few_outputs(const float* __restrict__ dy, const float* __restrict__ weight,
                            const float* __restrict__ bias, float* __restrict__ dx, Conv p,
                            int splits) {
  __shared__ __align__(16) OutputsShared shared;
  const GroupChannels c = input_grad_channels(p);
  const int phases = p.stride_h * p.stride_w, split = blockIdx.z % splits;
  const int group = blockIdx.z / splits / phases, phase = blockIdx.z / splits % phases;
  few_outputs(dy + (size_t)group * c.inputs * p.P * p.Q,
              weight + (size_t)group * c.inputs * c.input_step,
              bias ? bias + group * c.outputs : bias,
              dx + ((size_t)split * p.N * p.C + group * c.outputs) * p.H * p.W,
              input_grad_windows(p, phase), c, p.N, p.groups, split, splits, shared);
}

extern "C" __global__ void __launch_bounds__(FEW_THREADS, 2)
conv_forward_few_inputs(const float* __restrict__ x, const float* __restrict__ weight,
                        const float* __restrict__ bias, float* __restrict__ y, Conv p) {
  __shared__ __align__(16) InputsShared shared;
  const GroupChannels c = forward_channels(p);
  const int group = blockIdx.z;
  few_inputs(x + (size_t)group * c.inputs * p.H * p.W,
             weight + (size_t)group * c.outputs * c.output_step,
             bias ? bias + group * c.outputs : bias, y + (size_t)group * c.outputs * p.P * p.Q,
             forward_windows(p), c, p.N, p.groups, shared);
}

extern "C" __global__ void __launch_bounds__(FEW_THREADS, 2)
conv_input_grad_few_inputs(const float* __restrict__ dy, const float* __restrict__ weight,
                           const float* __restrict__ bias, float* __restrict__ dx, Conv p) {
  __shared__ __align__(16) InputsShared shared;
  const GroupChannels c = input_grad_channels(p);
  const int phases = p.stride_h * p.stride_w, group = blockIdx.z / phases,
            phase = blockIdx.z % phases;
  few_inputs(dy + (size_t)group * c.inputs * p.P * p.Q,
             weight + (size_t)group * c.inputs * c.input_step,
             bias ? bias + group * c.outputs : bias, dx + (size_t)group * c.outputs * p.H * p.W,
             input_grad_windows(p, phase), c, p.N, p.groups, shared);
}
