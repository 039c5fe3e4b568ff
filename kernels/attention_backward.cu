// Scaled dot-product attention, backward: the gradients of query, key and value, the probabilities made again in tiles.
//
// With P = exp(scale · Q Kᵀ + mask − m)/l, the largest score m and l of a row from attention.cu, dropout D (elements 0 or 1/(1 − p)) and G = grad_out:
//
//     delta = Σ G ∘ O    dP = D ∘ (G Vᵀ)    dS = P ∘ (dP − delta)
//     grad_V = (D ∘ P)ᵀ G    grad_Q = scale · dS K    grad_K = scale · dSᵀ Q
//
// (FlashAttention-2; Dao, 2023). In `attention_delta` 8 lanes have 4 rows. `attention_backward_key` owns KEYS keys and walks
// over the queries of all the query heads that share them; P and dS go through shared memory, in which the products that
// sum over queries find them transposed. grad_Q, which sums over keys, comes about in one of two ways:
//
//   - `attention_backward_query` makes P and dS once more, owns ROWS queries and walks over the keys. Every sum has one
//     owner and a fixed order: the same bits every time, for seven products in place of five.
//   - with QUERY, attention_backward_key adds dS K to grad_Q in float, atomically, in the order in which blocks come.
//     `attention_round` then makes half precision of it.
//
// Layout: query, key, value, grad_out and masks strided as in attention.cu; statistics (m and log₂ l) as there, delta
// (B, H, L to a multiple of PAD).
// out and the gradients are (B, L or S, heads, D) in memory.
// Geometry: one block of threads for ROWS or KEYS rows of a head, in one dimension; where it is causal, those with most work
// come first. PLAIN: no dropout, no mask but j ≤ i, a positive scale, which leaves registers for larger tiles.
// Shared memory: what stays, and STAGES times the pair of tiles that pass by, one arriving while one is used; in
// attention_backward_key also P and dS. At most 162 KiB: an A100 has 163.
// Bandwidth of shared memory is what `mma.sync` waits for. A warp multiplies 16·M rows by 8·N columns: per 16 of the depth M
// + N/2 matrix loads, of 4 cycles each, for M·N products, of 1.6 cycles at best. At D = 128 with M = 2 that is 1.1 cycles
// of loads for one of products in attention_backward_key, 1.2 in attention_backward_query; with M = 1 it was 1.6 in both.
// Where it is causal, a warp multiplies none of the 16·M rows by 16·M columns that are masked as a whole.
// Work: 14 B H L S D operations, or 10, half if causal: B = 8, H = 16, L = S = 4096, D = 128, causal, half: 1.9 or 1.4 Tflop,
// 2.4 or 1.7 ms at the 790 Tflop/s of large products on an H200, 5.6 or 4.0 at 340, as `mma.sync` may reach; delta reads
// out and grad_out, 0.27 GB, in 0.06 ms. Atomic sums send S/KEYS times grad_Q in float to the L2 cache, 4.3 GB.
#include "attention.cuh"
#include "neighbours.cuh"

// Tiles of attention_backward_query. With M = 2, two blocks of threads share a multiprocessor.
template <typename T, int D, bool PLAIN> struct QueryTiles {
    static constexpr int BYTES = D * sizeof(T), M = PLAIN && sizeof(T) == 2 && D <= 128 ? 2 : 1;
    static constexpr int WARPS = M == 2 || BYTES > 512 ? 4 : 8, THREADS = 32 * WARPS, ROWS = 16 * M * WARPS;
    static constexpr int KEYS = D == 128 && sizeof(T) == 2 && M == 1 ? 64 : 8192 / BYTES;  // that pass by at a time
    static constexpr bool HOLDS = D == 128 && M == 2;  // a fragment of queries in registers: there is room for one
};

// Tiles of attention_backward_key, and how WARPS warps share a product of ROWS rows: `down` of them below each other.
template <typename T, int D, bool PLAIN> struct KeyTiles {
    static constexpr bool HALF = sizeof(T) == 2;
    static constexpr int WARPS = 8, THREADS = 32 * WARPS, M = !HALF && D == 256 ? 1 : 2, STAGES = D == 256 ? 1 : 2;
    static constexpr int KEYS = HALF ? (D == 256 ? 64 : 128) : (D == 256 ? 32 : 64);
    static constexpr int QUERIES = D == 64 || (HALF && (PLAIN || D == 256)) ? 64 : 32;  // that pass by at a time
    static __host__ __device__ constexpr int down(int rows) { return rows / (16 * M); }
    static __host__ __device__ constexpr int across(int rows) { return WARPS / down(rows); }
};

