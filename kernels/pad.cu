// Borders that repeat an image x [M,H,W], mirrored (the edge itself once), replicated or circular, and
// the adjoint: every pixel gets the sum of the gradients at all its copies, in a fixed order.
//
// Launch: one thread an element of the result, 256 a block. Memory-bound: 8 bytes an element.
// Replaces a gather of rows and one of columns, and for the adjoint two scatters with transpositions.
struct Pad {
  int H, W, left, right, top, bottom;
  int mode;  // 0 reflect, 1 replicate, 2 circular
};

// The pixel, of an axis of n, whose copy is at position i of the padded axis.
__device__ __forceinline__ int copied(int i, int n, int before, int mode) {
  const int at = i - before;
  if (mode == 0) return n - 1 - abs(n - 1 - abs(at));
  if (mode == 1) return min(max(at, 0), n - 1);
  return at < 0 ? at + n : (at >= n ? at - n : at);
}

extern "C" __global__ void __launch_bounds__(256)
pad2d(const float* __restrict__ x, float* __restrict__ y, int n, const Pad p) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const int width = p.W + p.left + p.right, height = p.H + p.top + p.bottom;
  const int row = i / width, image = row / height;
  const int h = copied(row % height, p.H, p.top, p.mode), w = copied(i % width, p.W, p.left, p.mode);
  y[i] = x[((size_t)image * p.H + h) * p.W + w];
}

// Calls visit(i) for each position i of the padded axis that is a copy of pixel `at`. Only pixels near
// an end have copies in the borders.
template <class Visit>
__device__ __forceinline__ void over_copies(int at, int n, int before, int after, int mode,
                                            Visit visit) {
  const int reach = max(before, after);
  const bool near_end = at <= reach || at >= n - 1 - reach;
  if (near_end)
    for (int i = 0; i < before; i++)
      if (copied(i, n, before, mode) == at) visit(i);
  visit(at + before);
  if (near_end)
    for (int i = before + n; i < before + n + after; i++)
      if (copied(i, n, before, mode) == at) visit(i);
}

extern "C" __global__ void __launch_bounds__(256, 4)  // 64 registers: with 32 it spills
pad2d_adjoint(const float* __restrict__ dy, float* __restrict__ dx, int n, const Pad p) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const int w = i % p.W, row = i / p.W, width = p.W + p.left + p.right;
  const float* image = dy + (size_t)(row / p.H) * (p.H + p.top + p.bottom) * width;
  float total = 0.f;
  over_copies(row % p.H, p.H, p.top, p.bottom, p.mode, [&](int r) {
    over_copies(w, p.W, p.left, p.right, p.mode, [&](int s) { total += image[r * width + s]; });
  });
  dx[i] = total;
}
