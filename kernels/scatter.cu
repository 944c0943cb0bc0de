// Sums into places that an index names, without atomic additions: each result has one thread, which
// adds what belongs to it in the order of the index. The same bits in every run.
//
// The price is that threads read indices that are not theirs: they come from cache, and a match is
// rare. Replaces CuPy's add.at, whose atomic additions come in any order.

// out[m, index[m,l]] += values[m,l] for values and index [M,L], out [M,size].
// Launch: one block of 128 threads a row; thread t has the places t, t + 128, ... of its row.
extern "C" __global__ void __launch_bounds__(128)
scatter_add_last(const float* __restrict__ values, const long long* __restrict__ index,
                 float* __restrict__ out, int length, int size) {
  values += (size_t)blockIdx.x * length;
  index += (size_t)blockIdx.x * length;
  out += (size_t)blockIdx.x * size;
  for (int i = threadIdx.x; i < size; i += 128) out[i] = 0.f;
  for (int l = 0; l < length; l++) {
    const int to = (int)index[l];
    if ((to & 127) == (int)threadIdx.x) out[to] += values[l];
  }
}

// out[index[l], d] += values[l,d] for values [L,D], index [L], out [size,D].
// Launch: one thread an element of out, 256 a block; a warp reads the same index, which is broadcast.
extern "C" __global__ void __launch_bounds__(256)
scatter_add_rows(const float* __restrict__ values, const long long* __restrict__ index,
                 float* __restrict__ out, int length, int width, long long n) {
  const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (i >= n) return;
  const long long row = i / width;
  const int column = i % width;
  float total = 0.f;
  for (int l = 0; l < length; l++)
    if (index[l] == row) total += values[(size_t)l * width + column];
  out[i] = total;
}
