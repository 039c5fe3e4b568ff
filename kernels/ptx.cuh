// Tensor-core products, matrix loads and asynchronous copies: each as PTX (sm_80 and later) and as portable C++.
//
// The fragments of one warp (PTX ISA, "Matrix Fragments for mma.m16n8k16 with .f16/.bf16"); lane = 4·group + member:
//
//     a (16 × 16)   register r holds row group + 8·(r & 1), columns 2·member + 8·(r >> 1) and the next
//     b (16 × 8)    register r holds rows 2·member + 8·r and the next, column group
//     d (16 × 8)    d[0], d[1]: row group, columns 2·member and the next; d[2], d[3]: row group + 8
//
// Two 16-bit values share a register, the first in the low half.
#pragma once
#include "common.cuh"

#ifdef WEFT_EMULATOR
#include "emulator/ptx.h"
#else

__device__ __forceinline__ uint32_t shared_address(const void* p) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// Four 8 × 8 matrices of 16-bit values: lane 8·i + j supplies the address of row j of matrix i (16 bytes, 16-byte
// aligned); r[i] gets row `group`, columns 2·member and the next, of matrix i. `_trans`: of its transpose.
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// d += a b, with float accumulation; T is __half or __nv_bfloat16.
template <typename T> __device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

template <>
__device__ __forceinline__ void mma_m16n8k16<__half>(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <>
__device__ __forceinline__ void mma_m16n8k16<__nv_bfloat16>(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Copy 16 bytes from global to shared memory behind the thread's back; zeros if not `valid` (then `global` is not read).
// What was copied may be read after `cp_async_wait` by this thread, and after a barrier as well by others. `_cached`: it stays
// in the L1 cache for others who copy the same, which takes bandwidth from shared memory.
__device__ __forceinline__ void cp_async_16(void* shared, const void* global, bool valid = true) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(shared_address(shared)), "l"(__cvta_generic_to_global(global)), "r"(valid ? 16 : 0)
                 : "memory");
}

__device__ __forceinline__ void cp_async_16_cached(void* shared, const void* global, bool valid = true) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(shared_address(shared)), "l"(__cvta_generic_to_global(global)), "r"(valid ? 16 : 0)
                 : "memory");
}

// Close the group of the copies asked for since the last commit; wait until at most N groups are still under way.
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> __device__ __forceinline__ void cp_async_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

// 16 bytes of global memory that no one writes to, zeros if not `valid` (then `from` is not read). The compiler's own choice between
// what was read and zeros waits for the former.
__device__ __forceinline__ void load_16_or_zeros(uint32_t (&r)[4], const void* from, bool valid) {
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %5, 0;\n"
                 "mov.b32 %0, 0; mov.b32 %1, 0; mov.b32 %2, 0; mov.b32 %3, 0;\n"
                 "@p ld.global.nc.v4.b32 {%0, %1, %2, %3}, [%4]; }"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "l"(__cvta_generic_to_global(from)), "r"(static_cast<int>(valid)));
}

// x, of which the compiler is told that it may be another: what is made of it in a loop is not made, and kept, before the loop.
__device__ __forceinline__ unsigned anew(unsigned x) {
    asm volatile("" : "+r"(x));
    return x;
}

// to[0] += x, to[1] += y in global memory, by whichever thread comes first; `to` is 8-byte aligned.
__device__ __forceinline__ void atomic_add_2(float* to, float x, float y) {
#if __CUDA_ARCH__ >= 900
    asm volatile("red.global.add.v2.f32 [%0], {%1, %2};" ::"l"(__cvta_generic_to_global(to)), "f"(x), "f"(y) : "memory");
#else
    atomicAdd(to, x);
    atomicAdd(to + 1, y);
#endif
}

#endif

// left, right += a times the two b fragments, 8 columns each, that an `ldmatrix_x4` has left next to each other.
template <typename T>
__device__ __forceinline__ void mma_m16n16k16(float (&left)[4], float (&right)[4], const uint32_t (&a)[4], const uint32_t (&b)[4]) {
    const uint32_t low[2] = {b[0], b[1]}, high[2] = {b[2], b[3]};
    mma_m16n8k16<T>(left, a, low);
    mma_m16n8k16<T>(right, a, high);
}

// Two values rounded to T, as one register.
template <typename T> __device__ __forceinline__ uint32_t pack2(float low, float high) {
    Vec<T, 2> pair{{from_float<T>(low), from_float<T>(high)}};
    uint32_t bits;
    memcpy(&bits, &pair, 4);
    return bits;
}
