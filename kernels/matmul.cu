// C[z] = A[z] B[z] in fp32, [M,K] and [K,N] by their strides: a transposed operand is not copied.
//
// Launch: grid (N / 64, M / 64, batch * splits), rounded up; 256 threads. Strides are in elements;
// a stride of 0 along the batch repeats an operand. C is C-contiguous. Few rows and columns with a
// long K, as in the linear layers of a GAN, would leave most of a GPU idle: then the sum over K is
// cut into `splits` parts, C [splits, batch, M, N], which split_sum.cu adds up.
// Memory: A is read once for 64 columns, B once for 64 rows, C written once for each part.
#include "gemm_tile.cuh"

struct Strides {
  long long batch, row, col;
};

extern "C" __global__ void __launch_bounds__(TILE_THREADS)
matmul(const float* __restrict__ A, const float* __restrict__ B, float* __restrict__ C, int M,
       int N, int K, int splits, Strides sa, Strides sb) {
  __shared__ __align__(16) float a[SLICE][TILE_LD];
  __shared__ __align__(16) float b[SLICE][TILE_LD];
  const int t = threadIdx.x, m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE;
  const int z = blockIdx.z / splits, split = blockIdx.z % splits, slices = (K + SLICE - 1) / SLICE;
  const int begin = (int)((long long)slices * split / splits) * SLICE;
  const int end = min((int)((long long)slices * (split + 1) / splits) * SLICE, K);
  A += z * sa.batch;
  B += z * sb.batch;
  // Neighbouring threads read along the axis whose elements are neighbours in memory.
  const bool a_along_k = sa.col == 1, b_along_n = sb.col == 1;

  float acc[4][4] = {};
  for (int first = begin; first < end; first += SLICE) {
    for (int i = 0; i < 4; i++) {
      const int e = t + TILE_THREADS * i;
      const int at = a_along_k ? e & 15 : e >> 6, row = a_along_k ? e >> 4 : e & 63;
      const bool inside = m0 + row < M && first + at < end;
      a[at][row] = inside ? A[(m0 + row) * sa.row + (first + at) * sa.col] : 0.f;
    }
    for (int i = 0; i < 4; i++) {
      const int e = t + TILE_THREADS * i;
      const int at = b_along_n ? e >> 6 : e & 15, col = b_along_n ? e & 63 : e >> 4;
      const bool inside = n0 + col < N && first + at < end;
      b[at][col] = inside ? B[(first + at) * sb.row + (n0 + col) * sb.col] : 0.f;
    }
    __syncthreads();
    multiply_slice(a, b, acc);
    __syncthreads();
  }

  C += ((size_t)split * (gridDim.z / splits) + z) * M * N;
  for (int i = 0; i < 4; i++) {
    const int m = m0 + (t >> 4) * 4 + i;
    if (m >= M) break;
    for (int j = 0; j < 4; j++) {
      const int n = n0 + (t & 15) * 4 + j;
      if (n < N) C[(size_t)m * N + n] = acc[i][j];
    }
  }
}