constexpr int BLOCK = 256;  // threads of the kernels that multiply no matrices

// delta[b, h, i] = Σ out[b, i, h] grad_out[b, h, i]; 0 in the rows that fill it up. A block has PAD rows of a head.
template <typename T>
__global__ void __launch_bounds__(BLOCK, 2)
attention_delta(const T* out, const T* grad_out, float* delta, long long out_batch, long long out_head, long long out_row,
                long long grad_batch, long long grad_head, long long grad_row, int heads, int queries, int value_width) {
    constexpr int N = VECTOR<T>, ROWS = PAD / (BLOCK / 8);  // ROWS neighbours have eight lanes
    static_assert(ROWS == 4, "as many as four_sums adds up");
    const unsigned blocks = (queries + PAD - 1) / PAD, head = blockIdx.x / blocks;
    const int of_block = threadIdx.x / 8 * ROWS, first = blockIdx.x % blocks * PAD + of_block;
    out += head / heads * out_batch + head % heads * out_head;
    grad_out += head / heads * grad_batch + head % heads * grad_head;
    float part[ROWS] = {};
#pragma unroll 1  // eight loads are under way; NVRTC 13.0 finds no registers for more of them on sm_80, and spills
    for (int c = threadIdx.x % 8 * N; c < value_width; c += 8 * N) {
        float x[ROWS][N], g[ROWS][N];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            const long long i = min(first + r, queries - 1);
            to_floats(x[r], load<N>(out + i * out_row + c));
            to_floats(g[r], load<N>(grad_out + i * grad_row + c));
        }
#pragma unroll
        for (int r = 0; r < ROWS; ++r)
#pragma unroll
            for (int k = 0; k < N; ++k) part[r] = fmaf(x[r][k], g[r][k], part[r]);
    }
    const float sum = four_sums(part);
    const int row = threadIdx.x % 8 / 2;  // whose sum it is
    if (threadIdx.x % 2 == 0) delta[static_cast<long long>(blockIdx.x) * PAD + of_block + row] = first + row < queries ? sum : 0;
}

// Of the rows of a warp that this lane has: the largest score, the shift of exponents and −delta.
template <int R, typename Mask>
__device__ __forceinline__ void read_statistics(float (&top)[R], float (&shift)[R], float (&centre)[R],
                                                const float* statistics, const float* delta, const Mask& mask) {
#pragma unroll
    for (int r = 0; r < R; ++r) {
        const int i = 8 * r + GROUP;
        const Vec<float, 2> found = load<2>(statistics + 2 * i);
        top[r] = found.at[0];
        shift[r] = mask.shift(top[r], found.at[1]);
        centre[r] = -delta[i];
    }
}

// Scores s become (1 − p) D ∘ P, and what the product G Vᵀ has left in grad_p becomes dS.
template <int M, int N, typename Mask>
__device__ __forceinline__ void probabilities(float (&s)[M][N][4], float (&grad_p)[M][N][4], uint64_t kept,
                                              const float (&top)[2 * M], const float (&shift)[2 * M],
                                              const float (&centre)[2 * M], const Mask& mask, float rescale) {
#pragma unroll
    for (int i = 0; i < 4 * M * N; ++i) {
        const int m = i / (4 * N), n = i / 4 % N, e = i % 4, r = 2 * m + e / 2;
        const bool stays = kept >> i & 1;
        const float p = exp2f(mask.exponent(s[m][n][e], top[r], shift[r]));
        s[m][n][e] = stays ? p : 0.0f;
        grad_p[m][n][e] = p * (stays ? fmaf(grad_p[m][n][e], rescale, centre[r]) : centre[r]);
    }
}

