// Hopper's asynchronous products of a warpgroup (four warps), as PTX (sm_90a alone) and as portable C++.
//
// A is 64 × 16, B 16 × N, D 64 × N in float. Warp w of the group owns rows 16·w … 16·w + 15 of A and D, in the fragments of
// `mma_m16n8k16` (ptx.cuh): d[j] is the tile of columns 8·j … 8·j + 7. B, and A where it is not in registers, lie in shared
// memory in panels of 64 values (128 bytes) by rows, whose 16-byte chunks are permuted (chunk c of row r lies at c ^ r % 8);
// panels start at multiples of 1024 bytes.
//
//     by rows      a row of the panel is a row of A, or a column of B, and its values run along the 16
//     transposed   a row of the panel is a row of B, and its values are of 64 columns; the next 64 are one panel further
//
// (PTX ISA, "Asynchronous Warpgroup Level Matrix Multiply-Accumulate": matrix descriptors, 128-byte swizzling.)
#pragma once
#include "ptx.cuh"

constexpr int PANEL_ROW = 128, PANEL_STEP = 1024;  // bytes of a row, and of eight

#ifdef WEFT_EMULATOR
// An operand in shared memory: where its first value is, and how many bytes apart panels are.
struct Operand {
    const unsigned char* at;
    int panel;
    Operand operator+(int bytes) const { return {at + bytes, panel}; }
};
inline Operand operand(const unsigned char* at, int panel) { return {at, panel}; }

struct emulator_group {
    float (*d)[4];
    const uint32_t* a;  // null: in shared memory, too
    Operand first, second;
    bool add, counts;  // counts: of the four warps, the one whose reads of B are the group's
    const char* file;
    int line;
};

// Eight neighbours of a permuted panel.
inline void emulator_chunk(uint16_t (&to)[8], const unsigned char* from, int lane, bool counts, const emulator_group& g) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(from), permuted = address ^ (address >> 7 & 7) << 4;
    const void* p = reinterpret_cast<const void*>(permuted);
    emulator_reads(p, 16, lane, g.file, g.line, counts);
    memcpy(to, p, 16);
}

template <typename T, int N, bool TRANSPOSED, bool TRANSPOSED_A = false> inline void emulator_wgmma(void* const* lanes) {
    float a[16][16], b[16][8];
    uint16_t eight[8];
    const auto& any = *static_cast<const emulator_group*>(lanes[0]);
    for (int lane = 0; lane < 32; ++lane) {
        const auto* one = static_cast<const emulator_group*>(lanes[lane]);
        if (any.a) {
            for (int r = 0; r < 4; ++r)
                for (int half = 0; half < 2; ++half)
                    a[lane / 4 + 8 * (r & 1)][2 * (lane % 4) + half + 8 * (r >> 1)] = emulator_part<T>(one->a[r], half);
        } else {
            emulator_chunk(eight, any.first.at + lane % 16 * PANEL_ROW + lane / 16 * 16, lane, true, any);
            for (int i = 0; i < 8; ++i)
                (TRANSPOSED_A ? a[lane / 16 * 8 + i][lane % 16] : a[lane % 16][lane / 16 * 8 + i]) = to_float(emulator_bits<T>(eight[i]));
        }
    }
    for (int j = 0; j < N / 8; ++j) {
        for (int c = 0; c < 16; ++c) {
            const int row = TRANSPOSED ? c : 8 * j + c % 8, column = TRANSPOSED ? 8 * j % 64 : c / 8 * 8;
            const int panel = TRANSPOSED ? 8 * j / 64 * any.second.panel : 0;
            emulator_chunk(eight, any.second.at + panel + row * PANEL_ROW + column * 2, c, any.counts, any);
            for (int i = 0; i < 8; ++i)
                (TRANSPOSED ? b[c][i] : b[column + i][c % 8]) = to_float(emulator_bits<T>(eight[i]));
        }
        for (int lane = 0; lane < 32; ++lane) {
            const auto* one = static_cast<const emulator_group*>(lanes[lane]);
            for (int e = 0; e < 4; ++e) {
                float sum = one->add ? one->d[j][e] : 0.0f;
                for (int k = 0; k < 16; ++k) sum += a[lane / 4 + e / 2 * 8][k] * b[k][lane % 4 * 2 + e % 2];
                one->d[j][e] = sum;
            }
        }
    }
}

