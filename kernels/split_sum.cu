// out[i] = partial[0,i] + partial[1,i] + ... + bias: the second half of every sum that is cut into
// parts so that more blocks share it. The order is fixed: the same bits in every run, which atomic
// additions would not give. Element i belongs to channel i / plane % channels of the bias.
// Launch: one thread an element, 256 threads. Memory: the parts are read once, out written once.
extern "C" __global__ void __launch_bounds__(256)
sum_splits(const float* __restrict__ partial, const float* __restrict__ bias,
           float* __restrict__ out, int n, int splits, int plane, int channels) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float total = 0.f;
  for (int split = 0; split < splits; split++) total += partial[(size_t)split * n + i];
  out[i] = bias ? total + bias[i / plane % channels] : total;
}
