// Optimiser steps in one pass over param, gradient and state, in place.
//
// Launch: one thread a parameter, 256 a block. Memory-bound: Adam moves 28 bytes a parameter.
#define ELEMENT const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x

// step_size = lr / (1 - beta1^t), root_correction = sqrt(1 - beta2^t): computed on the host in float64.
extern "C" __global__ void __launch_bounds__(256)
adam_step(float* __restrict__ param, const float* __restrict__ grad, float* __restrict__ exp_avg,
          float* __restrict__ exp_avg_sq, long long n, float step_size, float root_correction,
          float one_minus_beta1, float beta2, float one_minus_beta2, float eps, float weight_decay,
          float shrink) {
  ELEMENT;
  if (i >= n) return;
  const float value = param[i] * shrink;  // AdamW's decay; 1 without it
  const float g = grad[i] + weight_decay * value;
  const float first = exp_avg[i] + one_minus_beta1 * (g - exp_avg[i]);
  const float second = beta2 * exp_avg_sq[i] + one_minus_beta2 * g * g;
  exp_avg[i] = first;
  exp_avg_sq[i] = second;
  param[i] = value - step_size * first / (sqrtf(second) / root_correction + eps);
}