template <typename T, bool ADD, int TILES> inline void wgmma(float (&d)[TILES][4], Operand a, Operand b, HERE) {
    const int warp = threadIdx.x / 32 % 4;
    emulator_group mine{d, nullptr, a + warp * 16 * PANEL_ROW, b, ADD, warp == 0, file, line};
    emulator_product(&mine, sizeof mine, emulator_wgmma<T, 8 * TILES, false>, 4096 * TILES, file, line);
}
template <typename T, int TILES> inline void wgmma_transposed(float (&d)[TILES][4], const uint32_t (&a)[4], Operand b, HERE) {
    emulator_group mine{d, a, b, b, true, threadIdx.x / 32 % 4 == 0, file, line};
    emulator_product(&mine, sizeof mine, emulator_wgmma<T, 8 * TILES, true>, 4096 * TILES, file, line);
}
template <typename T, bool ADD, int TILES> inline void wgmma_columns(float (&d)[TILES][4], Operand a, Operand b, HERE) {
    const int warp = threadIdx.x / 32 % 4;
    emulator_group mine{d, nullptr, a + warp * 32, b, ADD, warp == 0, file, line};
    emulator_product(&mine, sizeof mine, emulator_wgmma<T, 8 * TILES, true, true>, 4096 * TILES, file, line);
}
inline void wgmma_fence() {}
inline void wgmma_commit() { emulator_product_commit(); }
template <int N, int TILES> inline void wgmma_wait(float (&)[TILES][4], HERE) { emulator_product_wait(N, file, line); }
inline void fence_async_proxy() {}

#else
// The lower half of a matrix descriptor; the upper is the same for all. To go on by a number of bytes is one addition.
struct Operand {
    uint32_t low;
    __device__ __forceinline__ Operand operator+(int bytes) const { return {low + (bytes >> 4)}; }
};
__device__ __forceinline__ Operand operand(const unsigned char* at, int panel) {
    return {(shared_address(at) & 0x3ffffu) >> 4 | static_cast<uint32_t>(panel >> 4) << 16};
}
__device__ __forceinline__ uint64_t descriptor(Operand o) {
    uint64_t whole;
    asm("mov.b64 %0, {%1, %2};" : "=l"(whole) : "r"(o.low), "n"(PANEL_STEP >> 4 | 1 << 30));
    return whole;
}

// The registers of 8 or 16 tiles: "+f" if they are read, too, "=f" if not.
#define F4(f, d, i) f(d[i][0]), f(d[i][1]), f(d[i][2]), f(d[i][3])
#define F16(f, d, i) F4(f, d, i), F4(f, d, i + 1), F4(f, d, i + 2), F4(f, d, i + 3)
#define F32(f, d) F16(f, d, 0), F16(f, d, 4)
#define F64(f, d) F32(f, d), F16(f, d, 8), F16(f, d, 12)
#define LIST32                                                                                                  \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, " \
    "%23, %24, %25, %26, %27, %28, %29, %30, %31"
#define LIST64                                                                                                            \
    LIST32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, " \
           "%53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"

template <typename T> constexpr bool IS_HALF = false;
template <> constexpr bool IS_HALF<__half> = true;

#define WGMMA(n, type, list, outputs, operands, add, transposed)                                                                      \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add ", 0;\nwgmma.mma_async.sync.aligned.m64n" n "k16.f32." type "." type \
                 " {" list "}, " operands ", p, 1, 1, " transposed ", " transposed ";\n}"                                                           \
                 : outputs                                                                                                \
                 : "l"(descriptor(a)), "l"(descriptor(b)))
#define WGMMA_TRANSPOSED(n, type, list, outputs, operands)                                                                \
    asm volatile("wgmma.mma_async.sync.aligned.m64n" n "k16.f32." type "." type " {" list "}, " operands ", 1, 1, 1, 1;"     \
                 : outputs                                                                                                \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(descriptor(b)))

