// An array [N,C,L] in chunks of at most 4096 values of one channel: block (channel, chunk), 256
// threads, 16 values each, which fit into registers. The cut depends on the shape only, so that sums
// over a channel are the same bits everywhere.
#pragma once
#include "reduce.cuh"

#define PER_THREAD 16
#define VALUES (PER_THREAD * REDUCE_THREADS)  // a chunk

struct Channels {
  int batch, channels, length, chunks;
  int quads;  // whether four neighbours can be read at once: length and addresses are multiples
};

// Calls visit(j, offset) for this thread's units of V values in the block's chunk, j from 0 on; the
// offset leads from the array's start to the unit. Divides once, then steps.
template <int V, class Visit>
__device__ __forceinline__ void over_chunk(const Channels& p, Visit visit) {
  const int channel = blockIdx.x, units = p.length / V, count = p.batch * units;
  const int first = blockIdx.y * (VALUES / V) + threadIdx.x;
  const int end = min(count, (int)(blockIdx.y + 1) * (VALUES / V));
  if (first >= end) return;
  const int images = REDUCE_THREADS / units, rest = REDUCE_THREADS % units;
  const unsigned image = p.channels * p.length;
  int at = first % units;
  unsigned offset = first / units * image + channel * p.length + at * V;  // arrays are below 2^31
#pragma unroll
  for (int j = 0; j < PER_THREAD / V; j++) {
    if (first + j * REDUCE_THREADS < end) visit(j, offset);
    at += rest;
    offset += images * image + rest * V;
    if (at >= units) {
      at -= units;
      offset += image - p.length;
    }
  }
}

// Values of chunk i in its channel.
__device__ __forceinline__ int values_of(const Channels& p, int i) {
  return min(VALUES, p.batch * p.length - i * VALUES);
}

template <int V>
__device__ __forceinline__ void load(const float* from, float* v) {
  if (V == 4) {
    const float4 quad = *(const float4*)from;
    v[0] = quad.x, v[1] = quad.y, v[2] = quad.z, v[3] = quad.w;
  } else {
    v[0] = *from;
  }
}

template <int V>
__device__ __forceinline__ void store(float* to, const float* v) {
  if (V == 4)
    *(float4*)to = make_float4(v[0], v[1], v[2], v[3]);
  else
    *to = v[0];
}
