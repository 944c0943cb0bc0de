// The inner part of every matrix product here: 256 threads own a 64x64 tile of C = A B and add up
// slices of 16 along the shared axis. The kernels differ only in how they fetch the slices.
//
// Each thread keeps a 4x4 piece of C in registers: 8 shared-memory reads feed 16 multiply-adds,
// where one element a thread would need 2 reads for 1.
#pragma once

#define TILE 64
#define SLICE 16
#define TILE_THREADS 256
#define TILE_LD (TILE + 4)  // rows stay 16-byte aligned, and neighbouring rows begin in other banks

// Adds the product of a slice, A as [SLICE][TILE] (shared axis first) and B as [SLICE][TILE].
__device__ __forceinline__ void multiply_slice(const float (*a)[TILE_LD], const float (*b)[TILE_LD],
                                               float acc[4][4]) {
  const int row = (threadIdx.x >> 4) * 4, col = (threadIdx.x & 15) * 4;
#pragma unroll
  for (int k = 0; k < SLICE; k++) {
    const float4 x = *(const float4*)&a[k][row];
    const float4 y = *(const float4*)&b[k][col];
    const float av[4] = {x.x, x.y, x.z, x.w}, bv[4] = {y.x, y.y, y.z, y.w};
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int j = 0; j < 4; j++) acc[i][j] += av[i] * bv[j];
  }
}
