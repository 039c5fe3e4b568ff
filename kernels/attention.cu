// Scaled dot-product attention, forward: O = softmax(scale · Q Kᵀ + mask) V, in tiles, the softmax online.
//
// FlashAttention-2 (Dao, 2023): a block of threads owns ROWS queries of one head and walks over the keys in tiles. Of the
// scores there is never more than a tile, in registers. With the running maximum m and sum l of each row, a tile's scores
// s change them by
//
//     m' = max(m, max s),  p = exp(s − m'),  c = exp(m − m'),  l' = c l + Σ p,  O' = c O + p V
//
// and at the end O/l is the output, m and log₂ l what the backward pass needs: of m + ln l a mask of −10⁹ would leave m
// alone. Exponentials are of base 2, the factor scale · log₂e goes into their argument. A row in which no key takes part is
// 0, its m 0 and log₂ l +∞: its probabilities in the backward pass are then 0, as are those of the rows up to a multiple
// of PAD.
//
// Layout: query (B, H, L, D), key (B, H/group, S, D), value (B, H/group, S, Dᵥ), with any strides but the last, which is
// 1; rows start at multiples of 16 bytes. out is (B, L, H, Dᵥ) in memory: what comes before and after attention wants it
// so. statistics (B, H, L to a multiple of PAD, 2): m, of scores as `Mask` leaves them, and log₂ l. Masks (B, H, L, S) have strides, 0 for what is broadcast.
// Limits: D and Dᵥ are multiples of 8, at most 256; tiles are 64, 128 or 256 wide, zeros beyond D and Dᵥ.
// Geometry: one block of threads for ROWS queries of a head, in one dimension, those of a head next to each other (its
// keys then stay in the L2 cache); where it is causal, those with most keys first.
// Shared memory: tiles of ROWS queries, COLUMNS keys and COLUMNS values; keys arrive while values are used and vice versa.
// Work: 4 B H L S D operations, half if causal; memory moves (2 L + 2 S · L/ROWS) B H D elements, the latter from L2. For
// B = 8, H = 16, L = S = 4096, D = 128, causal, half: 0.55 Tflop, 0.7 ms at the 790 Tflop/s of large products on an H200,
// 1.6 ms at the 340 that `mma.sync` was seen to reach in FlashAttention-2; reading and writing once takes 0.13 ms.
#include "attention.cuh"

// PLAIN: no dropout, no mask but j ≤ i, a positive scale; all else takes registers away from the tile of scores. The more
// columns, the fewer times queries are read from shared memory, whose bandwidth is as scarce: these are as many as fit. At
// D = 128 loads then take 0.8 cycles for each that `mma.sync` does at best, and two blocks share a multiprocessor.
template <typename T, int D, bool PLAIN> struct Forward {
    static constexpr int WARPS = D > 128 ? 8 : 4, M = D > 128 ? 1 : 2;  // registers hold 16·M rows of O for each warp
    static constexpr int THREADS = 32 * WARPS, ROWS = 16 * M * WARPS;
    static constexpr bool FLOAT = sizeof(T) == 4;
    static constexpr int COLUMNS = D == 64    ? (PLAIN ? 64 : 32)
                                   : D == 128 ? (PLAIN ? (FLOAT ? 32 : 64) : 16)
                                              : (PLAIN && !FLOAT ? 64 : 16);
};

// One step of the online softmax: scores s become p, and acc, the maxima and the lanes' parts of the sums follow.
template <int M, int N, int D8, typename Mask>
__device__ __forceinline__ void softmax_step(float (&s)[M][N][4], float (&acc)[M][D8][4], float (&maximum)[2 * M],
                                             float (&sum)[2 * M], const Mask& mask) {
    float correction[2 * M];
    bool moved = false;
#pragma unroll
    for (int r = 0; r < 2 * M; ++r) {
        const int m = r / 2, e = r % 2 * 2;
        float top = maximum[r];
#pragma unroll
        for (int n = 0; n < N; ++n) top = fmaxf(top, fmaxf(s[m][n][e], s[m][n][e + 1]));
        top = fmaxf(top, __shfl_xor_sync(FULL, top, 1));
        top = fmaxf(top, __shfl_xor_sync(FULL, top, 2));
        const float base = top == -INFINITY ? 0.0f : top, shift = mask.shift(base);  // −∞ − −∞ would be NaN
        correction[r] = exp2f(mask.step(maximum[r], base));
        moved |= correction[r] != 1;
        maximum[r] = top;
        sum[r] *= correction[r];
#pragma unroll
        for (int n = 0; n < N; ++n) {
            s[m][n][e] = exp2f(mask.exponent(s[m][n][e], base, shift));
            s[m][n][e + 1] = exp2f(mask.exponent(s[m][n][e + 1], base, shift));
            sum[r] += s[m][n][e] + s[m][n][e + 1];
        }
    }
    if (!__any_sync(FULL, moved)) return;  // maxima settle after a few tiles
#pragma unroll
    for (int r = 0; r < 2 * M; ++r)
#pragma unroll
        for (int d = 0; d < D8; ++d) acc[r / 2][d][r % 2 * 2] *= correction[r], acc[r / 2][d][r % 2 * 2 + 1] *= correction[r];
}

