// Scaled dot-product attention, backward: the gradients of query, key and value, the probabilities made again in tiles.
//
// With P = exp(scale · Q Kᵀ + mask − lse), dropout D (elements 0 or 1/(1 − p)) and G = grad_out:
//
//     delta = Σ G ∘ O    dP = D ∘ (G Vᵀ)    dS = P ∘ (dP − delta)
//     grad_V = (D ∘ P)ᵀ G    grad_Q = scale · dS K    grad_K = scale · dSᵀ Q
//
// (FlashAttention-2; Dao, 2023). Three kernels, so that every sum has one owner and a fixed order, and no atomics:
// `attention_delta` a row for 8 lanes; `attention_backward_query` owns ROWS queries and walks over the keys;
// `attention_backward_key` owns ROWS keys, whose scores it has transposed, and walks over the queries of all the query
// heads that share them. P and dS go from the registers of one product to the next, never through memory.
//
// Layout: query, key, value, grad_out and masks strided as in attention.cu; lse and delta (B, H, L to a multiple of PAD).
// out and the gradients are (B, L or S, heads, D) in memory.
// Geometry: one block of threads for ROWS rows of a head, in one dimension.
// Shared memory: two tiles of ROWS rows that stay, twice two of KEYS or QUERIES rows: a pair arrives while one is used.
// D = 256: the accumulators of grad_K and grad_V do not fit side by side, and the kernel is launched for each.
// Work: 14 B H L S D operations (a seventh more at D = 256), half if causal: B = 8, H = 16, L = S = 4096, D = 128, causal, half:
// 1.9 Tflop, 2.4 ms at the 790 Tflop/s of large products on an H200, 5.6 ms at 340, as `mma.sync` may reach; delta reads
// out and grad_out, 0.27 GB, in 0.06 ms.
#include "attention.cuh"

template <typename T, int D> struct Backward {
    static constexpr int BYTES = D * sizeof(T), WARPS = BYTES > 512 ? 4 : 8, THREADS = 32 * WARPS, ROWS = 16 * WARPS;
    static constexpr int QUERIES = 8192 / BYTES;                                // that pass by a block of keys at a time
    static constexpr int KEYS = D == 128 && sizeof(T) == 2 ? 64 : 8192 / BYTES;  // and that pass by a block of queries
};

// delta[b, h, i] = Σ out[b, i, h] grad_out[b, h, i]; 0 in the rows that fill it up.
template <typename T>
__global__ void __launch_bounds__(256)
attention_delta(const T* out, const T* grad_out, float* delta, long long out_batch, long long out_head, long long out_row,
                long long grad_batch, long long grad_head, long long grad_row, int heads, int queries, int value_width) {
    const long long padded = ceil_div(queries, PAD) * PAD, row = blockIdx.x * 32ll + threadIdx.x / 8;
    const long long i = row % padded, h = row / padded % heads, b = row / padded / heads;
    const T* x = out + b * out_batch + h * out_head + i * out_row;
    const T* g = grad_out + b * grad_batch + h * grad_head + i * grad_row;
    float sum = 0;
    if (i < queries) {
        for (int c = threadIdx.x % 8 * VECTOR<T>; c < value_width; c += 8 * VECTOR<T>) {
            const Vec<T, VECTOR<T>> vx = load<VECTOR<T>>(x + c), vg = load<VECTOR<T>>(g + c);
#pragma unroll
            for (int k = 0; k < VECTOR<T>; ++k) sum = fmaf(to_float(vx.at[k]), to_float(vg.at[k]), sum);
        }
    }
#pragma unroll
    for (int step = 4; step > 0; step /= 2) sum += __shfl_xor_sync(FULL, sum, step);
    if (threadIdx.x % 8 == 0) delta[row] = sum;
}