// d = a bᵀ, or += with ADD; a and b lie by rows, `a` from the group's first row on. What is not added to must not be an
// operand that is read: to give it a value would make the compiler wait for the products under way.
template <typename T, bool ADD, int TILES> __device__ __forceinline__ void wgmma(float (&d)[TILES][4], Operand a, Operand b) {
    if constexpr (TILES == 16 && ADD && IS_HALF<T>) WGMMA("128", "f16", LIST64, F64("+f", d), "%64, %65", "1", "0");
    if constexpr (TILES == 16 && ADD && !IS_HALF<T>) WGMMA("128", "bf16", LIST64, F64("+f", d), "%64, %65", "1", "0");
    if constexpr (TILES == 16 && !ADD && IS_HALF<T>) WGMMA("128", "f16", LIST64, F64("=f", d), "%64, %65", "0", "0");
    if constexpr (TILES == 16 && !ADD && !IS_HALF<T>) WGMMA("128", "bf16", LIST64, F64("=f", d), "%64, %65", "0", "0");
    if constexpr (TILES == 8 && ADD && IS_HALF<T>) WGMMA("64", "f16", LIST32, F32("+f", d), "%32, %33", "1", "0");
    if constexpr (TILES == 8 && ADD && !IS_HALF<T>) WGMMA("64", "bf16", LIST32, F32("+f", d), "%32, %33", "1", "0");
    if constexpr (TILES == 8 && !ADD && IS_HALF<T>) WGMMA("64", "f16", LIST32, F32("=f", d), "%32, %33", "0", "0");
    if constexpr (TILES == 8 && !ADD && !IS_HALF<T>) WGMMA("64", "bf16", LIST32, F32("=f", d), "%32, %33", "0", "0");
}

// d = aᵀ b, or += with ADD; both are transposed: a row of their panels has 64 values of a row of d, and as many of a column.
template <typename T, bool ADD> __device__ __forceinline__ void wgmma_columns(float (&d)[8][4], Operand a, Operand b) {
    if constexpr (ADD && IS_HALF<T>) WGMMA("64", "f16", LIST32, F32("+f", d), "%32, %33", "1", "1");
    if constexpr (ADD && !IS_HALF<T>) WGMMA("64", "bf16", LIST32, F32("+f", d), "%32, %33", "1", "1");
    if constexpr (!ADD && IS_HALF<T>) WGMMA("64", "f16", LIST32, F32("=f", d), "%32, %33", "0", "1");
    if constexpr (!ADD && !IS_HALF<T>) WGMMA("64", "bf16", LIST32, F32("=f", d), "%32, %33", "0", "1");
}

// d += a b, a in the registers of its warps, b transposed.
template <typename T, int TILES>
__device__ __forceinline__ void wgmma_transposed(float (&d)[TILES][4], const uint32_t (&a)[4], Operand b) {
    if constexpr (TILES == 16 && IS_HALF<T>)
        WGMMA_TRANSPOSED("128", "f16", LIST64, F64("+f", d), "{%64, %65, %66, %67}, %68");
    if constexpr (TILES == 16 && !IS_HALF<T>)
        WGMMA_TRANSPOSED("128", "bf16", LIST64, F64("+f", d), "{%64, %65, %66, %67}, %68");
    if constexpr (TILES == 8 && IS_HALF<T>) WGMMA_TRANSPOSED("64", "f16", LIST32, F32("+f", d), "{%32, %33, %34, %35}, %36");
    if constexpr (TILES == 8 && !IS_HALF<T>) WGMMA_TRANSPOSED("64", "bf16", LIST32, F32("+f", d), "{%32, %33, %34, %35}, %36");
}

// Registers that products read or add to were written before this. Close a group of products; wait until at most N groups
// are under way, after which `d` has what the older ones computed.
__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N, int TILES> __device__ __forceinline__ void wgmma_wait(float (&d)[TILES][4]) {
    if constexpr (TILES == 16)
        asm volatile("wgmma.wait_group.sync.aligned %64;" : F64("+f", d) : "n"(N) : "memory");
    else
        asm volatile("wgmma.wait_group.sync.aligned %32;" : F32("+f", d) : "n"(N) : "memory");
}

// What this thread wrote to shared memory, by `cp.async` too, is seen by products that start after the next barrier.
__device__ __forceinline__ void fence_async_proxy() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
#endif
