// Sums over a block, by shuffles inside each warp and then over the warps' sums.
#pragma once

#define REDUCE_THREADS 256

// The sum of `value` over the block's 256 threads, in all of them; the order is fixed.
// `warps` is shared memory for 8 floats; it may be used again at once.
__device__ __forceinline__ float block_total(float value, float* warps) {
#pragma unroll
  for (int distance = 16; distance; distance >>= 1)
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  __syncthreads();  // nobody still reads the sums of an earlier call
  if ((threadIdx.x & 31) == 0) warps[threadIdx.x >> 5] = value;
  __syncthreads();
  float total = 0.f;
  for (int warp = 0; warp < REDUCE_THREADS / 32; warp++) total += warps[warp];
  return total;
}
