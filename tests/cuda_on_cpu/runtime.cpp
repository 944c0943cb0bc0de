// The fibers, barriers, warps and schedules behind cuda_on_cpu.h; with -DCUDA_CPU_RACE also a
// detector of races and of accesses outside the arrays of a launch, built on the calls that g++
// -fsanitize=thread puts before each access of the kernels (libtsan itself is not linked).
//
// The detector keeps, for each 4-byte word, its last writer and last two readers with their block,
// thread, barrier count and warp step. Two accesses of which one writes conflict unless a barrier,
// or for one warp a warp operation, lies between them; blocks are never ordered. That finds a
// missing barrier in any schedule, also in one where the result happens to be right.
#include <execinfo.h>
#include <setjmp.h>
#include <sys/mman.h>

#include <cstdarg>
#include <vector>

#include "cuda_on_cpu.h"
#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
extern "C" {
extern unsigned char __start_cuda_shared[] __attribute__((weak));
extern unsigned char __stop_cuda_shared[] __attribute__((weak));
}
extern "C" {
uint3 cpu_threadIdx, cpu_blockIdx;
dim3 cpu_blockDim, cpu_gridDim;
}
namespace {
enum St : unsigned char { READY, ATBAR, ATWARP, DONE };
struct Cp {
  void* dst;
  unsigned char data[16];
  int n;
};
struct Fiber {
  void* sp;
  St st;
  const char* file;
  int line;
  unsigned wep;
  uint3 tid;
  int warp;
  std::vector<std::vector<Cp>> groups;
  std::vector<Cp> open;
  void* asan;
};
struct Group {
  unsigned mask, arrived, gen;
  const char* file;
  int line;
  unsigned char tab[2][32 * 64];
};
std::vector<Fiber> F;
std::vector<Group> G;  // G: per warp 32 groups keyed by the lowest lane of the mask
char* stacks = nullptr;
size_t stack_sz = 0, stacks_len = 0;
int cur = -1, nthr = 0, nwait = 0, ndone = 0;
unsigned bep = 0;
void* main_sp;
void (*thunk)(void**);
void** kargs;
void* dyn = nullptr;
size_t dyn_n = 0;
int mode = 0;
uint64_t rng = 1;
jmp_buf errjmp;
char errmsg[2048];
uint64_t n_switch = 0;
bool preempt = false;
std::vector<std::pair<uintptr_t, uintptr_t>> bufs;
bool check_bounds = false;
inline uint64_t rnd() {
  rng ^= rng << 13;
  rng ^= rng >> 7;
  rng ^= rng << 17;
  return rng;
}
}  // namespace
extern "C" void cpu_switch(void** from, void* to);
asm(".text\n.globl cpu_switch\n.type cpu_switch,@function\ncpu_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\nmov %rsp,(%rdi)\nmov "
    "%rsi,%rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n.size "
    "cpu_switch,.-cpu_switch\n");