template <typename T, int D, bool PLAIN>
__global__ void __launch_bounds__(Forward<T, D, PLAIN>::THREADS, 1)  // 1: rather more registers than more blocks
attention_forward(const T* query, const T* key, const T* value, const bool* allowed, const T* bias, T* out, float* statistics,
                  long long query_batch, long long query_head, long long query_row, long long key_batch, long long key_head,
                  long long key_row, long long value_batch, long long value_head, long long value_row, long long mask_batch,
                  long long mask_head, long long mask_row, long long mask_column, int heads, int group, int queries, int keys,
                  int width, int value_width, float scale, bool causal, int threshold, float rescale,
                  unsigned long long key0, unsigned long long key1, unsigned long long counter,
                  const unsigned long long* advance) {
    using Tile = Forward<T, D, PLAIN>;
    constexpr int M = Tile::M, ROWS = Tile::ROWS, COLUMNS = Tile::COLUMNS, THREADS = Tile::THREADS;
    extern __shared__ __align__(16) unsigned char memory[];
    __shared__ int64_t heads_of[2];  // where the head's keys and values begin: read for each tile, rather than kept
    T* query_tile = reinterpret_cast<T*>(memory);
    T* key_tile = query_tile + ROWS * D;
    T* value_tile = key_tile + COLUMNS * D;

    const int blocks = static_cast<int>(ceil_div(queries, ROWS)), place = blockIdx.x % blocks;
    const int first = (causal ? blocks - 1 - place : place) * ROWS;
    const int head = blockIdx.x / blocks, b = head / heads, h = head % heads;  // `head` counts through the batch
    const Matrix<T> q = matrix<D, THREADS>(query + b * query_batch + h * query_head, query_row, queries, width);
    if (threadIdx.x == 0) {
        heads_of[0] = b * key_batch + h / group * key_head;
        heads_of[1] = b * value_batch + h / group * value_head;
    }
    const Mask<T, PLAIN> mask =
        mask_of<PLAIN>(allowed, bias, b * mask_batch + h * mask_head, mask_row, mask_column, queries, keys, causal, scale);
    const Dropout<PLAIN> dropout =
        dropout_of<PLAIN>(first_block(counter, advance), head, queries, keys, key0, key1, threshold, rescale);

    const int end = causal ? min(keys, first + ROWS) : keys;
    const int row = first + threadIdx.x / 32 * 16 * M;  // the warp's first
    float acc[M][D / 8][4], maximum[2 * M], sum[2 * M];
    clear(acc);
#pragma unroll
    for (int r = 0; r < 2 * M; ++r) maximum[r] = -INFINITY, sum[r] = 0;

    load_tile<D, ROWS, THREADS>(query_tile, q, first);
    __syncthreads();
    if (end > 0) load_tile<D, COLUMNS, THREADS>(key_tile, matrix<D, THREADS>(key + heads_of[0], key_row, keys, width), 0);
    cp_async_commit();
    for (int j = 0; j < end; j += COLUMNS) {
        cp_async_wait<0>();
        __syncthreads();
        load_tile<D, COLUMNS, THREADS>(value_tile, matrix_anew<D, THREADS>(value + heads_of[1], value_row, keys, value_width), j);
        cp_async_commit();
        const bool busy = row < queries && !(causal && j >= row + 16 * M);
        const uint64_t kept = busy ? dropout.template keep<M, COLUMNS / 8>(row, j) : 0;
        float s[M][COLUMNS / 8][4];
        if (busy) multiply_transposed<D>(s, query_tile + (row - first) * D, key_tile);
        cp_async_wait<0>();
        __syncthreads();
        if (j + COLUMNS < end)
            load_tile<D, COLUMNS, THREADS>(key_tile, matrix_anew<D, THREADS>(key + heads_of[0], key_row, keys, width), j + COLUMNS);
        cp_async_commit();
        if (!busy) continue;
        mask.template apply<false>(s, row, j);
        softmax_step(s, acc, maximum, sum, mask);
        if constexpr (!PLAIN) {
#pragma unroll
            for (int c = 0; c < M * COLUMNS / 2; ++c) {  // also where all stay: a branch around this takes 60 registers
                float& p = s[c / (COLUMNS / 2)][c / 4 % (COLUMNS / 8)][c % 4];
                p = kept >> c & 1 ? p : 0.0f;
            }
        }
        multiply_add<D>(acc, s, value_tile);
    }
    cp_async_wait<0>();

    const int ours = anew(blockIdx.x) / blocks;  // the head, once more
    float inverse[2 * M];
#pragma unroll
    for (int r = 0; r < 2 * M; ++r) {
        float l = sum[r];
        l += __shfl_xor_sync(FULL, l, 1);
        l += __shfl_xor_sync(FULL, l, 2);
        inverse[r] = l == 0 ? 0.0f : dropout.scale / l;
        const int i = row + 8 * r + GROUP;
        const bool none = l == 0 || i >= queries;
        if (MEMBER == 0)
            store(statistics + (ours * ceil_div(queries, PAD) * PAD + i) * 2,
                  Vec<float, 2>{{none ? 0.0f : maximum[r], none ? INFINITY : log2f(l)}});
    }
    T* to = out + (static_cast<long long>(ours - ours % heads) * queries + ours % heads) * value_width;
    store_rows(to, static_cast<long long>(heads) * value_width, row, queries, value_width, acc, inverse);
}
