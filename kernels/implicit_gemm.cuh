// What the passes share: products of matrices by tiles, on tensor cores, float sums of half or bfloat16, the terms on their
// way while others are multiplied.
//
// A tile is M × N of the result, its sums in registers: each warp has SIDE × SIDE in the fragments of `mma_m16n8k16`
// (ptx.cuh). SIDE is 64, as much as registers hold: 128 values are read from shared memory for 64 · 64 products, which takes
// 62 % of the clocks that these take on Hopper; copying the stages there takes 31 % (128 × 128), and 16 more if half of them
// come from the L1 cache, which is the same memory. With SIDE 32, reading alone takes longer than multiplying.
#pragma once
#include "ptx.cuh"
#include "windows.cuh"

constexpr int DEPTH = 32;  // terms of the sum that a stage holds
constexpr int STAGES = 4;  // of which all but one are under way
constexpr int ZEROS = 8;   // rows that stand for all that is outside an image: as many as a matrix has that is loaded at once

#define GROUP static_cast<int>(LANE / 4)
#define MEMBER static_cast<int>(LANE % 4)

// --- tiles -----------------------------------------------------------------------------------------------------------
// A stage holds DEPTH terms of M features and, behind them, of N positions or columns. In memory a row is a feature or a
// position, with DEPTH terms; BY_TERM, a row is a term, with M or N values. Its chunks of 8 values are exchanged such that
// the same one of eight neighbouring rows lies in all 32 banks: this is where chunk c is.
template <int WIDTH> __device__ __forceinline__ int place(int row, int c) {
    return row * WIDTH + (WIDTH == DEPTH ? c ^ (row >> 1 & 3) : c ^ (row & 7)) * 8;
}

// A warp's SIDE × SIDE part of a tile: where it begins, and where, in a stage, the lane's row of the first matrices is.
template <int M, int N, bool BY_TERM> struct Tile {
    static constexpr int SIDE = M * N > 64 * 64 ? 64 : 32, ACROSS = N / SIDE;
    static constexpr int THREADS = M / SIDE * ACROSS * 32;
    static_assert(!BY_TERM || SIDE == 64, "parts begin with chunks that are multiples of 8");
    int row = threadIdx.x / 32 / ACROSS * SIDE, column = threadIdx.x / 32 % ACROSS * SIDE;
    int a = (corner<M, BY_TERM>(row)), b = M * DEPTH + (corner<N, !BY_TERM>(column));
    float acc[SIDE / 16][SIDE / 8][4] = {};

    // Of four matrices of 8 × 8, the second is below the first in memory, or beside it (ACROSS_FIRST).
    template <int WIDTH, bool ACROSS_FIRST> __device__ __forceinline__ static int corner(int first) {
        const int row = ACROSS_FIRST ? LANE / 16 * 8 + LANE % 8 : LANE % 16;
        const int c = ACROSS_FIRST ? LANE / 8 % 2 : LANE / 16;
        return BY_TERM ? first + place<WIDTH>(row, c) : first * DEPTH + place<DEPTH>(row, c);
    }

    // 16 rows, 16·n from the corner on, of terms 16·k on: operand `a` of a product, or two of `b`, the registers of each next
    // to each other. Chunks 2·n or 2·k further on are exchanged like the corner's: ^ commutes.
    template <int WIDTH, typename T>
    __device__ __forceinline__ static void fragment(uint32_t (&r)[4], const T* stage, int corner, int n, int k) {
        if constexpr (BY_TERM)
            ldmatrix_x4_trans(r, stage + (corner ^ 16 * n) + 16 * k * WIDTH);
        else
            ldmatrix_x4(r, stage + (corner ^ 16 * k) + 16 * n * DEPTH);
    }

    // `fetch(y, n, k)` gets the fragment of 16 positions or columns, 16·n from the warp's first on, of terms 16·k on.
    template <typename T, typename Fetch> __device__ __forceinline__ void multiply_add(const T* stage, const Fetch& fetch) {
#pragma unroll
        for (int k = 0; k < DEPTH / 16; ++k) {
            uint32_t x[SIDE / 16][4];
#pragma unroll
            for (int m = 0; m < SIDE / 16; ++m) fragment<M>(x[m], stage, a, m, k);
#pragma unroll
            for (int n = 0; n < SIDE / 16; ++n) {
                uint32_t y[4];
                fetch(y, n, k);
#pragma unroll
                for (int m = 0; m < SIDE / 16; ++m) mma_m16n16k16<T>(acc[m][2 * n], acc[m][2 * n + 1], x[m], y);
            }
        }
    }
};

// Terms whose every step is a stage of M + N rows or columns.
template <typename T, int M, int N> struct Staged {
    static constexpr int STAGE = (M + N) * DEPTH;

    __device__ __forceinline__ void multiply_add(Tile<M, N, false>& part, const T* stage) const {
        part.multiply_add(stage, [&](uint32_t (&y)[4], int n, int k) { part.template fragment<N>(y, stage, part.b, n, k); });
    }
};

// Add up all steps of a sum. `from.load` starts to copy the terms of one to a stage, and goes on to the next; so does
// `from.multiply_add`, with what has been copied. Warps that are not `busy` have nothing in their part.
template <typename T, typename Part, typename Source>
__device__ __forceinline__ void add_up(Part& part, T* stages, Source& from, int steps, bool busy) {
    constexpr int STAGE = Source::STAGE;
    for (int s = 0; s < STAGES - 1; ++s) {
        if (s < steps) from.load(stages + s * STAGE);
        cp_async_commit();
    }
    for (int s = 0; s < steps; ++s) {
        cp_async_wait<STAGES - 2>();
        __syncthreads();  // step s has arrived for all, and all are done with the stage before it, which is filled next
        if (s + STAGES - 1 < steps) from.load(stages + (s + STAGES - 1) % STAGES * STAGE);
        cp_async_commit();
        if (busy) from.multiply_add(part, stages + s % STAGES * STAGE);
    }
    cp_async_wait<0>();
    __syncthreads();
}

// --- terms and positions -----------------------------------------------------------------------------------------------
// How many of a tap's channels come together: DEPTH, or all, if it does not divide them.
__device__ __forceinline__ int block_of(int channels) { return channels % DEPTH ? channels : DEPTH; }

// Positions counted through the batch: (n·height + u)·width + v.
struct Grid {
    int height, width, positions;
    unsigned long long by_area, by_width;

    __device__ __forceinline__ void find(int p, int& n, int& u, int& v) const {
        n = quotient(p, by_area);
        const int rest = p - n * height * width;
        u = quotient(rest, by_width);
        v = rest - u * width;
    }
};