static void to_main() {
  n_switch++;
  int me = cur;
#if defined(__SANITIZE_ADDRESS__)
  extern const void* main_bot;
  extern size_t main_sz;
  __sanitizer_start_switch_fiber(F[me].st == DONE ? nullptr : &F[me].asan, main_bot, main_sz);
#endif
  cpu_switch(&F[me].sp, main_sp);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(F[me].asan, nullptr, nullptr);
#endif
}
const void* main_bot;
size_t main_sz;
static void fiber_main() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &main_bot, &main_sz);
#endif
  thunk(kargs);
  F[cur].st = DONE;
  ndone++;
  to_main();
  abort();
}
extern "C" {
void cpu_fail(const char* fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  int n =
      snprintf(errmsg, sizeof errmsg, "block (%u,%u,%u) thread (%u,%u,%u): ", cpu_blockIdx.x,
               cpu_blockIdx.y, cpu_blockIdx.z, cpu_threadIdx.x, cpu_threadIdx.y, cpu_threadIdx.z);
  vsnprintf(errmsg + n, sizeof errmsg - n, fmt, ap);
  va_end(ap);
#if defined(__SANITIZE_ADDRESS__)
  fprintf(stderr, "cuda_on_cpu: %s\n", errmsg);
  abort();
#else
  longjmp(errjmp, 1);
#endif
}
unsigned cpu_lane() { return (unsigned)cur & 31; }
void* cpu_dyn_smem() { return dyn; }
void cpu_barrier(const char* file, int line) {
  Fiber& f = F[cur];
  f.st = ATBAR;
  f.file = file;
  f.line = line;
  nwait++;
  to_main();
}
const unsigned char* cpu_warp_exchange(unsigned mask, const void* v, int n, const char* file,
                                       int line) {
  Fiber& f = F[cur];
  unsigned lane = cur & 31;
  if (nthr - (cur & ~31) < 32) mask &= (1u << (nthr - (cur & ~31))) - 1;
  if (!((mask >> lane) & 1))
    cpu_fail("%s:%d: lane %u not in its own mask %08x", file, line, lane, mask);
  Group& g = G[f.warp * 32 + __builtin_ctz(mask)];
  if (!g.arrived) {
    g.mask = mask;
    g.file = file;
    g.line = line;
  } else if (g.mask != mask || g.line != line)
    cpu_fail("%s:%d: divergent warp operation (others at line %d, masks %08x / %08x)", file, line,
             g.line, g.mask, mask);
  unsigned char* t = g.tab[g.gen & 1];
  memcpy(t + 64 * lane, v, n);
  g.arrived |= 1u << lane;
  if (g.arrived == mask) {
    g.arrived = 0;
    g.gen++;
    int b = cur & ~31;
    for (int i = 0; i < 32 && b + i < nthr; i++)
      if ((mask >> i) & 1) {
        F[b + i].wep++;
        if (F[b + i].st == ATWARP) F[b + i].st = READY;
      }
  } else {
    f.st = ATWARP;
    f.file = file;
    f.line = line;
    to_main();
  }
  return t;
}
void cpu_cp_async(void* dst, const void* src, int n, int src_n) {
  if (((uintptr_t)dst | (src_n ? (uintptr_t)src : 0)) & (n - 1))
    cpu_fail("cp.async: misaligned %d-byte copy", n);
  cpu_note(dst, n, 1);
  if (src_n) cpu_note(src, src_n, 0);
  Cp c;
  c.dst = dst;
  c.n = n;
  memset(c.data, 0, 16);
  if (src_n) memcpy(c.data, src, src_n);
  if (mode & 8) {
    memcpy(dst, c.data, n);
    return;
  }  // "early" schedule
  memset(dst, 0xff, n);
  F[cur].open.push_back(c);
}  // "late" schedule: NaN until waited for
void cpu_cp_commit() {
  Fiber& f = F[cur];
  f.groups.push_back(std::move(f.open));
  f.open.clear();
}
void cpu_cp_wait(int keep) {
  Fiber& f = F[cur];
  while ((int)f.groups.size() > keep) {
    for (Cp& c : f.groups.front()) memcpy(c.dst, c.data, c.n);
    f.groups.erase(f.groups.begin());
  }
}
// mode bits: 0 forward order, 1 reverse, 2 random; +4 preempt at random memory accesses (needs the
// tsan build); +8 cp.async lands early
__attribute__((visibility("default"))) int cuda_cpu_launch(
    void (*th)(void**), void** args, const unsigned* grid, const unsigned* block, unsigned smem,
    int md, uint64_t seed, const uint64_t* ranges, int nranges, char* msg, int msgn);
}
static void shadow_reset_launch();
static void shadow_reset_block();
__attribute__((no_sanitize("address"))) static void poison_shared() {
  if (__start_cuda_shared) {
    volatile unsigned char* p = __start_cuda_shared;  // 16-byte aligned by its widest member
    for (; p + 8 <= __stop_cuda_shared; p += 8) *(volatile uint64_t*)p = ~0ull;
    for (; p < __stop_cuda_shared; p++) *p = 0xff;
  }
  if (dyn) memset(dyn, 0xff, dyn_n);
}
static void run_fiber(int i) {
  cur = i;
  cpu_threadIdx = F[i].tid;
#if defined(__SANITIZE_ADDRESS__)
  void* fake;
  __sanitizer_start_switch_fiber(&fake, stacks + (size_t)i * stack_sz, stack_sz);
#endif
  cpu_switch(&main_sp, F[i].sp);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}
