// Nearest upsampling by whole factors, x [M,H,W] -> y [M,H*sh,W*sw], and its adjoint, the sum of each
// block. M counts images times channels.
//
// Launch: one thread an element of the result, 256 a block. Memory-bound: the small side is read from
// cache after the first time.
#define ELEMENT const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x

extern "C" __global__ void __launch_bounds__(256)
upsample_nearest(const float* __restrict__ x, float* __restrict__ y, long long n, int height,
                 int width, int sh, int sw) {
  ELEMENT;
  if (i >= n) return;
  const int column = i % (width * sw);
  const long long row = i / (width * sw);  // of all images, one under the other
  y[i] = x[(row / (height * sh) * height + row % (height * sh) / sh) * width + column / sw];
}

extern "C" __global__ void __launch_bounds__(256)
block_sum(const float* __restrict__ x, float* __restrict__ y, long long n, int width, int sh, int sw) {
  ELEMENT;
  if (i >= n) return;
  const float* first = x + (i / width * sh * width + i % width) * (long long)sw;
  float total = 0.f;
  for (int r = 0; r < sh; r++)
    for (int s = 0; s < sw; s++) total += first[(long long)r * width * sw + s];
  y[i] = total;
}