template <typename T, int D, bool PLAIN>
__global__ void __launch_bounds__(QueryTiles<T, D, PLAIN>::THREADS, 1)  // 1: rather more registers than more blocks
attention_backward_query(const T* query, const T* key, const T* value, const bool* allowed, const T* bias, const T* grad_out,
                         const float* statistics, const float* delta, T* grad_query, long long query_batch, long long query_head,
                         long long query_row, long long key_batch, long long key_head, long long key_row,
                         long long value_batch, long long value_head, long long value_row, long long mask_batch,
                         long long mask_head, long long mask_row, long long mask_column, long long grad_batch,
                         long long grad_head, long long grad_row, int heads, int group, int queries, int keys, int width,
                         int value_width, float scale, bool causal, int threshold, float rescale, unsigned long long key0,
                         unsigned long long key1, unsigned long long counter, const unsigned long long* advance) {
    using Tile = QueryTiles<T, D, PLAIN>;
    constexpr int M = Tile::M, ROWS = Tile::ROWS, KEYS = Tile::KEYS, THREADS = Tile::THREADS, N = KEYS / 8;
    extern __shared__ __align__(16) unsigned char memory[];
    __shared__ int64_t heads_of[2];  // where the head's keys and values begin: read for each tile, rather than kept
    T* query_tile = reinterpret_cast<T*>(memory);
    T* grad_tile = query_tile + ROWS * D;
    T* tiles = grad_tile + ROWS * D;  // a tile of keys and one of values, twice

    const int blocks = static_cast<int>(ceil_div(queries, ROWS)), place = blockIdx.x % blocks;
    const int first = (causal ? blocks - 1 - place : place) * ROWS;
    const int head = blockIdx.x / blocks, b = head / heads, h = head % heads;
    const Matrix<T> q = matrix<D, THREADS>(query + b * query_batch + h * query_head, query_row, queries, width);
    const Matrix<T> g = matrix<D, THREADS>(grad_out + b * grad_batch + h * grad_head, grad_row, queries, value_width);
    if (threadIdx.x == 0) {
        heads_of[0] = b * key_batch + h / group * key_head;
        heads_of[1] = b * value_batch + h / group * value_head;
    }
    // A tile of keys and one of values, from key j on.
    const auto fetch = [&](int stage, int j) {
        const Matrix<T> k = matrix_anew<D, THREADS>(key + heads_of[0], key_row, keys, width);
        load_pair<D, KEYS, THREADS>(tiles + stage * 2 * KEYS * D, k,
                                    matrix_anew<D, THREADS>(value + heads_of[1], value_row, keys, value_width), j);
    };
    const Mask<T, PLAIN> mask =
        mask_of<PLAIN>(allowed, bias, b * mask_batch + h * mask_head, mask_row, mask_column, queries, keys, causal, scale);
    const Dropout<PLAIN> dropout =
        dropout_of<PLAIN>(first_block(counter, advance), head, queries, keys, key0, key1, threshold, rescale);

    const int warp_row = threadIdx.x / 32 * 16 * M, row = first + warp_row, end = causal ? min(keys, first + ROWS) : keys;
    const long long at = head * ceil_div(queries, PAD) * PAD + row;
    float acc[M][D / 8][4];
    clear(acc);

    load_pair<D, ROWS, THREADS>(query_tile, q, g, first);
    cp_async_commit();
    __syncthreads();
    if (end > 0) fetch(0, 0);
    cp_async_commit();
    uint32_t held[4] = {};
    if constexpr (Tile::HOLDS) {
        cp_async_wait<1>();
        __syncthreads();
        ldmatrix_x4(held, chunk<D>(query_tile + warp_row * D, LANE % 16, LANE / 16, 0));
    }
    for (int j = 0, stage = 0; j < end; j += KEYS, stage ^= 1) {
        cp_async_wait<0>();
        __syncthreads();
        if (j + KEYS < end) fetch(stage ^ 1, j + KEYS);
        cp_async_commit();
        if (row >= queries || (causal && j >= row + 16 * M)) continue;
        const T* key_tile = tiles + stage * 2 * KEYS * D;
        const uint64_t kept = dropout.template keep<M, N>(row, j);
        float s[M][N][4], grad_p[M][N][4], top[2 * M], shift[2 * M], centre[2 * M];
        multiply_transposed<D>(s, query_tile + warp_row * D, key_tile, Tile::HOLDS ? held : nullptr);
        mask.template apply<false>(s, row, j);
        multiply_transposed<D>(grad_p, grad_tile + warp_row * D, key_tile + KEYS * D);
        read_statistics(top, shift, centre, statistics + 2 * at, delta + at, mask);
        probabilities(s, grad_p, kept, top, shift, centre, mask, dropout.scale);
        multiply_add<D>(acc, grad_p, key_tile);
    }
    cp_async_wait<0>();
    float scales[2 * M];
#pragma unroll
    for (int r = 0; r < 2 * M; ++r) scales[r] = scale;
    const int ours = anew(blockIdx.x) / blocks;  // the head, once more
    T* to = grad_query + (static_cast<long long>(ours - ours % heads) * queries + ours % heads) * width;
    store_rows(to, static_cast<long long>(heads) * width, row, queries, width, acc, scales);
}

