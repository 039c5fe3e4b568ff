// What kernels, rewritten for the host, call in the emulator. The runtime itself is not instrumented.
#pragma once
#include <cstddef>
#include <cstdint>

struct emulator_dim3 {
    unsigned x, y, z;
};

// Constant within one thread of the grid, which is what the compiler is told.
__attribute__((const)) emulator_dim3 emulator_thread_index();
__attribute__((const)) emulator_dim3 emulator_block_index();
__attribute__((const)) emulator_dim3 emulator_block_dim();
__attribute__((const)) emulator_dim3 emulator_grid_dim();
__attribute__((const)) int emulator_lane();

void* emulator_shared(const void* key, std::size_t bytes, std::size_t align, std::size_t element, const char* name);
void* emulator_dynamic_shared(std::size_t align);

void emulator_barrier(const char* file, int line);
int emulator_barrier_count(int predicate, const char* file, int line);

// All 32 lanes meet here; the last to come runs `compute` on everybody's operand. Only __syncwarp, which has none, orders
// memory: shuffles, votes and matrix instructions do not.
using emulator_compute = void (*)(void* const* lanes);
void emulator_warp(void* operand, emulator_compute compute, const char* file, int line);

using emulator_update = void (*)(const void* old, const void* argument, void* result);
void emulator_atomic(void* p, void* was, const void* argument, std::size_t bytes, emulator_update, const char* file, int line);

// Checks of accesses that the instrumentation does not see. `lane` is whose access it is (-1: the caller's);
// not `counted`: another warp's request is this one's, too.
void emulator_reads(const void* p, std::size_t bytes, int lane, const char* file, int line, bool counted = true);
void emulator_aligned(const void* p, std::size_t bytes, const char* file = __builtin_FILE(), int line = __builtin_LINE());
[[noreturn]] void emulator_misuse(const char* what, const char* why, const char* file, int line);

// Asynchronous copies: nothing lands before the wait.
void emulator_copy_async(void* shared, const void* global, bool valid, const char* file, int line);
void emulator_copy_commit();
void emulator_copy_wait(int groups);

// What events.h and asynchronous.h have: mbarriers (`bytes` are announced), barriers of some threads, copies of a box of a
// tensor map, products of a warpgroup, which are computed at the wait (`operations`: of one warp, for the counters).
void emulator_mbarrier_init(void* barrier, int count, const char* file, int line);
void emulator_mbarrier_arrive(void* barrier, int64_t bytes, const char* file, int line);
void emulator_mbarrier_wait(void* barrier, int parity, const char* file, int line);
void emulator_named_barrier(int number, int count, bool waits, const char* file, int line);
void emulator_copy_tensor(void* shared, const void* map, const int (&at)[4], void* barrier, const char* file, int line);
void emulator_copy_bytes(void* shared, const void* global, int bytes, void* barrier, const char* file, int line);
void emulator_product(const void* operand, std::size_t bytes, emulator_compute compute, int operations, const char* file, int line);
void emulator_product_commit();
void emulator_product_wait(int groups, const char* file, int line);
void emulator_pause(const char* file, int line);  // for what another block does
