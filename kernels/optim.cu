// Optimiser steps: all parameters of a group in one launch, in place.
//
// What changes from step to step is read from the clock, in device memory, so that a captured graph
// may be replayed: float64 clock[0] is the learning rate, clock[1 + row] the steps of a tensor.
// Launch: one block of 256 threads for a chunk of 4096 elements of one tensor; `adam_advance` first,
// in one block, one thread a tensor. Memory-bound: 28 bytes a parameter for Adam, 12 to 28 for SGD
// and RMSprop. Replaces one launch a parameter, whose scalars came from the host.
#include "tensors.cuh"

// Counts the steps up and leaves for each tensor of the table: lr / (1 - beta1^t), sqrt(1 - beta2^t)
// and 1 - lr * decoupled_decay.
extern "C" __global__ void __launch_bounds__(TENSOR_THREADS)
adam_advance(const Tensors t, double* __restrict__ clock, float* __restrict__ rates, double beta1,
             double beta2, double decoupled_decay) {
  const int tensor = threadIdx.x;
  if (tensor >= t.count) return;
  const double lr = clock[0], step = clock[1 + t.row[tensor]] + 1.0;
  clock[1 + t.row[tensor]] = step;
  rates[3 * tensor] = (float)(lr / (1.0 - pow(beta1, step)));
  rates[3 * tensor + 1] = (float)sqrt(1.0 - pow(beta2, step));
  rates[3 * tensor + 2] = (float)(1.0 - lr * decoupled_decay);
}

// Arrays: parameter, gradient, average of g, average of g^2.
extern "C" __global__ void __launch_bounds__(TENSOR_THREADS)
adam_steps(const Tensors t, const float* __restrict__ rates, float one_minus_beta1, float beta2,
           float one_minus_beta2, float eps, float weight_decay) {
  const int tensor = tensor_of(t, blockIdx.x);
  const float step_size = rates[3 * tensor], root_correction = rates[3 * tensor + 1];
  const float keep = rates[3 * tensor + 2];  // AdamW's decay; 1 without it
  update_chunk<4>(t, tensor, [=](float* v) {
    const float value = v[0] * keep, g = v[1] + weight_decay * value;
    v[2] += one_minus_beta1 * (g - v[2]);
    v[3] = beta2 * v[3] + one_minus_beta2 * g * g;
    v[0] = value - step_size * v[2] / (sqrtf(v[3]) / root_correction + eps);
  });
}

// Arrays: parameter, gradient, momentum buffer or null. `first`: the buffer starts as g.
extern "C" __global__ void __launch_bounds__(TENSOR_THREADS)
sgd_steps(const Tensors t, const double* __restrict__ clock, float momentum, float undampened,
          float weight_decay, int nesterov, int first) {
  const int tensor = tensor_of(t, blockIdx.x);
  const float lr = (float)clock[0];
  const bool buffered = t.array[2][tensor];
  update_chunk<3>(t, tensor, [=](float* v) {
    float g = v[1] + weight_decay * v[0];
    if (buffered) {
      v[2] = first ? g : momentum * v[2] + undampened * g;
      g = nesterov ? g + momentum * v[2] : v[2];
    }
    v[0] -= lr * g;
  });
}

// Arrays: parameter, gradient, average of g^2, momentum buffer or null, average of g or null.
extern "C" __global__ void __launch_bounds__(TENSOR_THREADS)
rmsprop_steps(const Tensors t, const double* __restrict__ clock, float alpha, float one_minus_alpha,
              float eps, float weight_decay, float momentum) {
  const int tensor = tensor_of(t, blockIdx.x);
  const float lr = (float)clock[0];
  const bool buffered = t.array[3][tensor], centred = t.array[4][tensor];
  update_chunk<5>(t, tensor, [=](float* v) {
    const float g = v[1] + weight_decay * v[0];
    v[2] = alpha * v[2] + one_minus_alpha * g * g;
    float variance = v[2];
    if (centred) {
      v[4] += one_minus_alpha * (g - v[4]);
      variance -= v[4] * v[4];
      if (variance < 0.f) variance = 0.f;  // by rounding only; NaN stays
    }
    float update = g / (sqrtf(variance) + eps);
    if (buffered) {
      v[3] = momentum * v[3] + update;
      update = v[3];
    }
    v[0] -= lr * update;
  });
}
