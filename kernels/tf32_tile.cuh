// The inner part of the tensor-core kernels: 4 warps own a TM x TN tile of A B, each a quarter, and
// add up slices of 16 along the shared axis. Slices wait in a ring of STAGES in shared memory,
// filled by asynchronous copies while earlier ones are multiplied.
//
// PRODUCTS = 1 is TF32: operands rounded to 10 bits of mantissa, sums in fp32. PRODUCTS = 3 splits
// each operand into a large and a small TF32 number and drops small * small: nearly fp32.
// Shared memory stays below 48 KB, which needs no permission from the driver.
#pragma once
#include "ptx.cuh"

#ifdef TENSOR_CORES
#define TF32_SLICE 16
#define TF32_THREADS 128
#define TF32_STAGES(TM, TN) ((TM) + (TN) > 128 ? 3 : 4)
#define TF32_FLOATS(TM, TN) (TF32_STAGES(TM, TN) * ((TM) + (TN)) * TF32_SLICE)

// An operand stored row by row has rows of 16 floats of the shared axis, in 4 chunks of 16 bytes.
// The chunks' order varies with the row, so that the 8 rows that ldmatrix reads at once lie in
// different banks. The place of chunk `chunk` of row `row`:
__device__ __forceinline__ int by_row(int row, int chunk) {
  return row * TF32_SLICE + ((chunk ^ ((row >> 1) & 3)) << 2);
}

// An operand stored along the other axis, [16][WIDTH]: the place of (k, n). Again other banks for
// the four k that a warp reads at once.
template <int WIDTH>
__device__ __forceinline__ int by_column(int k, int n) {
  return k * WIDTH + (n ^ ((k & 3) << 3));
}

// acc += A B for this warp's quarter: A by_row; B by_row (its rows are the columns of the product)
// or by_column. acc[i][j] is the 16x8 piece (i, j), as mma_tf32 has it.
template <int TM, int TN, int PRODUCTS, bool B_BY_ROW>
__device__ __forceinline__ void multiply_slice_tf32(const float* a, const float* b,
                                                    float (&acc)[TM / 32][TN / 16][4]) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int row0 = (warp & 1) * (TM / 2), column0 = (warp >> 1) * (TN / 2);
#pragma unroll
  for (int k = 0; k < TF32_SLICE; k += 8) {
    unsigned large[TM / 32][4], small[TM / 32][4];
#pragma unroll
    for (int i = 0; i < TM / 32; i++) {
      unsigned raw[4];
      ldmatrix_x4(raw, a + by_row(row0 + i * 16 + (lane & 15), k / 4 + (lane >> 4)));
#pragma unroll
      for (int e = 0; e < 4; e++) {
        large[i][e] = to_tf32(__uint_as_float(raw[e]));
        if (PRODUCTS == 3)
          small[i][e] = to_tf32(__uint_as_float(raw[e]) - __uint_as_float(large[i][e]));
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
          b_large[e] = to_tf32(value);
          if (PRODUCTS == 3) b_small[e] = to_tf32(value - __uint_as_float(b_large[e]));
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

// Copies rows row0 ... row0+TM-1 of A [rows, depth], terms first ... first+15, to a stage; zeros
// outside. `whole`: every row begins at 16 bytes, so that it can be read in chunks.
template <int TM>
__device__ __forceinline__ void copy_rows(float* to, const float* A, int row0, int rows, int first,
                                          int depth, bool whole) {
#pragma unroll
  for (int i = 0; i < TM / 32; i++) {
    const int row = (threadIdx.x >> 2) + 32 * i, chunk = threadIdx.x & 3, at = first + chunk * 4;
    const float* from = A + (size_t)(row0 + row) * depth + at;
    float* place = to + by_row(row, chunk);
    const bool inside = row0 + row < rows;
    if (whole)
      cp_async_16(place, from, inside && at < depth);
    else
      for (int e = 0; e < 4; e++) cp_async_4(place + e, from + e, inside && at + e < depth);
  }
}
#endif
