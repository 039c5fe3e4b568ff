// Attention forward with Hopper's warpgroup products: a candidate for the place of attention.cu on sm_90a.
//
// The same mathematics, layout and results as attention.cu where it is PLAIN (no mask but j ≤ i, no dropout), for half and
// bfloat16, head sizes up to 128. `mma.sync` reaches about two thirds of what Hopper's tensor cores can do, and has every
// operand pass through registers; `wgmma` reads shared memory by itself, and computes while the threads do something else:
//
//     S ← Q Kⱼᵀ  and  O += P Vⱼ₊₁  are under way while the softmax of the former waits for the first of them only
//
// (FlashAttention-3's pipeline within a warpgroup; Shah et al., 2024). Tiles are walked from the last to the first, so that
// only the one before the loop needs a mask. Keys and values have two stages each, filled by `cp.async` one tile ahead.
//
// Geometry: 256 threads, two warpgroups of 64 queries each; a block of 128 queries of a head, as in attention.cu.
// Shared memory: 5 tiles of 128 rows, 160 KiB for D = 128. Registers: 64 of S, D/2 of O, 32 of P for each thread.
// Work: as attention.cu. B = 8, H = 16, L = S = 4096, D = 128, causal: 0.55 Tflop, 1.0 ms at 550 Tflop/s, which is what
// FlashAttention-3 without its producer warp reached on an H100.
#include "attention_hopper.cuh"

constexpr int COLUMNS = 128;
constexpr int PANEL = ROWS * PANEL_ROW;  // bytes of 64 columns of a tile

// One step of the online softmax: scores s become p; the maxima and the lanes' parts of the sums follow.
__device__ __forceinline__ void softmax(float (&s)[16][4], float (&maximum)[2], float (&sum)[2], float (&correction)[2],
                                        float factor) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        float top = maximum[r];
#pragma unroll
        for (int n = 0; n < 16; ++n) top = fmaxf(top, fmaxf(s[n][2 * r], s[n][2 * r + 1]));
        top = fmaxf(top, __shfl_xor_sync(FULL, top, 1));
        top = fmaxf(top, __shfl_xor_sync(FULL, top, 2));
        const float shift = top == -INFINITY ? 0.0f : top * factor;  // −∞ − −∞ would be NaN
        correction[r] = exp2f(fmaf(maximum[r], factor, -shift));
        maximum[r] = top;
        sum[r] *= correction[r];
#pragma unroll
        for (int n = 0; n < 16; ++n)
#pragma unroll
            for (int e = 2 * r; e < 2 * r + 2; ++e) sum[r] += s[n][e] = exp2f(fmaf(s[n][e], factor, -shift));
    }
}

template <typename T, int D>
__global__ void __launch_bounds__(THREADS, 1)
attention_forward_hopper(const T* query, const T* key, const T* value, T* out, float* lse, long long query_batch,
                         long long query_head, long long query_row, long long key_batch, long long key_head, long long key_row,
                         long long value_batch, long long value_head, long long value_row, int heads, int group, int queries,
                         int keys, int width, int value_width, float scale, bool causal) {
    constexpr int TILE = D / 64 * PANEL;
    extern __shared__ __align__(16) unsigned char memory[];
    unsigned char* query_tile = memory + (-reinterpret_cast<unsigned long long>(memory) & (PANEL_STEP - 1));
    unsigned char* key_tiles = query_tile + TILE;
    unsigned char* value_tiles = key_tiles + 2 * TILE;

    const int blocks = static_cast<int>(ceil_div(queries, ROWS)), place = blockIdx.x % blocks;
    const int first = (causal ? blocks - 1 - place : place) * ROWS;
    const int head = blockIdx.x / blocks, b = head / heads, h = head % heads;
    const Matrix<T> q{query + b * query_batch + h * query_head, query_row, queries, width};
    const Matrix<T> k{key + b * key_batch + h / group * key_head, key_row, keys, width};
    const Matrix<T> v{value + b * value_batch + h / group * value_head, value_row, keys, value_width};
    const float factor = scale * LOG2_E;
    const int end = causal ? min(keys, first + ROWS) : keys, last = static_cast<int>(ceil_div(end, COLUMNS)) - 1;
    const unsigned char* rows = query_tile + threadIdx.x / 128 * 64 * PANEL_ROW;
    const int row = first + threadIdx.x / 32 * 16;  // the warp's first

    float s[1][16][4], o[1][D / 8][4], maximum[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0}, correction[2];
    uint32_t p[8][4];
    clear(o);
    load_panels<D, ROWS>(query_tile, q, first);
    if (last >= 0) load_panels<D, ROWS>(key_tiles + last % 2 * TILE, k, last * COLUMNS);
    cp_async_commit();
    if (last >= 0) load_panels<D, ROWS>(value_tiles + last % 2 * TILE, v, last * COLUMNS);
    if (last >= 1) load_panels<D, ROWS>(key_tiles + (last - 1) % 2 * TILE, k, (last - 1) * COLUMNS);
    cp_async_commit();
    cp_async_wait<1>();
    fence_async_proxy();
    __syncthreads();
    if (last >= 0) {
        wgmma_fence();
        start_by_rows<T, D, PANEL, PANEL>(s[0], rows, key_tiles + last % 2 * TILE);
        wgmma_wait<0>(s[0]);
        hide<false>(s[0], row, last * COLUMNS, keys, causal);
        softmax(s[0], maximum, sum, correction, factor);
        round_to<T>(p, s[0]);
    }
    for (int j = last - 1; j >= 0; --j) {
        cp_async_wait<0>();  // keys j and values j + 1 are here
        fence_async_proxy();
        __syncthreads();  // and nobody needs keys j + 1 or values j + 2 any more
        wgmma_fence();
        start_by_rows<T, D, PANEL, PANEL>(s[0], rows, key_tiles + j % 2 * TILE);
        start_adding<T, PANEL>(o[0], p, value_tiles + (j + 1) % 2 * TILE);
        wgmma_commit();
        load_panels<D, ROWS>(value_tiles + j % 2 * TILE, v, j * COLUMNS);
        if (j > 0) load_panels<D, ROWS>(key_tiles + (j - 1) % 2 * TILE, k, (j - 1) * COLUMNS);
        cp_async_commit();
        wgmma_wait<1>(s[0]);
        softmax(s[0], maximum, sum, correction, factor);
        wgmma_wait<0>(o[0]);
        round_to<T>(p, s[0]);
#pragma unroll
        for (int d = 0; d < D / 8; ++d)
#pragma unroll
            for (int e = 0; e < 4; ++e) o[0][d][e] *= correction[e / 2];
    }
    cp_async_wait<0>();
    fence_async_proxy();
    __syncthreads();
    if (last >= 0) {
        wgmma_fence();
        start_adding<T, PANEL>(o[0], p, value_tiles);
        wgmma_commit();
        wgmma_wait<0>(o[0]);
    }

    float inverse[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        float l = sum[r];
        l += __shfl_xor_sync(FULL, l, 1);
        l += __shfl_xor_sync(FULL, l, 2);
        inverse[r] = l == 0 ? 0.0f : 1 / l;
        const int i = row + 8 * r + GROUP;
        if (MEMBER == 0)
            lse[head * ceil_div(queries, PAD) * PAD + i] =
                l == 0 || i >= queries ? INFINITY : maximum[r] * (scale) + logf(l);
    }
    T* to = out + (static_cast<long long>(b) * queries * heads + h) * value_width;
    store_rows(to, static_cast<long long>(heads) * value_width, row, queries, value_width, o, inverse);
}
