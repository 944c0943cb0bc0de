// The weights in the order in which async_windows.cuh multiplies them: packed [rows][taps][depth],
// with the channels that a sum runs over together and filled up with zeros to a multiple of 16. For
// a forward pass rows are filters and the sum is over C; for an input gradient rows are the
// channels of x, the sum is over K, and each phase of the stride has its own taps, at a multiple of
// phase_size. A block of the convolution can then copy its rows in pieces of 16 bytes, with one tap
// for 16 terms; from [K,C,R,S] it would gather single numbers, again in every block.
//
// `round`: to TF32, once here instead of once in every block.
// Launch: grid (channels of the sum / 64, rows), rounded up; 256 threads.
// Memory: the weights are read once and written once.
#include "ptx.cuh"
#include "window.cuh"

#ifdef ASYNC_COPIES
#define PACK_CHANNELS 64  // a block
#define PACK_THREADS 256
#define PACK_FLOATS (PACK_CHANNELS * (MAX_TAPS + 1))

// The block's weights: of one row, from channel `first` on, `step` elements apart. They lie an odd
// number of places apart in shared memory, so that reading one tap meets all banks.
__device__ __forceinline__ void read_weights(const float* from, int first, int channels, int step,
                                             int RS, int round, float* shared) {
  for (int i = threadIdx.x; i < PACK_CHANNELS * RS; i += PACK_THREADS) {
    const int channel = i / RS, tap = i % RS;
    const bool inside = first + channel < channels;
    const float value = inside ? from[(size_t)(first + channel) * step + tap] : 0.f;
    shared[channel * (RS | 1) + tap] = round ? __uint_as_float(to_tf32(value)) : value;
  }
}

// Writes this row's taps of one phase.
__device__ __forceinline__ void write_taps(const Windows& g, int S, int RS, int first, int depth,
                                           float* packed, const float* shared) {
  const int taps = g.h.taps * g.w.taps, channels = min(PACK_CHANNELS, depth - first);
  for (int i = threadIdx.x; i < taps * PACK_CHANNELS; i += PACK_THREADS) {
    const int tap = i / PACK_CHANNELS, channel = i % PACK_CHANNELS;
    const int r = g.h.weight_first + tap / g.w.taps * g.h.weight_step;
    const int s = g.w.weight_first + tap % g.w.taps * g.w.weight_step;
    if (channel < channels)
      packed[((size_t)blockIdx.y * taps + tap) * depth + first + channel] =
          shared[channel * (RS | 1) + r * S + s];
  }
}

extern "C" __global__ void __launch_bounds__(PACK_THREADS)
pack_forward(const float* __restrict__ weight, float* __restrict__ packed, Conv p, int depth,
             int round) {
  __shared__ float shared[PACK_FLOATS];
  const int RS = p.R * p.S, first = blockIdx.x * PACK_CHANNELS;
  read_weights(weight + (size_t)blockIdx.y * p.C * RS, first, p.C, RS, RS, round, shared);
  __syncthreads();
  write_taps(forward_windows(p), p.S, RS, first, depth, packed, shared);
}

extern "C" __global__ void __launch_bounds__(PACK_THREADS)
pack_input_grad(const float* __restrict__ weight, float* __restrict__ packed, Conv p, int depth,
                int phase_size, int round) {
  __shared__ float shared[PACK_FLOATS];
  const int RS = p.R * p.S, first = blockIdx.x * PACK_CHANNELS;
  read_weights(weight + (size_t)blockIdx.y * RS, first, p.K, p.C * RS, RS, round, shared);
  __syncthreads();
  for (int phase = 0; phase < p.stride_h * p.stride_w; phase++)
    write_taps(input_grad_windows(p, phase), p.S, RS, first, depth,
               packed + (size_t)phase * phase_size, shared);
}
#endif
