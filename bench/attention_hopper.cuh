// What the passes of attention on Hopper share: the mask, and products of tiles in panels.
#pragma once
#include "attention.cuh"
#include "wgmma.cuh"

constexpr int ROWS = 128;  // of a block, 64 for each of two groups

// Scores of 16 queries and 8·N keys, or with KEYS_DOWN of 16 keys and 8·N queries: −∞ where a key takes no part. Queries that
// there are not are left: what comes of them is not used.
template <bool KEYS_DOWN, int N>
__device__ __forceinline__ void hide(float (&s)[N][4], int row, int column, int keys, bool causal) {
    if (KEYS_DOWN ? (!causal || row + 15 <= column) && row + 16 <= keys : column + 8 * N <= (causal ? min(keys, row + 1) : keys)) return;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const int i = row + 8 * r + GROUP, start = column + 2 * MEMBER;
        const int edge = (KEYS_DOWN ? (i >= keys ? 1 << 30 : causal ? i : 0) : causal ? min(keys, i + 1) : keys) - start;  // where they change
#pragma unroll
        for (int n = 0; n < N; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e)
                if (KEYS_DOWN == (8 * n + e < edge)) s[n][2 * r + e] = -INFINITY;
    }
}

// A product as the first operand of the next.
template <typename T, int N> __device__ __forceinline__ void round_to(uint32_t (&p)[N / 2][4], const float (&s)[N][4]) {
#pragma unroll
    for (int k = 0; k < N / 2; ++k)
#pragma unroll
        for (int r = 0; r < 4; ++r) p[k][r] = pack2<T>(s[2 * k + r / 2][r % 2 * 2], s[2 * k + r / 2][r % 2 * 2 + 1]);
}

// Start s = A Bᵀ over D columns: the group's 64 rows of one tile by the 8·N rows of another; PANEL_A, _B: bytes of a panel.
template <typename T, int D, int PANEL_A, int PANEL_B, int N>
__device__ __forceinline__ void start_by_rows(float (&s)[N][4], Operand a, Operand b) {
    wgmma<T, false>(s, a, b);
#pragma unroll
    for (int k = 1; k < D / 16; ++k) wgmma<T, true>(s, a + (k / 4 * PANEL_A + k % 4 * 32), b + (k / 4 * PANEL_B + k % 4 * 32));
    wgmma_commit();
}

// Start acc += P B, to be committed: P in registers, B the 16·K rows of a tile.
template <typename T, int N, int K>
__device__ __forceinline__ void start_adding(float (&acc)[N][4], const uint32_t (&p)[K][4], Operand b) {
#pragma unroll
    for (int k = 0; k < K; ++k) wgmma_transposed<T>(acc, p[k], b + k * 16 * PANEL_ROW);
}

// Start d = Aᵀ B, to be committed: K rows of a panel of 64 columns by those of another.
template <typename T, int K, int N> __device__ __forceinline__ void start_columns(float (&d)[N][4], Operand a, Operand b) {
    wgmma_columns<T, false>(d, a, b);
#pragma unroll
    for (int k = 16; k < K; k += 16) wgmma_columns<T, true>(d, a + k * PANEL_ROW, b + k * PANEL_ROW);
}
