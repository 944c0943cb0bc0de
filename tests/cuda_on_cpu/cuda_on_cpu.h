// Runs unmodified CUDA C kernels on the CPU: one fiber per CUDA thread, one block at a time.
// This header is force-included before a kernel file; runtime.cpp is its other half.
//
// A kernel of a block runs on the fibers until each waits at a barrier or at its warp. __shared__
// is a linker section, filled with NaN before each block. Warp operations deposit their values in a
// table that all lanes of the mask read. cp.async writes NaN first and the data when it is waited
// for, or at once, by the schedule: both must give the right answer.
#pragma once
#define CUDA_ON_CPU 1
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("cuda_shared")))
struct uint3_ {
  unsigned x, y, z;
};
typedef uint3_ uint3;
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
static inline float4 make_float4(float a, float b, float c, float d) { return {a, b, c, d}; }
static inline float2 make_float2(float a, float b) { return {a, b}; }
static inline int4 make_int4(int a, int b, int c, int d) { return {a, b, c, d}; }
extern "C" {
extern uint3 cpu_threadIdx, cpu_blockIdx;
extern dim3 cpu_blockDim, cpu_gridDim;
void cpu_barrier(const char* file, int line);
void cpu_fail(const char* fmt, ...) __attribute__((noreturn));
// warp-collective exchange: every lane of mask deposits n bytes, returns base of a [32][64]-byte
// table valid until the lane's next exchange
const unsigned char* cpu_warp_exchange(unsigned mask, const void* v, int n, const char* file,
                                       int line);
unsigned cpu_lane();
void* cpu_dyn_smem();
void cpu_cp_async(void* dst, const void* src, int n, int src_n);
void cpu_cp_commit();
void cpu_cp_wait(int keep);
void cpu_sync_atomic(const void* p, int n);
void cpu_note(const void* p, int n,
              int wr);  // tells the race detector that this address is used atomically
}
#define threadIdx cpu_threadIdx
#define blockIdx cpu_blockIdx
#define blockDim cpu_blockDim
#define gridDim cpu_gridDim
#define warpSize 32
#define __syncthreads() cpu_barrier(__FILE__, __LINE__)
#define __syncwarp(...) ((void)cpu_warp_exchange(0xffffffffu, "", 1, __FILE__, __LINE__))
#define __threadfence() ((void)0)
#define NOTSAN __attribute__((no_sanitize("thread")))
template <class T>
NOTSAN inline T cpu_shfl(unsigned mask, T v, int src, const char* f, int l) {
  const unsigned char* t = cpu_warp_exchange(mask, &v, sizeof(T), f, l);
  if (src < 0 || src > 31) src = (int)cpu_lane();
  if (!((mask >> src) & 1))
    cpu_fail("%s:%d: shuffle reads lane %d outside its mask %08x", f, l, src, mask);
  T r;
  __builtin_memcpy(&r, t + 64 * src, sizeof(T));
  return r;
}
#define __shfl_sync(m, v, s, ...) cpu_shfl((m), (v), (int)((s) & 31), __FILE__, __LINE__)
#define __shfl_xor_sync(m, v, x, ...) \
  cpu_shfl((m), (v), (int)(cpu_lane() ^ (x)), __FILE__, __LINE__)
#define __shfl_down_sync(m, v, d, ...) \
  cpu_shfl((m), (v), (int)(cpu_lane() + (d)), __FILE__, __LINE__)
#define __shfl_up_sync(m, v, d, ...) \
  cpu_shfl((m), (v), (int)cpu_lane() - (int)(d), __FILE__, __LINE__)
