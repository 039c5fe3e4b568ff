// A warp's part of a tile whose columns no other warp needs, or just one: they go from global memory to registers.
//
// Shared memory would have each of them written once and read once, for 64 products. So it holds the rows alone, for all warps.
// Terms of a sum may come in any order, if it is the same in rows and columns: a lane has those that lie in its 16 bytes.
#pragma once
#include "implicit_gemm.cuh"

// 64 rows × 64 columns of M × N: product n has eight columns. With fewer than 256 columns, warps share the terms of a sum: `split`
// says which of SPLITS are this one's.
template <int M, int N> struct Direct {
    static constexpr int THREADS = 2 * M, WARPS = M / 64 * (N / 64), SPLITS = THREADS / 32 / WARPS;
    int split = threadIdx.x / 32 / WARPS, row = threadIdx.x / 32 % WARPS / (N / 64) * 64, column = threadIdx.x / 32 % (N / 64) * 64;
    float acc[4][8][4] = {};

    // What the lane has of row 8·r + GROUP of product n: two neighbouring columns of the product.
    __device__ __forceinline__ const float* sums(int r, int n) const { return &acc[r / 2][n][r % 2 * 2]; }

    // The first split's sums become those of all, in order. `memory` has room for the others', M × N each.
    __device__ __forceinline__ void add_splits(float* memory) {
        if constexpr (SPLITS == 1) return;
        float* from = memory + (threadIdx.x % (WARPS * 32)) * 4;  // 16 bytes to a lane
        constexpr int STEP = WARPS * 32 * 4;
#pragma unroll
        for (int i = 0; i < 32; ++i) {
            const float* own = acc[i / 8][i % 8];
            if (split > 0) store(from + ((split - 1) * 32 + i) * STEP, Vec<float, 4>{{own[0], own[1], own[2], own[3]}});
        }
        __syncthreads();
        if (split > 0) return;
#pragma unroll
        for (int i = 0; i < 32; ++i)
#pragma unroll
            for (int s = 1; s < SPLITS; ++s) {
                const auto more = load<4>(from + ((s - 1) * 32 + i) * STEP);
#pragma unroll
                for (int k = 0; k < 4; ++k) acc[i / 8][i % 8][k] += more.at[k];
            }
    }
};

using Chunk = uint32_t[4];  // eight values

// The upper 16 bits of both, or the lower ones, those of `first` in the low half: one instruction, of which the compiler makes two.
__device__ __forceinline__ uint32_t halves(uint32_t first, uint32_t second, bool upper) {
#ifdef WEFT_EMULATOR
    return upper ? first >> 16 | (second & 0xffff0000) : (first & 0xffff) | second << 16;
#else
    return __byte_perm(first, second, upper ? 0x7632 : 0x5410);
#endif
}
