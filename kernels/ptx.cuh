// The only inline PTX of these kernels: asynchronous copies to shared memory and TF32 products on
// the tensor cores. Both need compute capability 8.0; a kernel that uses them stands inside
// #ifdef ASYNC_COPIES and is absent from code for older GPUs.
//
// With CUDA_ON_CPU (tests/cuda_on_cpu) the same names are functions of the emulator.
#pragma once

#if defined(CUDA_ON_CPU)

#define ASYNC_COPIES
#define cp_async_16(to, from, inside) cpu_cp_async((to), (from), 16, (inside) ? 16 : 0)
#define cp_async_4(to, from, inside) cpu_cp_async((to), (from), 4, (inside) ? 4 : 0)
#define cp_async_commit() cpu_cp_commit()
#define cp_async_wait(newest) cpu_cp_wait(newest)
#define ldmatrix_x4(parts, row) cpu_ldmatrix_x4((parts), (row), __FILE__, __LINE__)
#define to_tf32(value) cpu_rna_tf32(value)
#define mma_tf32(d, a, b) cpu_mma_m16n8k8_tf32((d), (a), (b), __FILE__, __LINE__)

#elif !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

#define ASYNC_COPIES

// Copies 16 or 4 bytes from global to shared memory, or writes zeros and reads nothing: then `from`
// may point anywhere. The 16 bytes bypass L1; the 4 bytes, which neighbours share, do not.
__device__ __forceinline__ void cp_async_16(void* to, const void* from, bool inside) {
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((unsigned)__cvta_generic_to_shared(to)),
      "l"(from), "r"(inside ? 16 : 0)
      : "memory");
}

__device__ __forceinline__ void cp_async_4(void* to, const void* from, bool inside) {
  asm volatile(
      "cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"((unsigned)__cvta_generic_to_shared(to)),
      "l"(from), "r"(inside ? 4 : 0)
      : "memory");
}

// Ends a group of this thread's copies; cp_async_wait(n) waits for all groups but the newest n.
__device__ __forceinline__ void cp_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

#define cp_async_wait(newest) asm volatile("cp.async.wait_group %0;" ::"n"(newest) : "memory")

// Reads four 8x4 matrices of floats. Lane i gives the address of row i % 8 of matrix i / 8, 16
// bytes aligned; parts[m] is element (lane / 4, lane % 4) of matrix m.
__device__ __forceinline__ void ldmatrix_x4(unsigned* parts, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(parts[0]), "=r"(parts[1]), "=r"(parts[2]), "=r"(parts[3])
               : "r"((unsigned)__cvta_generic_to_shared(row))
               : "memory");
}

// The nearest number with TF32's 10 bits of mantissa, halves away from zero.
__device__ __forceinline__ unsigned to_tf32(float value) {
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return bits;
}

// D += A B of one warp, A 16x8, B 8x8. With g = lane / 4 and q = lane % 4 a lane holds
// a = A[g][q], A[g+8][q], A[g][q+4], A[g+8][q+4]; b = B[q][g], B[q+4][g];
// d = D[g][2q], D[g][2q+1], D[g+8][2q], D[g+8][2q+1].
__device__ __forceinline__ void mma_tf32(float* d, const unsigned* a, const unsigned* b) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#endif
