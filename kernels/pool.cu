// The flat position in H*W of the maximum of each window of x [M,H,W]: the first of equals; NaN wins,
// padding never. M counts images times channels; the values are gathered by position.
//
// Launch: one thread a window, 256 a block. Memory-bound: x once, 8 bytes a window written.
struct Window {
  int H, W, R, S, P, Q;
  int stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
};

extern "C" __global__ void __launch_bounds__(256)
max_pool2d_indices(const float* __restrict__ x, long long* __restrict__ out, int n, const Window p) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const int q = i % p.Q, row = i / p.Q, y0 = row % p.P * p.stride_h - p.pad_h;
  const int x0 = q * p.stride_w - p.pad_w;
  const float* image = x + (size_t)(row / p.P) * p.H * p.W;
  int best = -1;
  float largest = 0.f;
  for (int r = 0; r < p.R; r++) {
    const int h = y0 + r * p.dilation_h;
    if ((unsigned)h >= (unsigned)p.H) continue;
    for (int s = 0; s < p.S; s++) {
      const int w = x0 + s * p.dilation_w;
      if ((unsigned)w >= (unsigned)p.W) continue;
      const float value = image[h * p.W + w];
      if (best < 0 || value > largest || (value != value && largest == largest)) {
        best = h * p.W + w;
        largest = value;
      }
    }
  }
  out[i] = best;
}