static void run_block() {
  poison_shared();
  shadow_reset_block();
  bep = 0;
  nwait = ndone = 0;
  for (int i = 0; i < nthr; i++) {
    Fiber& f = F[i];
    f.st = READY;
    f.wep = 0;
    f.groups.clear();
    f.open.clear();
    f.tid = {i % cpu_blockDim.x, (i / cpu_blockDim.x) % cpu_blockDim.y,
             i / (cpu_blockDim.x * cpu_blockDim.y)};
    f.warp = i >> 5;
    void** s = (void**)(stacks + (size_t)(i + 1) * stack_sz - 16);
    *--s = nullptr;
    *--s = (void*)fiber_main;
    for (int k = 0; k < 6; k++) *--s = nullptr;
    f.sp = s;
  }
  for (Group& g : G) {
    g.arrived = 0;
    g.gen = 0;
  }
  std::vector<int> order(nthr);
  for (int i = 0; i < nthr; i++) order[i] = (mode & 3) == 1 ? nthr - 1 - i : i;
  while (ndone < nthr) {
    bool any = false;
    if ((mode & 3) == 2)
      for (int i = nthr - 1; i > 0; i--) std::swap(order[i], order[rnd() % (i + 1)]);
    for (int k = 0; k < nthr; k++) {
      int i = order[k];
      if (F[i].st == READY) {
        any = true;
        run_fiber(i);
      }
    }
    if (nwait && nwait + ndone == nthr) {
      int first = -1;
      for (int i = 0; i < nthr; i++) {
        if (F[i].st == DONE)
          cpu_fail("thread %d exited before a barrier that %d threads wait at", i, nwait);
        if (first < 0)
          first = i;
        else if (F[i].line != F[first].line || F[i].file != F[first].file)
          cpu_fail("barrier divergence: thread %d at line %d, thread %d at line %d", first,
                   F[first].line, i, F[i].line);
      }
      for (int i = 0; i < nthr; i++) F[i].st = READY;
      nwait = 0;
      bep++;
      any = true;
    }
    if (!any && ndone < nthr) {
      for (int i = 0; i < nthr; i++)
        if (F[i].st == ATWARP) {
          cpu_fail("deadlock: thread %d waits for its warp at line %d", i, F[i].line);
        }
      cpu_fail("deadlock");
    }
  }
}
extern "C" int cuda_cpu_launch(void (*th)(void**), void** args, const unsigned* grid,
                               const unsigned* block, unsigned smem, int md, uint64_t seed,
                               const uint64_t* ranges, int nranges, char* msg, int msgn) {
  nthr = block[0] * block[1] * block[2];
  if (nthr < 1 || nthr > 1024) {
    snprintf(msg, msgn, "bad block size %d", nthr);
    return 2;
  }
  if (smem > 227 * 1024) {
    snprintf(msg, msgn, "too much dynamic shared memory");
    return 2;
  }
#if defined(__SANITIZE_ADDRESS__)
  size_t want = 256 << 10;
#else
  size_t want = 64 << 10;
#endif
  if (!stacks) {
    stack_sz = want;
    stacks_len = want * 1024;
    stacks = (char*)mmap(nullptr, stacks_len, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  }
  F.resize(nthr);
  G.resize((nthr + 31) / 32 * 32);
  thunk = th;
  kargs = args;
  mode = md;
  rng = seed * 0x9E3779B97F4A7C15ull + 0x1234567;
  n_switch = 0;
  preempt = md & 4;
  bufs.clear();
  for (int i = 0; i < nranges; i++)
    bufs.push_back({ranges[2 * i], ranges[2 * i] + ranges[2 * i + 1]});
  check_bounds = nranges > 0;
  cpu_blockDim = dim3(block[0], block[1], block[2]);
  cpu_gridDim = dim3(grid[0], grid[1], grid[2]);
  free(dyn);
  dyn = nullptr;
  dyn_n = smem;
  if (smem && posix_memalign(&dyn, 128, smem)) return 2;
  shadow_reset_launch();
  if (setjmp(errjmp)) {
    snprintf(msg, msgn, "%s", errmsg);
    cur = -1;
    return 1;
  }
  uint64_t nb = (uint64_t)grid[0] * grid[1] * grid[2];
  for (uint64_t j = 0; j < nb; j++) {
    uint64_t b = (mode & 3) == 1 ? nb - 1 - j : j;
    cpu_blockIdx = {(unsigned)(b % grid[0]), (unsigned)(b / grid[0] % grid[1]),
                    (unsigned)(b / ((uint64_t)grid[0] * grid[1]))};
    run_block();
  }
  cur = -1;
  return 0;
}
// ---------------- race + bounds detector: our own __tsan_* hooks (kernel TU built with
// -fsanitize=thread, libtsan NOT linked) ----------------
#ifdef CUDA_CPU_RACE
static bool is_module(uintptr_t a);
namespace {
struct Sh {
  uintptr_t key;
  uint32_t wb, wt, we, ww, r1b, r1t, r1e, r1w, r2t, r2e;
  uint64_t gen;
  bool watom;
};
std::vector<Sh> H(1 << 12);
size_t hn = 0;
uint64_t gen_launch = 1, gen_block = 1;
inline bool in_shared(uintptr_t a) {
  return (__start_cuda_shared && a >= (uintptr_t)__start_cuda_shared &&
          a < (uintptr_t)__stop_cuda_shared) ||
         (dyn && a >= (uintptr_t)dyn && a < (uintptr_t)dyn + dyn_n);
}
Sh& slot(uintptr_t k) {
  size_t m = H.size() - 1, h = (k * 0x9E3779B97F4A7C15ull >> 20) & m;
  while (H[h].key && H[h].key != k) h = (h + 1) & m;
  if (!H[h].key) {
    if (hn * 2 > H.size()) {
      std::vector<Sh> o(H.size() * 2);
      o.swap(H);
      hn = 0;
      for (Sh& s : o)
        if (s.key) slot(s.key) = s;
      return slot(k);
    }
    H[h].key = k;
    H[h].gen = 0;
    hn++;
  }
  return H[h];
}
[[noreturn]] void race(const char* what, uintptr_t a, uint32_t t, bool shm, void* pc) {
  cpu_fail("RACE %s at %s address %p with thread %u [pc %p]", what, shm ? "shared" : "global",
           (void*)a, t, pc);
}
void acc(uintptr_t a, int n, bool wr, void* pc, bool atom = false) {
  if (cur < 0) return;
  if (a >= (uintptr_t)stacks && a < (uintptr_t)stacks + stacks_len) return;
  if (a >= (uintptr_t)&cpu_threadIdx - 64 && a < (uintptr_t)&cpu_threadIdx + 128) return;
  bool shm = in_shared(a);
  if (!shm) {
    bool ok = false;
    for (auto& b : bufs)
      if (a >= b.first && a + n <= b.second) {
        ok = true;
        break;
      }
    if (!ok) {
      if (check_bounds) {
        if (a >= (uintptr_t)kargs && a < (uintptr_t)kargs + 4096) return;
        if (is_module(a)) return;
        cpu_fail("OUT OF BOUNDS %d-byte %s of global address %p [pc %p]", n, wr ? "store" : "load",
                 (void*)a, pc);
      }
      return;
    }
  }
  uint32_t blk = cpu_blockIdx.x + cpu_gridDim.x * (cpu_blockIdx.y + cpu_gridDim.y * cpu_blockIdx.z);
  Fiber& f = F[cur];
  uint64_t g = shm ? gen_block : gen_launch;
  uint32_t me = cur;
  for (uintptr_t w = a & ~3ull; w < a + n; w += 4) {
    Sh& s = slot(w);
    if (s.gen != g) {
      s.gen = g;
      s.wt = s.r1t = s.r2t = ~0u;
    }
    auto unordered = [&](uint32_t t, uint32_t b, uint32_t e, uint32_t wp) {
      return t != ~0u && (b != blk || (t != me && e == bep && (t / 32 != me / 32 || wp == f.wep)));
    };
    if (!(atom && s.watom) && unordered(s.wt, s.wb, s.we, s.ww))
      race(wr ? "write after write" : "read after write", a, s.wt, shm, pc);
    if (wr) {
      if (!atom && (unordered(s.r1t, s.r1b, s.r1e, s.r1w) ||
                    (s.r2t != ~0u && s.r1b == blk && s.r2e == bep && s.r2t / 32 != me / 32)))
        race("write after read", a, s.r1t, shm, pc);
      s.wt = me;
      s.wb = blk;
      s.we = bep;
      s.ww = f.wep;
      s.watom = atom;
    } else {
      if (s.r1t != ~0u && s.r1t / 32 != me / 32) {
        s.r2t = s.r1t;
        s.r2e = s.r1e;
      }
      s.r1t = me;
      s.r1b = blk;
      s.r1e = bep;
      s.r1w = f.wep;
    }
  }
  if (preempt && (rnd() & 15) == 0 && F[cur].st == READY) {
    to_main();
  }
}
}  // namespace
#include <link.h>
static uintptr_t mod_lo = 0, mod_hi = 0;
static bool is_module(uintptr_t a) {
  if (!mod_lo)
    dl_iterate_phdr(
        [](dl_phdr_info* i, size_t, void*) {
          uintptr_t lo = ~0ull, hi = 0;
          for (int k = 0; k < i->dlpi_phnum; k++)
            if (i->dlpi_phdr[k].p_type == PT_LOAD) {
              uintptr_t s = i->dlpi_addr + i->dlpi_phdr[k].p_vaddr;
              lo = std::min(lo, s);
              hi = std::max(hi, s + i->dlpi_phdr[k].p_memsz);
            }
          if ((uintptr_t)&is_module >= lo && (uintptr_t)&is_module < hi) {
            mod_lo = lo;
            mod_hi = hi;
          }
          return 0;
        },
        nullptr);
  return a >= mod_lo && a < mod_hi;
}
static void shadow_reset_launch() {
  gen_launch = gen_block + 1;
  gen_block = gen_launch;
}
static void shadow_reset_block() { gen_block++; }
#define PC __builtin_return_address(0)
extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
#define H2(n)                                                                 \
  void __tsan_read##n(void* p) { acc((uintptr_t)p, n, false, PC); }           \
  void __tsan_write##n(void* p) { acc((uintptr_t)p, n, true, PC); }           \
  void __tsan_unaligned_read##n(void* p) { acc((uintptr_t)p, n, false, PC); } \
  void __tsan_unaligned_write##n(void* p) { acc((uintptr_t)p, n, true, PC); }
H2(1) H2(2) H2(4) H2(8) H2(16) void __tsan_read_range(void* p, size_t n) {
  acc((uintptr_t)p, (int)n, false, PC);
}
void __tsan_write_range(void* p, size_t n) { acc((uintptr_t)p, (int)n, true, PC); }
void __tsan_vptr_update(void*, void*) {}
int __tsan_atomic8_load(const volatile void* p, int) { return *(const volatile char*)p; }
void cpu_sync_atomic(const void* p, int n) { acc((uintptr_t)p, n, true, PC, true); }
void cpu_note(const void* p, int n, int wr) { acc((uintptr_t)p, n, wr, PC); }
}
#else
static void shadow_reset_launch() {}
static void shadow_reset_block() {}
extern "C" void cpu_sync_atomic(const void*, int) {}
extern "C" void cpu_note(const void*, int, int) {}
#endif
