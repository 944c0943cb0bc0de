// A table of tensors as a kernel's argument, so that one launch updates all of them; the host fills
// the same fields in minigan/backends/cuda/tensor_table.py. Kernel arguments may take 4 KB.
#pragma once
#define TENSORS 72          // a launch
#define CHUNK 4096          // elements of a tensor that one block updates
#define TENSOR_THREADS 256  // a block
struct Tensors {
  float* array[5][TENSORS];  // parameter, gradient, then the state: null where there is none
  int size[TENSORS];
  int row[TENSORS];              // the tensor's place in the clock
  int first_chunk[TENSORS + 1];  // chunks of all tensors before it
  int count;
};

// The tensor that holds a chunk: the last one that does not begin after it.
__device__ __forceinline__ int tensor_of(const Tensors& t, int chunk) {
  int low = 0, high = t.count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (t.first_chunk[middle] <= chunk)
      low = middle;
    else
      high = middle;
  }
  return low;
}

// Calls update(v) for each element of this block's chunk, v[k] its value in array k (0 where array k
// is null), and stores all of them but the gradient, v[1]. Four elements at a time go as one 16-byte
// access where all addresses allow it.
template <int ARRAYS, class Update>
__device__ __forceinline__ void update_chunk(const Tensors& t, int tensor, Update update) {
  const int begin = (blockIdx.x - t.first_chunk[tensor]) * CHUNK;
  const int n = min(CHUNK, t.size[tensor] - begin);
  float* at[ARRAYS];
  bool aligned = true;
#pragma unroll
  for (int k = 0; k < ARRAYS; k++) {
    at[k] = t.array[k][tensor];
    aligned = aligned && (size_t)at[k] % sizeof(float4) == 0;
    if (at[k]) at[k] += begin;
  }
  const int quads = aligned ? n / 4 : 0;
  for (int i = threadIdx.x; i < quads; i += TENSOR_THREADS) {
    float v[4][ARRAYS];
#pragma unroll
    for (int k = 0; k < ARRAYS; k++) {
      const float4 quad = at[k] ? ((const float4*)at[k])[i] : make_float4(0.f, 0.f, 0.f, 0.f);
      v[0][k] = quad.x, v[1][k] = quad.y, v[2][k] = quad.z, v[3][k] = quad.w;
    }
#pragma unroll
    for (int j = 0; j < 4; j++) update(v[j]);
#pragma unroll
    for (int k = 0; k < ARRAYS; k++)
      if (k != 1 && at[k]) ((float4*)at[k])[i] = make_float4(v[0][k], v[1][k], v[2][k], v[3][k]);
  }
  for (int i = 4 * quads + threadIdx.x; i < n; i += TENSOR_THREADS) {
    float v[ARRAYS];
#pragma unroll
    for (int k = 0; k < ARRAYS; k++) v[k] = at[k] ? at[k][i] : 0.f;
    update(v);
#pragma unroll
    for (int k = 0; k < ARRAYS; k++)
      if (k != 1 && at[k]) at[k][i] = v[k];
  }
}
