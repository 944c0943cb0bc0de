// Nearest upsampling by whole factors, x [M,H,W] -> y [M,H*sh,W*sw], and its adjoint, the sum of each
// block. M counts images times channels: as M is a whole number of images, so is any count of rows, and
// only rows and columns matter.
//
// Launch: one thread an element of the result, 256 a block. Memory-bound: the small side is read from
// cache after the first time. 32-bit numbers throughout: a 64-bit division takes longer than the memory.

extern "C" __global__ void __launch_bounds__(256)
upsample_nearest(const float* __restrict__ x, float* __restrict__ y, unsigned n, unsigned width,
                 unsigned sh, unsigned sw) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const unsigned row = i / (width * sw), column = i - row * width * sw;
  y[i] = x[row / sh * width + column / sw];
}

extern "C" __global__ void __launch_bounds__(256)
block_sum(const float* __restrict__ x, float* __restrict__ y, unsigned n, unsigned width, unsigned sh,
          unsigned sw) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const unsigned row = i / width, column = i - row * width;
  const float* first = x + row * sh * width * sw + column * sw;
  float total = 0.f;
  for (unsigned r = 0; r < sh; r++)
    for (unsigned s = 0; s < sw; s++) total += first[r * width * sw + s];
  y[i] = total;
}
