// What every kernel uses: storage types, 16-byte vectors, reductions over a warp and over a block.
//
// half and bfloat16 are storage types: `to_float` on the way in, float arithmetic, `from_float<T>` (round to nearest,
// ties to even) on the way out. Reductions add in a fixed order, so results are the same every time.
#pragma once

#ifndef WEFT_EMULATOR
#include <cuda_bf16.h>
#include <cuda_fp16.h>
using uint8_t = unsigned char;
using uint16_t = unsigned short;
using int32_t = int;
using uint32_t = unsigned int;
using int64_t = long long;
using uint64_t = unsigned long long;
#endif

#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif
#ifndef NAN
#define NAN __int_as_float(0x7fffffff)
#endif

constexpr unsigned FULL = 0xffffffffu;  // all lanes of a warp take part
#define LANE (threadIdx.x & 31)

__host__ __device__ constexpr long long ceil_div(long long a, long long b) { return (a + b - 1) / b; }

// --- storage types ---------------------------------------------------------------------------------------------------
__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__half x) { return __half2float(x); }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename T> __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) { return x; }
template <> __device__ __forceinline__ __half from_float<__half>(float x) { return __float2half_rn(x); }
template <> __device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float x) { return __float2bfloat16_rn(x); }

// N neighbours that move in one access of sizeof(T)·N bytes (a power of two, at most 16) from an address divisible by it.
template <typename T, int N> struct alignas(sizeof(T) * N) Vec {
    T at[N];
};

template <int N, typename T> __device__ __forceinline__ Vec<T, N> load(const T* from) {
#ifdef WEFT_EMULATOR
    emulator_aligned(from, sizeof(T) * N);
#endif
    return *reinterpret_cast<const Vec<T, N>*>(from);
}

template <typename T, int N> __device__ __forceinline__ void store(T* to, const Vec<T, N>& v) {
#ifdef WEFT_EMULATOR
    emulator_aligned(to, sizeof(T) * N);
#endif
    *reinterpret_cast<Vec<T, N>*>(to) = v;
}

template <typename T> constexpr int VECTOR = 16 / sizeof(T);  // how many T one access moves at most

// The neighbours as floats. bfloat16 is the upper half of a float: two in a word take one instruction each, not one and a half.
template <typename T, int N> __device__ __forceinline__ void to_floats(float* to, const Vec<T, N>& v) {
#pragma unroll
    for (int k = 0; k < N; ++k) to[k] = to_float(v.at[k]);
}

template <int N> __device__ __forceinline__ void to_floats(float* to, const Vec<__nv_bfloat16, N>& v) {
    if constexpr (N == 1) to[0] = to_float(v.at[0]);
    else {
#pragma unroll
        for (int k = 0; k < N; k += 2) {
            uint32_t pair;
            memcpy(&pair, v.at + k, 4);
            to[k] = __uint_as_float(pair << 16);
            to[k + 1] = __uint_as_float(pair & 0xffff0000u);
        }
    }
}

// --- reductions ------------------------------------------------------------------------------------------------------
struct Add {
    static __device__ __forceinline__ float none() { return 0; }
    static __device__ __forceinline__ float join(float a, float b) { return a + b; }
};

struct Larger {
    static __device__ __forceinline__ float none() { return -INFINITY; }
    static __device__ __forceinline__ float join(float a, float b) { return fmaxf(a, b); }
};

template <typename Operation> __device__ __forceinline__ float warp_reduce(float v) {  // the same bits in every lane
#pragma unroll
    for (int step = 16; step > 0; step /= 2) v = Operation::join(v, __shfl_xor_sync(FULL, v, step));
    return v;
}

// Over a block of THREADS threads (one-dimensional, a multiple of 32); every thread gets the result. Contains barriers:
// all threads call it. The first barrier protects `partial` from the previous call's readers.
template <typename Operation, int THREADS> __device__ __forceinline__ float block_reduce(float v) {
    static_assert(THREADS % 32 == 0 && THREADS <= 1024, "a block is whole warps");
    v = warp_reduce<Operation>(v);
    if constexpr (THREADS == 32) return v;
    __shared__ float partial[THREADS / 32];
    __syncthreads();
    if (LANE == 0) partial[threadIdx.x / 32] = v;
    __syncthreads();
    v = Operation::none();
#pragma unroll
    for (int w = 0; w < THREADS / 32; ++w) v = Operation::join(v, partial[w]);
    return v;
}

__device__ __forceinline__ float warp_sum(float v) { return warp_reduce<Add>(v); }
__device__ __forceinline__ float warp_max(float v) { return warp_reduce<Larger>(v); }
template <int THREADS> __device__ __forceinline__ float block_sum(float v) { return block_reduce<Add, THREADS>(v); }
template <int THREADS> __device__ __forceinline__ float block_max(float v) { return block_reduce<Larger, THREADS>(v); }

// Σ over k of partial (count, width), for the block's 32 columns, always in the same order: its WARPS warps take turns at k,
// then their sums are added. Each lane of the first warp gets that of the column blockIdx.x · 32 + LANE.
template <int WARPS> __device__ __forceinline__ float column_sum(const float* partial, int count, int width) {
    __shared__ float of_warps[WARPS][32];
    const int column = blockIdx.x * 32 + LANE, warp = threadIdx.x / 32;
    float sum = 0;
    if (column < width) {
#pragma unroll 4
        for (int k = warp; k < count; k += WARPS) sum += partial[static_cast<long long>(k) * width + column];
    }
    of_warps[warp][LANE] = sum;
    __syncthreads();
    if (warp == 0) {
#pragma unroll 8
        for (int w = 1; w < WARPS; ++w) sum += of_warps[w][LANE];
    }
    return sum;
}