template <typename T, int D>
__global__ void __launch_bounds__(Backward<T, D>::THREADS, 1)  // 1: rather more registers than more blocks
attention_backward_query(const T* query, const T* key, const T* value, const bool* allowed, const T* bias, const T* grad_out,
                         const float* lse, const float* delta, T* grad_query, long long query_batch, long long query_head,
                         long long query_row, long long key_batch, long long key_head, long long key_row,
                         long long value_batch, long long value_head, long long value_row, long long mask_batch,
                         long long mask_head, long long mask_row, long long mask_column, long long grad_batch,
                         long long grad_head, long long grad_row, int heads, int group, int queries, int keys, int width,
                         int value_width, float scale, bool causal, int threshold, float rescale, unsigned long long key0,
                         unsigned long long key1, unsigned long long counter, const unsigned long long* advance) {
    using Tile = Backward<T, D>;
    constexpr int ROWS = Tile::ROWS, KEYS = Tile::KEYS, THREADS = Tile::THREADS, N = KEYS / 8;
    extern __shared__ __align__(16) unsigned char memory[];
    T* query_tile = reinterpret_cast<T*>(memory);
    T* grad_tile = query_tile + ROWS * D;
    T* tiles = grad_tile + ROWS * D;  // a tile of keys and one of values, twice

    const int blocks = static_cast<int>(ceil_div(queries, ROWS)), place = blockIdx.x % blocks;
    const int first = (causal ? blocks - 1 - place : place) * ROWS;
    const int head = blockIdx.x / blocks, b = head / heads, h = head % heads;
    const Matrix<T> q{query + b * query_batch + h * query_head, query_row, queries, width};
    const Matrix<T> g{grad_out + b * grad_batch + h * grad_head, grad_row, queries, value_width};
    const Matrix<T> k{key + b * key_batch + h / group * key_head, key_row, keys, width};
    const Matrix<T> v{value + b * value_batch + h / group * value_head, value_row, keys, value_width};
    const Mask<T> mask =
        mask_of<false>(allowed, bias, b * mask_batch + h * mask_head, mask_row, mask_column, queries, keys, causal, scale);
    const Dropout dropout = dropout_of(first_block(counter, advance), head, queries, keys, key0, key1, threshold, rescale);

    const int warp_row = threadIdx.x / 32 * 16, row = first + warp_row, end = causal ? min(keys, first + ROWS) : keys;
    float acc[1][D / 8][4], log_sum[2], centre[2];  // of rows: lse · log₂e and −delta
    clear(acc);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const long long at = head * ceil_div(queries, PAD) * PAD + row + 8 * r + GROUP;
        log_sum[r] = lse[at] * LOG2_E;
        centre[r] = -delta[at];
    }

    load_pair<D, ROWS, THREADS>(query_tile, q, g, first);
    if (end > 0) load_pair<D, KEYS, THREADS>(tiles, k, v, 0);
    cp_async_commit();
    for (int j = 0, stage = 0; j < end; j += KEYS, stage ^= 1) {
        cp_async_wait<0>();
        __syncthreads();
        if (j + KEYS < end) load_pair<D, KEYS, THREADS>(tiles + (stage ^ 1) * 2 * KEYS * D, k, v, j + KEYS);
        cp_async_commit();
        if (row >= queries || (causal && j >= row + 16)) continue;
        const T* key_tile = tiles + stage * 2 * KEYS * D;
        const uint32_t kept = dropout.active() ? dropout.keep<false, N>(row, j) : FULL;
        float s[1][N][4], grad_p[1][N][4];
        multiply_transposed<D>(s, query_tile, warp_row, key_tile);
        mask.template apply<false>(s, row, j);
        multiply_transposed<D>(grad_p, grad_tile, warp_row, key_tile + KEYS * D);
#pragma unroll
        for (int i = 0; i < 4 * N; ++i) {
            const float p = exp2f(fmaf(s[0][i / 4][i % 4], mask.factor(), -log_sum[i % 4 / 2]));
            const float shift = centre[i % 4 / 2];
            s[0][i / 4][i % 4] = p * (kept >> i & 1 ? fmaf(grad_p[0][i / 4][i % 4], dropout.scale, shift) : shift);
        }
        multiply_add<D>(acc, s, key_tile);
    }
    cp_async_wait<0>();
    const float scales[2] = {scale, scale};
    T* to = grad_query + (static_cast<long long>(b) * queries * heads + h) * width;
    store_rows(to, static_cast<long long>(heads) * width, row, queries, width, acc, scales);
}

