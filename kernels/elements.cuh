// Element by element over flat arrays: y[i] = f(a[i], b[i]), four neighbours a thread, as 16-byte
// accesses where all addresses allow it. Launch: n / 1024 blocks, rounded up, of 256 threads.
#pragma once

template <class F>
__device__ __forceinline__ void each(const float* a, const float* b, float* y, long long n, F f) {
  const long long i = 4 * (blockIdx.x * (long long)blockDim.x + threadIdx.x);
  const bool aligned = ((size_t)a | (size_t)b | (size_t)y) % sizeof(float4) == 0;
  if (aligned && i + 4 <= n) {
    const float4 u = *(const float4*)(a + i), v = *(const float4*)(b + i);
    *(float4*)(y + i) = make_float4(f(u.x, v.x), f(u.y, v.y), f(u.z, v.z), f(u.w, v.w));
    return;
  }
  for (long long j = i; j < i + 4 && j < n; j++) y[j] = f(a[j], b[j]);
}

// The same of one array.
template <class F>
__device__ __forceinline__ void each(const float* a, float* y, long long n, F f) {
  each(a, a, y, n, [&](float value, float) { return f(value); });
}
