// Hopper's ways for threads to hand work to each other, as PTX (sm_90a alone) and for the emulator: bulk copies of boxes of an
// array, which a tensor map describes, mbarriers, which tell when they are here, barriers of some threads, and registers that
// pass from one warpgroup to another. (PTX ISA: "mbarrier", "cp.async.bulk.tensor", "bar", "setmaxnreg".)
//
// An mbarrier goes through phases, of parity 0, 1, 0 …; a phase ends once all threads it expects have arrived and all bytes
// that they announced have come. To wait for a parity is to wait until the last phase of that parity has ended: at first
// a wait for parity 1 does not wait.
#pragma once
#include "ptx.cuh"

using Mbarrier = uint64_t;  // in shared memory

#ifdef WEFT_EMULATOR
inline void mbarrier_init(Mbarrier* b, int threads, HERE) { emulator_mbarrier_init(b, threads, file, line); }
inline void mbarrier_init_fence() {}
inline void mbarrier_arrive(Mbarrier* b, HERE) { emulator_mbarrier_arrive(b, 0, file, line); }
inline void mbarrier_expect(Mbarrier* b, int bytes, HERE) { emulator_mbarrier_arrive(b, bytes, file, line); }
inline void mbarrier_wait(Mbarrier* b, int parity, HERE) { emulator_mbarrier_wait(b, parity, file, line); }
inline void barrier_sync(int number, int threads, HERE) { emulator_named_barrier(number, threads, true, file, line); }
inline void barrier_arrive(int number, int threads, HERE) { emulator_named_barrier(number, threads, false, file, line); }
template <int N> inline void more_registers() {}
template <int N> inline void fewer_registers() {}
inline void copy_box(void* shared, const TensorMap& map, int column, int row, int head, int batch, Mbarrier* b, HERE) {
    emulator_copy_tensor(shared, &map, {column, row, head, batch}, b, file, line);
}
inline void copy_bytes(void* shared, const void* global, int bytes, Mbarrier* b, HERE) {
    emulator_copy_bytes(shared, global, bytes, b, file, line);
}
inline void wait_until(int* flag, int value, HERE) {
    while (atomicAdd(flag, 0, file, line) != value) emulator_pause(file, line);
}
inline void announce(int* flag, int value, HERE) { atomicExch(flag, value, file, line); }

#else
struct alignas(128) TensorMap {  // CUtensorMap
    uint64_t words[16];
};

// Have it expect so many arrivals in each phase; `_fence`: before the block's next barrier, and then others may use it.
__device__ __forceinline__ void mbarrier_init(Mbarrier* b, int threads) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(threads) : "memory");
}
__device__ __forceinline__ void mbarrier_init_fence() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

__device__ __forceinline__ void mbarrier_arrive(Mbarrier* b) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(b)) : "memory");
}
// Arrive, and announce bytes that copies will bring.
__device__ __forceinline__ void mbarrier_expect(Mbarrier* b, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(b)), "r"(bytes) : "memory");
}
__device__ __forceinline__ void mbarrier_wait(Mbarrier* b, int parity) {
    asm volatile("{\n.reg .pred ended;\nagain:\nmbarrier.try_wait.parity.shared::cta.b64 ended, [%0], %1;\n@!ended bra again;\n}"
                 ::"r"(shared_address(b)), "r"(parity) : "memory");
}

// Barrier 1 … 15 of so many threads: wait for all of them, or be one of them and go on. The last to come is waited for alike.
__device__ __forceinline__ void barrier_sync(int number, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}
__device__ __forceinline__ void barrier_arrive(int number, int threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

// N registers for each thread of this warpgroup, all of whose threads come here.
template <int N> __device__ __forceinline__ void more_registers() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N)); }
template <int N> __device__ __forceinline__ void fewer_registers() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N)); }

// Start to copy the map's box from (batch, head, row, column) on to a panel (wgmma.cuh) at a multiple of 1024 bytes, zeros
// where the array has nothing: one thread asks, and the mbarrier hears of the bytes.
__device__ __forceinline__ void copy_box(void* shared, const TensorMap& map, int column, int row, int head, int batch, Mbarrier* b) {
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5}], [%6];"
                 ::"r"(shared_address(shared)), "l"(&map), "r"(column), "r"(row), "r"(head), "r"(batch), "r"(shared_address(b))
                 : "memory");
}

// The same of neighbouring bytes, a multiple of 16 from one multiple of 16 to another.
__device__ __forceinline__ void copy_bytes(void* shared, const void* global, int bytes, Mbarrier* b) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
                 ::"r"(shared_address(shared)), "l"(__cvta_generic_to_global(global)), "r"(bytes), "r"(shared_address(b))
                 : "memory");
}

// A flag in global memory by which blocks go in order: wait for a value; give it one. Whoever has seen it sees what was
// written before by the thread that gave it, and by those that met that thread at a barrier after `__threadfence`.
__device__ __forceinline__ void wait_until(const int* flag, int value) {
    int found;
    do asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(found) : "l"(__cvta_generic_to_global(flag)) : "memory");
    while (found != value);
}
__device__ __forceinline__ void announce(int* flag, int value) {
    asm volatile("st.release.gpu.global.s32 [%0], %1;" ::"l"(__cvta_generic_to_global(flag)), "r"(value) : "memory");
}
#endif
