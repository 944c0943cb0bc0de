// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): ten rounds turn a
// counter and a key into four random words. No state is kept: the word depends on its place only, so
// the CPU and the GPU draw the same numbers, in any launch shape.
//
// Launch: one thread for four words, 256 a block. Word i is lane i % 4 of the counter offset + i / 4.
// A launch in a CUDA graph keeps its arguments, but must draw anew: there `base` has the key and a
// counter in device memory, and `offset` counts from it.
struct Words {
  unsigned word[4];
};

__device__ __forceinline__ Words philox_block(unsigned long long counter, unsigned long long key) {
  unsigned c0 = (unsigned)counter, c1 = (unsigned)(counter >> 32), c2 = 0, c3 = 0;
  unsigned k0 = (unsigned)key, k1 = (unsigned)(key >> 32);
#pragma unroll
  for (int round = 0; round < 10; round++) {
    const unsigned high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
    const unsigned high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B9u;  // golden ratio
    k1 += 0xBB67AE85u;  // sqrt(3) - 1
  }
  return {{c0, c1, c2, c3}};
}

#define BLOCK const long long block = blockIdx.x * (long long)blockDim.x + threadIdx.x
#define FROM_BASE if (base) seed = base[0], offset += base[1]

extern "C" __global__ void __launch_bounds__(256)
philox(unsigned* __restrict__ out, const unsigned long long* base, unsigned long long seed,
       unsigned long long offset, long long n) {
  BLOCK;
  if (4 * block >= n) return;
  FROM_BASE;
  const Words words = philox_block(offset + block, seed);
  for (int lane = 0; lane < 4; lane++)
    if (4 * block + lane < n) out[4 * block + lane] = words.word[lane];
}

// [0, 1) from the 24 high bits: every value is a float32.
extern "C" __global__ void __launch_bounds__(256)
philox_uniform(float* __restrict__ out, const unsigned long long* base, unsigned long long seed,
               unsigned long long offset, long long n) {
  BLOCK;
  if (4 * block >= n) return;
  FROM_BASE;
  const Words words = philox_block(offset + block, seed);
  for (int lane = 0; lane < 4; lane++)
    if (4 * block + lane < n) out[4 * block + lane] = (words.word[lane] >> 8) * 0x1p-24f;
}

// Masks of dropout: 0 where the uniform number is below p, else `scale`. Replaces a draw, a comparison
// and two conversions.
extern "C" __global__ void __launch_bounds__(256)
philox_mask(float* __restrict__ out, const unsigned long long* base, unsigned long long seed,
            unsigned long long offset, long long n, float p, float scale) {
  BLOCK;
  if (4 * block >= n) return;
  FROM_BASE;
  const Words words = philox_block(offset + block, seed);
  for (int lane = 0; lane < 4; lane++)
    if (4 * block + lane < n)
      out[4 * block + lane] = (words.word[lane] >> 8) * 0x1p-24f < p ? 0.f : scale;
}

// N(0, 1) by Box-Muller, two from two words, in float64 as on the CPU. The first word is moved up by
// one unit, so that its logarithm is finite.
extern "C" __global__ void __launch_bounds__(256)
philox_normal(float* __restrict__ out, const unsigned long long* base, unsigned long long seed,
              unsigned long long offset, long long n) {
  BLOCK;
  if (4 * block >= n) return;
  FROM_BASE;
  const Words words = philox_block(offset + block, seed);
  for (int lane = 0; lane < 4; lane += 2) {
    const double radius = sqrt(-2.0 * log(((words.word[lane] >> 8) + 1.0) * 0x1p-24));
    const double angle = 6.283185307179586 * ((words.word[lane + 1] >> 8) * 0x1p-24);
    if (4 * block + lane < n) out[4 * block + lane] = (float)(radius * cos(angle));
    if (4 * block + lane + 1 < n) out[4 * block + lane + 1] = (float)(radius * sin(angle));
  }
}