template <typename T, int D, bool PLAIN, bool QUERY>
__global__ void __launch_bounds__(KeyTiles<T, D, PLAIN>::THREADS, 1)
attention_backward_key(const T* query, const T* key, const T* value, const bool* allowed, const T* bias, const T* grad_out,
                       const float* statistics, const float* delta, float* grad_query, T* grad_key, T* grad_value,
                       long long query_batch, long long query_head, long long query_row, long long key_batch,
                       long long key_head, long long key_row, long long value_batch, long long value_head,
                       long long value_row, long long mask_batch, long long mask_head, long long mask_row,
                       long long mask_column, long long grad_batch, long long grad_head, long long grad_row, int heads,
                       int group, int queries, int keys, int width, int value_width, float scale, bool causal, int threshold,
                       float rescale, unsigned long long key0, unsigned long long key1, unsigned long long counter,
                       const unsigned long long* advance) {
    using Tile = KeyTiles<T, D, PLAIN>;
    constexpr int M = Tile::M, KEYS = Tile::KEYS, QUERIES = Tile::QUERIES, THREADS = Tile::THREADS, STAGES = Tile::STAGES;
    constexpr int PART = 16 * M;  // rows of a warp's product
    constexpr int N = KEYS / Tile::across(QUERIES) / 8, ND = D / Tile::across(KEYS) / 8, NQ = D / Tile::across(QUERIES) / 8;
    extern __shared__ __align__(16) unsigned char memory[];
    __shared__ __align__(16) float of_rows[STAGES][3 * QUERIES];  // m and log₂ l of each of a tile's queries, then delta
    T* key_tile = reinterpret_cast<T*>(memory);
    T* value_tile = key_tile + KEYS * D;
    T* p_tile = value_tile + KEYS * D;  // (QUERIES, KEYS), as that of dS
    T* grad_s_tile = p_tile + QUERIES * KEYS;
    T* tiles = grad_s_tile + QUERIES * KEYS;  // a tile of queries and one of grad_out, STAGES times

    const int blocks = (keys + KEYS - 1) / KEYS, first = blockIdx.x % blocks * KEYS, kv_heads = heads / group;
    const int b = blockIdx.x / blocks / kv_heads, kv = blockIdx.x / blocks % kv_heads, warp = threadIdx.x / 32;
    const int row = warp % Tile::down(QUERIES) * 16 * M, column = warp / Tile::down(QUERIES) * 8 * N;      // of scores
    const int key_at = warp % Tile::down(KEYS) * 16 * M, column_d = warp / Tile::down(KEYS) * 8 * ND;  // of grad_K, grad_V
    const Matrix<T> k = matrix<D, THREADS>(key + b * key_batch + kv * key_head, key_row, keys, width);
    const Matrix<T> v = matrix<D, THREADS>(value + b * value_batch + kv * value_head, value_row, keys, value_width);
    const unsigned long long stream = first_block(counter, advance);
    const int start = causal ? first / QUERIES * QUERIES : 0;  // the first tile of queries with a key of these
    float key_acc[M][ND][4], value_acc[M][ND][4];
    clear(key_acc);
    clear(value_acc);

    // The tiles of queries and grad_out from query i on, of a member of the group, with m, log₂ l and delta.
    const auto fetch = [&](int stage, int member, int i) {
        const int h = kv * group + member;
        const long long at = (b * heads + h) * ceil_div(queries, PAD) * PAD + i;
        const Matrix<T> q = matrix<D, THREADS>(query + b * query_batch + h * query_head, query_row, queries, width);
        const Matrix<T> g = matrix<D, THREADS>(grad_out + b * grad_batch + h * grad_head, grad_row, queries, value_width);
        load_pair<D, QUERIES, THREADS>(tiles + stage * 2 * QUERIES * D, q, g, i);
        const int c = threadIdx.x * 4, pairs = 2 * QUERIES;
        const float* from = c < pairs ? statistics + 2 * at + c : delta + at + c - pairs;
        if (c < pairs + QUERIES) cp_async_16(&of_rows[stage][c], from);
        cp_async_commit();
    };
    if (start < queries) {
        load_pair<D, KEYS, THREADS>(key_tile, k, v, first);
        fetch(0, 0, start);
    }
    int stage = 0;
    for (int member = 0; member < group; ++member) {
        const int h = kv * group + member;
        const Mask<T, PLAIN> mask =
            mask_of<PLAIN>(allowed, bias, b * mask_batch + h * mask_head, mask_row, mask_column, queries, keys, causal, scale);
        const Dropout<PLAIN> dropout = dropout_of<PLAIN>(stream, b * heads + h, queries, keys, key0, key1, threshold, rescale);
        for (int i = start; i < queries; i += QUERIES, stage = STAGES - 1 - stage) {
            const bool last = i + QUERIES >= queries, more = !last || member + 1 < group;
            const T *query_tile = tiles + stage * 2 * QUERIES * D, *grad_tile = query_tile + QUERIES * D;
            cp_async_wait<0>();
            __syncthreads();
            if (STAGES == 2 && more) fetch(stage ^ 1, member + last, last ? start : i + QUERIES);
            const int passed = causal ? i - first : KEYS;  // query r of the tile sees key j of these if j ≤ passed + r
            if (column < passed + row + PART) {
                float s[M][N][4], grad_p[M][N][4], top[2 * M], shift[2 * M], centre[2 * M];
                multiply_transposed<D>(s, query_tile + row * D, key_tile + column * D);
                mask.template apply<false>(s, i + row, first + column);
                const uint64_t kept = dropout.template keep<M, N>(i + row, first + column);
                multiply_transposed<D>(grad_p, grad_tile + row * D, value_tile + column * D);
                read_statistics(top, shift, centre, &of_rows[stage][2 * row], &of_rows[stage][2 * QUERIES + row], mask);
                probabilities(s, grad_p, kept, top, shift, centre, mask, dropout.scale);
                put<KEYS>(p_tile, row, column, s);
                put<KEYS>(grad_s_tile, row, column, grad_p);
            }
            __syncthreads();
#pragma unroll
            for (int r = 0; r < QUERIES; r += PART) {
                if (key_at >= passed + r + PART) continue;
                multiply_tiles<KEYS, D, true, PART>(value_acc, p_tile, key_at, grad_tile, column_d, r);
                multiply_tiles<KEYS, D, true, PART>(key_acc, grad_s_tile, key_at, query_tile, column_d, r);
            }
            if constexpr (QUERY) {
                float acc[M][NQ][4];
                clear(acc);
                const int d = static_cast<int>(anew(threadIdx.x)) / 32 / Tile::down(QUERIES) * 8 * NQ;
#pragma unroll
                for (int j = 0; j < KEYS && j < passed + row + PART; j += PART)
                    multiply_tiles<KEYS, D, false, PART>(acc, grad_s_tile, row, key_tile, d, j);
                float* to = grad_query + (static_cast<long long>(b) * queries * heads + h) * width + d;
                add_rows(to, static_cast<long long>(heads) * width, i + row, queries, width - d, acc, scale);
            }
            if (STAGES == 1 && more) {
                __syncthreads();
                fetch(0, member + last, last ? start : i + QUERIES);
            }
        }
    }
    float key_scale[2 * M], value_scale[2 * M];
#pragma unroll
    for (int r = 0; r < 2 * M; ++r) key_scale[r] = scale, value_scale[r] = rescale;
    const long long place = static_cast<long long>(b) * keys * kv_heads + kv, stride = kv_heads;
    const int at = first + key_at, d = column_d;
    store_rows(grad_key + place * width + d, stride * width, at, keys, width - d, key_acc, key_scale);
    store_rows(grad_value + place * value_width + d, stride * value_width, at, keys, value_width - d, value_acc, value_scale);
}

// grad_query = the sums that attention_backward_key has left, rounded.
template <typename T> __global__ void __launch_bounds__(BLOCK) attention_round(const float* sums, T* grad_query, long long n) {
    const long long i = (static_cast<long long>(blockIdx.x) * BLOCK + threadIdx.x) * 4;  // n is a multiple of 8
    if (i >= n) return;
    const Vec<float, 4> v = load<4>(sums + i);
    Vec<T, 4> rounded;
#pragma unroll
    for (int k = 0; k < 4; ++k) rounded.at[k] = from_float<T>(v.at[k]);
    store(grad_query + i, rounded);
}
