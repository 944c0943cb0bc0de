// Activations and their gradients, element by element (elements.cuh).
//
// Memory-bound: 8 bytes an element forward, 12 backward.
#include "elements.cuh"

extern "C" __global__ void __launch_bounds__(256)
relu(const float* __restrict__ x, float* __restrict__ y, long long n) {
  each(x, y, n, [](float v) { return v < 0.f ? 0.f : v; });  // NaN is not below 0, and stays
}

extern "C" __global__ void __launch_bounds__(256)
relu_backward(const float* __restrict__ dy, const float* __restrict__ y, float* __restrict__ dx,
              long long n) {
  each(dy, y, dx, n, [](float g, float v) { return v > 0.f ? g : 0.f; });
}

extern "C" __global__ void __launch_bounds__(256)
leaky_relu(const float* __restrict__ x, float* __restrict__ y, long long n, float slope) {
  each(x, y, n, [=](float v) { return v > 0.f ? v : slope * v; });
}

extern "C" __global__ void __launch_bounds__(256)
leaky_relu_backward(const float* __restrict__ dy, const float* __restrict__ x,
                    float* __restrict__ dx, long long n, float slope) {
  each(dy, x, dx, n, [=](float g, float v) { return v > 0.f ? g : slope * g; });
}

extern "C" __global__ void __launch_bounds__(256)
tanh_forward(const float* __restrict__ x, float* __restrict__ y, long long n) {
  each(x, y, n, [](float v) { return tanhf(v); });
}

extern "C" __global__ void __launch_bounds__(256)
tanh_backward(const float* __restrict__ dy, const float* __restrict__ y, float* __restrict__ dx,
              long long n) {
  each(dy, y, dx, n, [](float g, float v) { return g * (1.f - v * v); });
}

extern "C" __global__ void __launch_bounds__(256)
sigmoid(const float* __restrict__ x, float* __restrict__ y, long long n) {
  each(x, y, n, [](float v) {
    const float decay = expf(-fabsf(v));  // the exponent is never positive: no overflow
    return v >= 0.f ? 1.f / (1.f + decay) : decay / (1.f + decay);
  });
}

extern "C" __global__ void __launch_bounds__(256)
sigmoid_backward(const float* __restrict__ dy, const float* __restrict__ y, float* __restrict__ dx,
                 long long n) {
  each(dy, y, dx, n, [](float g, float v) { return g * v * (1.f - v); });
}