template <typename T, int D, bool KEY, bool VALUE>
__global__ void __launch_bounds__(Backward<T, D>::THREADS, 1)
attention_backward_key(const T* query, const T* key, const T* value, const bool* allowed, const T* bias, const T* grad_out,
                       const float* lse, const float* delta, T* grad_key, T* grad_value, long long query_batch,
                       long long query_head, long long query_row, long long key_batch, long long key_head, long long key_row,
                       long long value_batch, long long value_head, long long value_row, long long mask_batch,
                       long long mask_head, long long mask_row, long long mask_column, long long grad_batch,
                       long long grad_head, long long grad_row, int heads, int group, int queries, int keys, int width,
                       int value_width, float scale, bool causal, int threshold, float rescale, unsigned long long key0,
                       unsigned long long key1, unsigned long long counter, const unsigned long long* advance) {
    using Tile = Backward<T, D>;
    constexpr int ROWS = Tile::ROWS, QUERIES = Tile::QUERIES, THREADS = Tile::THREADS, N = QUERIES / 8;
    extern __shared__ __align__(16) unsigned char memory[];
    __shared__ __align__(16) float statistics[2][2][QUERIES];  // of two tiles of queries: lse and delta
    T* key_tile = reinterpret_cast<T*>(memory);
    T* value_tile = key_tile + ROWS * D;
    T* tiles = value_tile + ROWS * D;  // a tile of queries and one of grad_out, twice

    const int blocks = static_cast<int>(ceil_div(keys, ROWS)), first = blockIdx.x % blocks * ROWS, kv_heads = heads / group;
    const int b = blockIdx.x / blocks / kv_heads, kv = blockIdx.x / blocks % kv_heads;
    const Matrix<T> k{key + b * key_batch + kv * key_head, key_row, keys, width};
    const Matrix<T> v{value + b * value_batch + kv * value_head, value_row, keys, value_width};
    const unsigned long long stream = first_block(counter, advance);
    const int warp_row = threadIdx.x / 32 * 16, row = first + warp_row;
    const int start = causal ? first / QUERIES * QUERIES : 0;  // the first tile of queries with a key of these
    float key_acc[1][D / 8][4], value_acc[1][D / 8][4];
    clear(key_acc);
    clear(value_acc);

    // The tiles of queries and grad_out from query i on, of a member of the group, with their lse and delta.
    const auto fetch = [&](int stage, int member, int i) {
        const int h = kv * group + member;
        const long long at = (b * heads + h) * ceil_div(queries, PAD) * PAD + i;
        const Matrix<T> q{query + b * query_batch + h * query_head, query_row, queries, width};
        const Matrix<T> g{grad_out + b * grad_batch + h * grad_head, grad_row, queries, value_width};
        load_pair<D, QUERIES, THREADS>(tiles + stage * 2 * QUERIES * D, q, g, i);
        const int c = threadIdx.x % (QUERIES / 4) * 4, which = threadIdx.x / (QUERIES / 4);
        if (which < 2) cp_async_16(&statistics[stage][which][c], (which ? delta : lse) + at + c);
    };
    load_tile<D, ROWS, THREADS>(key_tile, k, first);
    if constexpr (KEY) load_tile<D, ROWS, THREADS>(value_tile, v, first);
    if (start < queries) fetch(0, 0, start);
    cp_async_commit();
    int stage = 0;
    for (int member = 0; member < group; ++member) {
        const int h = kv * group + member;
        const Mask<T> mask =
            mask_of<false>(allowed, bias, b * mask_batch + h * mask_head, mask_row, mask_column, queries, keys, causal, scale);
        const Dropout dropout = dropout_of(stream, b * heads + h, queries, keys, key0, key1, threshold, rescale);
        for (int i = start; i < queries; i += QUERIES, stage ^= 1) {
            const bool last = i + QUERIES >= queries;
            cp_async_wait<0>();
            __syncthreads();
            if (!last || member + 1 < group) fetch(stage ^ 1, member + last, last ? start : i + QUERIES);
            cp_async_commit();
            if (row >= keys || (causal && i + QUERIES <= row)) continue;
            const T *query_tile = tiles + stage * 2 * QUERIES * D, *grad_tile = query_tile + QUERIES * D;
            const uint32_t kept = dropout.active() ? dropout.keep<true, N>(i, row) : FULL;
            float s[1][N][4], p[1][N][4];
            multiply_transposed<D>(s, key_tile, warp_row, query_tile);
            mask.template apply<true>(s, i, row);
#pragma unroll
            for (int c = 0; c < 4 * N; ++c) {
                const float log_sum = statistics[stage][0][c / 4 * 8 + 2 * MEMBER + c % 2] * LOG2_E;
                s[0][c / 4][c % 4] = exp2f(fmaf(s[0][c / 4][c % 4], mask.factor(), -log_sum));
            }
            if constexpr (VALUE) {
#pragma unroll
                for (int c = 0; c < 4 * N; ++c) p[0][c / 4][c % 4] = kept >> c & 1 ? s[0][c / 4][c % 4] : 0.0f;
                multiply_add<D>(value_acc, p, grad_tile);
            }
            if constexpr (KEY) {
                multiply_transposed<D>(p, value_tile, warp_row, grad_tile);
#pragma unroll
                for (int c = 0; c < 4 * N; ++c) {
                    const float shift = -statistics[stage][1][c / 4 * 8 + 2 * MEMBER + c % 2];
                    s[0][c / 4][c % 4] *= kept >> c & 1 ? fmaf(p[0][c / 4][c % 4], dropout.scale, shift) : shift;
                }
                multiply_add<D>(key_acc, s, query_tile);
            }
        }
    }
    cp_async_wait<0>();
    const float key_scale[2] = {scale, scale}, value_scale[2] = {rescale, rescale};
    const long long place = static_cast<long long>(b) * keys * kv_heads + kv, stride = kv_heads;
    if constexpr (KEY) store_rows(grad_key + place * width, stride * width, row, keys, width, key_acc, key_scale);
    if constexpr (VALUE)
        store_rows(grad_value + place * value_width, stride * value_width, row, keys, value_width, value_acc, value_scale);
}