NOTSAN inline unsigned cpu_ballot(unsigned m, int p, const char* f, int l) {
  unsigned char c = p != 0;
  const unsigned char* t = cpu_warp_exchange(m, &c, 1, f, l);
  unsigned r = 0;
  for (int i = 0; i < 32; i++)
    if ((m >> i) & 1) r |= (unsigned)t[64 * i] << i;
  return r;
}
#define __ballot_sync(m, p) cpu_ballot((m), (p), __FILE__, __LINE__)
template <class T>
inline T __ldg(const T* p) {
  return *p;
}
template <class T>
NOTSAN inline T atomicAdd(T* p, T v) {
  cpu_sync_atomic(p, sizeof(T));
  T o = *p;
  *p = o + v;
  return o;
}
template <class T>
NOTSAN inline T atomicMax(T* p, T v) {
  cpu_sync_atomic(p, sizeof(T));
  T o = *p;
  if (v > o) *p = v;
  return o;
}
template <class T>
NOTSAN inline T atomicExch(T* p, T v) {
  cpu_sync_atomic(p, sizeof(T));
  T o = *p;
  *p = v;
  return o;
}
template <class T>
NOTSAN inline T atomicCAS(T* p, T c, T v) {
  cpu_sync_atomic(p, sizeof(T));
  T o = *p;
  if (o == c) *p = v;
  return o;
}
static inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
#define __expf(x) expf(x) /* macros: glibc has its own (hidden) functions of these names */
#define __logf(x) logf(x)
#define __powf(x, y) powf((x), (y))
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline unsigned __float_as_uint(float f) {
  unsigned u;
  __builtin_memcpy(&u, &f, 4);
  return u;
}
static inline float __uint_as_float(unsigned u) {
  float f;
  __builtin_memcpy(&f, &u, 4);
  return f;
}
static inline int __float_as_int(float f) { return (int)__float_as_uint(f); }
static inline float __int_as_float(int u) { return __uint_as_float((unsigned)u); }
static inline unsigned __umulhi(unsigned a, unsigned b) {
  return (unsigned)(((unsigned long long)a * b) >> 32);
}
using std::max;
using std::min;
// ---- PTX helper twins (the .cu files only ever call these names, from ptx.cuh) ----
static inline unsigned cpu_rna_tf32(float f) {
  unsigned u = __float_as_uint(f);
  if ((u & 0x7f800000u) == 0x7f800000u) return u;
  return (u + 0x1000u) & 0xffffe000u;
}
NOTSAN inline void cpu_mma_m16n8k8_tf32(float* d, const unsigned* a, const unsigned* b,
                                        const char* f, int l) {
  struct {
    unsigned a[4], b[2];
  } v;
  for (int i = 0; i < 4; i++) v.a[i] = a[i] & 0xffffe000u;
  v.b[0] = b[0] & 0xffffe000u;
  v.b[1] = b[1] & 0xffffe000u;
  const unsigned char* t = cpu_warp_exchange(0xffffffffu, &v, sizeof v, f, l);
  int lane = (int)cpu_lane(), g = lane >> 2, q = lane & 3;
  for (int i = 0; i < 4; i++) {
    int hi = i >> 1, n = 2 * q + (i & 1);
    float s = d[i];
    for (int k = 0; k < 8; k++) {
      float av, bv;
      __builtin_memcpy(&av, t + 64 * (4 * g + (k & 3)) + 4 * (hi + 2 * (k >> 2)), 4);
      __builtin_memcpy(&bv, t + 64 * (4 * n + (k & 3)) + 16 + 4 * (k >> 2), 4);
      s += av * bv;
    }
    d[i] = s;
  }
}
NOTSAN inline void cpu_ldmatrix_x4(unsigned* r, const void* p, const char* f, int l) {
  if ((uintptr_t)p & 15) cpu_fail("%s:%d: ldmatrix row address not 16-byte aligned", f, l);
  unsigned char row[16];
  cpu_note(p, 16, 0);
  __builtin_memcpy(row, p, 16);
  const unsigned char* t = cpu_warp_exchange(0xffffffffu, row, 16, f, l);
  int lane = (int)cpu_lane();
  for (int j = 0; j < 4; j++)
    __builtin_memcpy(&r[j], t + 64 * (8 * j + (lane >> 2)) + 4 * (lane & 3), 4);
}
// ---- thunks: cpu_call(kernel, void** args) - args as for cuLaunchKernel ----
template <class... A, size_t... I>
NOTSAN __attribute__((noinline)) void cpu_call_(void (*f)(A...), void** a,
                                                std::index_sequence<I...>) {
  f(*(std::remove_const_t<A>*)a[I]...);
}
template <class... A>
NOTSAN inline void cpu_call(void (*f)(A...), void** a) {
  cpu_call_(f, a, std::index_sequence_for<A...>{});
}
