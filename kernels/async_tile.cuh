// The inner part of the kernels that copy asynchronously: 4 warps own a TM x TN tile of A B, each a
// quarter, and add up slices of 16 along the shared axis. Slices wait in a ring of STAGES in shared
// memory, filled by cp.async while earlier ones are multiplied. For compute capability 8.0 and
// more.
//
// PRODUCTS = 0 is fp32: the multiply-adds of gemm_tile.cuh, with larger pieces for a thread.
// PRODUCTS = 1 is TF32 on the tensor cores: operands rounded to 10 bits of mantissa, sums in fp32.
// PRODUCTS = 3 splits each operand into a large and a small TF32 number and drops small * small:
// nearly as exact as fp32.
// Shared memory stays below 48 KB, which needs no permission from the driver.
#pragma once
#include "ptx.cuh"

#ifdef ASYNC_COPIES
#define ASYNC_SLICE 16
#define ASYNC_THREADS 128
#define ASYNC_STAGES(TM, TN) ((TM) + (TN) > 128 ? 3 : 4)
#define ASYNC_FLOATS(TM, TN) (ASYNC_STAGES(TM, TN) * ((TM) + (TN)) * ASYNC_SLICE)

// An operand stored row by row has rows of 16 floats of the shared axis, in 4 chunks of 16 bytes.
// The chunks' order varies with the row, so that the 8 rows that ldmatrix reads at once lie in
// different banks. The place of chunk `chunk` of row `row`:
__device__ __forceinline__ int by_row(int row, int chunk) {
  return row * ASYNC_SLICE + ((chunk ^ ((row >> 1) & 3)) << 2);
}

// An operand stored along the other axis, [16][WIDTH]: the place of (k, n). Again other banks for
// the four k that a warp reads at once.
template <int WIDTH>
__device__ __forceinline__ int by_column(int k, int n) {
  return k * WIDTH + (n ^ ((k & 3) << 3));
}

// Bits whose upper 19 are the nearest TF32 number; mma_tf32 ignores the others. Two instructions,
// where to_tf32, which clears them, takes more. The sum must not carry a NaN's mantissa into its
// sign. (A NaN whose mantissa is zero but for the 13 lower bits becomes infinite; none is made so.)
__device__ __forceinline__ unsigned near_tf32(float value) {
  return __float_as_uint(value) + (fabsf(value) < __uint_as_float(0x7f800000u) ? 0x1000u : 0u);
}

// value = large + small, but for what TF32 cannot hold of small.
__device__ __forceinline__ void split_tf32(float value, unsigned& large, unsigned& small) {
  large = to_tf32(value);
  small = near_tf32(value - __uint_as_float(large));
}

// acc += A B for this warp's quarter of the tile: A by_row; B by_row (its rows are the columns of
// the product) or by_column. acc[i][j] is the 16x8 piece (i, j), as mma_tf32 has it. A_ROUNDED: A
// is TF32 already, where one product is enough.
template <int TM, int TN, int PRODUCTS, bool A_ROUNDED, bool B_BY_ROW>
__device__ __forceinline__ void multiply_tf32(const float* a, const float* b, int row0, int column0,
                                              float (&acc)[TM / 32][TN / 16][4]) {
  const int lane = threadIdx.x & 31;
#pragma unroll
  for (int k = 0; k < ASYNC_SLICE; k += 8) {
    unsigned large[TM / 32][4], small[TM / 32][4];
#pragma unroll
    for (int i = 0; i < TM / 32; i++) {
      unsigned raw[4];
      ldmatrix_x4(raw, a + by_row(row0 + i * 16 + (lane & 15), k / 4 + (lane >> 4)));
#pragma unroll
      for (int e = 0; e < 4; e++) {
        if (PRODUCTS == 3)
          split_tf32(__uint_as_float(raw[e]), large[i][e], small[i][e]);
        else
          large[i][e] = A_ROUNDED ? raw[e] : near_tf32(__uint_as_float(raw[e]));
      }
    }
#pragma unroll
    for (int j = 0; j < TN / 16; j += 2) {
      unsigned raw[4];  // of the pieces j and j+1, two each
      if (B_BY_ROW) {
        const int row = column0 + j * 8 + (lane & 7) + (lane >> 4 << 3);
        ldmatrix_x4(raw, b + by_row(row, k / 4 + (lane >> 3 & 1)));
      } else {
#pragma unroll
        for (int e = 0; e < 4; e++)
          raw[e] = __float_as_uint(b[by_column<TN>(k + (lane & 3) + (e & 1) * 4,
                                                   column0 + (j + e / 2) * 8 + (lane >> 2))]);
      }
#pragma unroll
      for (int half = 0; half < 2; half++) {
        unsigned b_large[2], b_small[2];
#pragma unroll
        for (int e = 0; e < 2; e++) {
          const float value = __uint_as_float(raw[half * 2 + e]);
          if (PRODUCTS == 3)
            split_tf32(value, b_large[e], b_small[e]);
          else
            b_large[e] = near_tf32(value);
        }
#pragma unroll
        for (int i = 0; i < TM / 32; i++) {
          if (PRODUCTS == 3) {
            mma_tf32(acc[i][j + half], small[i], b_large);
            mma_tf32(acc[i][j + half], large[i], b_small);
          }
          mma_tf32(acc[i][j + half], large[i], b_large);
        }
      }
    }
  }
}

