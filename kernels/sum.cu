// Sums over axes, in a fixed order: of the channels of [N,C,L] over N and L, and of the columns of
// [A,R,C] over R. Every sum over neighbouring axes is one of the two.
//
// Launch of sum_channels: grid (C, chunks), 256 threads, a chunk of at most 4096 values (chunks.cuh);
// with more than one chunk it leaves partial sums [C, chunks], which are the rows of a second launch.
// So the gradient of a bias, few sums of many pixels, keeps the whole GPU busy.
// Launch of sum_columns: grid (C / 32, pieces, A), 256 threads: 32 columns by 8 rows, so that a warp
// reads neighbours; each piece of at most 1024 rows leaves sums [A, pieces, C] for a second launch.
// Memory-bound: x is read once.
#include "chunks.cuh"

template <int V>
__device__ __forceinline__ float sum_of_chunk(const Channels& p, const float* x) {
  float sum = 0.f;
  over_chunk<V>(p, [&](int, unsigned offset) {
    float v[V];
    load<V>(x + offset, v);
#pragma unroll
    for (int k = 0; k < V; k++) sum += v[k];
  });
  return sum;
}

extern "C" __global__ void __launch_bounds__(REDUCE_THREADS)
sum_channels(const float* __restrict__ x, float* __restrict__ out, const Channels p) {
  __shared__ float warps[REDUCE_THREADS / 32];
  const float sum = p.quads ? sum_of_chunk<4>(p, x) : sum_of_chunk<1>(p, x);
  const float total = block_total(sum, warps);
  if (threadIdx.x == 0) out[(size_t)blockIdx.x * p.chunks + blockIdx.y] = total;
}

#define COLUMNS 32
#define ROWS (REDUCE_THREADS / COLUMNS)
#define PIECE 1024  // rows

extern "C" __global__ void __launch_bounds__(REDUCE_THREADS)
sum_columns(const float* __restrict__ x, float* __restrict__ out, int rows, int columns) {
  __shared__ float sums[ROWS][COLUMNS + 1];
  const int lane = threadIdx.x % COLUMNS, row = threadIdx.x / COLUMNS;
  const int column = blockIdx.x * COLUMNS + lane, end = min(rows, (int)(blockIdx.y + 1) * PIECE);
  x += (size_t)blockIdx.z * rows * columns;
  float sum = 0.f;
  if (column < columns)
    for (int r = blockIdx.y * PIECE + row; r < end; r += ROWS) sum += x[(size_t)r * columns + column];
  sums[row][lane] = sum;
  __syncthreads();
  if (row == 0 && column < columns) {
    for (int r = 1; r < ROWS; r++) sum += sums[r][lane];
    out[((size_t)blockIdx.z * gridDim.y + blockIdx.y) * columns + column] = sum;
  }
}