// The same in fp32: each lane adds up what is its own of the pieces.
template <int TM, int TN, bool B_BY_ROW>
__device__ __forceinline__ void multiply_fp32(const float* a, const float* b, int row0, int column0,
                                              float (&acc)[TM / 32][TN / 16][4]) {
  const int row = row0 + ((threadIdx.x & 31) >> 2), column = column0 + (threadIdx.x & 3) * 2;
#pragma unroll
  for (int chunk = 0; chunk < ASYNC_SLICE / 4; chunk++) {
    float4 x[TM / 16];
#pragma unroll
    for (int i = 0; i < TM / 16; i++) x[i] = *(const float4*)(a + by_row(row + i * 8, chunk));
#pragma unroll
    for (int j = 0; j < TN / 16; j++) {
      if (B_BY_ROW) {
#pragma unroll
        for (int e = 0; e < 2; e++) {
          const float4 y = *(const float4*)(b + by_row(column + j * 8 + e, chunk));
#pragma unroll
          for (int i = 0; i < TM / 16; i++) {
            float& sum = acc[i / 2][j][i % 2 * 2 + e];
            sum += x[i].x * y.x;
            sum += x[i].y * y.y;
            sum += x[i].z * y.z;
            sum += x[i].w * y.w;
          }
        }
      } else {
#pragma unroll
        for (int k = 0; k < 4; k++) {
          const float2 y = *(const float2*)(b + by_column<TN>(chunk * 4 + k, column + j * 8));
#pragma unroll
          for (int i = 0; i < TM / 16; i++) {
            const float value = k == 0 ? x[i].x : k == 1 ? x[i].y : k == 2 ? x[i].z : x[i].w;
            acc[i / 2][j][i % 2 * 2] += value * y.x;
            acc[i / 2][j][i % 2 * 2 + 1] += value * y.y;
          }
        }
      }
    }
  }
}

template <int TM, int TN, int PRODUCTS, bool A_ROUNDED, bool B_BY_ROW>
__device__ __forceinline__ void multiply_stage(const float* a, const float* b,
                                               float (&acc)[TM / 32][TN / 16][4]) {
  const int warp = threadIdx.x >> 5, row0 = (warp & 1) * (TM / 2), column0 = (warp >> 1) * (TN / 2);
  if constexpr (PRODUCTS == 0)
    multiply_fp32<TM, TN, B_BY_ROW>(a, b, row0, column0, acc);
  else
    multiply_tf32<TM, TN, PRODUCTS, A_ROUNDED, B_BY_ROW>(a, b, row0, column0, acc);
}

// Copies rows row0 ... row0+TM-1 of A [rows, length], terms first ... first+15, to a stage; zeros
// in rows that A has not. A begins at 16 bytes, and so do its rows.
template <int TM>
__device__ __forceinline__ void copy_rows(float* to, const float* A, int row0, int rows, int first,
                                          int length) {
#pragma unroll
  for (int i = 0; i < TM / 32; i++) {
    const int row = (threadIdx.x >> 2) + 32 * i, chunk = threadIdx.x & 3;
    cp_async_16(to + by_row(row, chunk), A + (size_t)(row0 + row) * length + first + chunk * 4,
                row0 + row < rows);
  }
}
#endif
