// What the passes of attention share: tiles in shared memory, their products, masks and dropout.
//
// A warp owns 16·M rows of a product and all of its 8·N columns, in the fragments of `mma_m16n8k16` (ptx.cuh) for every
// type: lane = 4·group + member holds, of the tile (m, n), the elements e = 0 … 3 in row 16·m + group + 8·(e / 2) and
// column 8·n + 2·member + e % 2. half and bfloat16 multiply on tensor cores; float has no such instruction without a
// loss of precision, and multiplies by FMA on the same fragments, so all else is written once.
#pragma once
#include "philox.cuh"
#include "ptx.cuh"

constexpr float LOG2_E = 1.4426950408889634f;
constexpr int PAD = 128;  // statistics of rows have a multiple of PAD, so that tiles of them need no checks

#define GROUP static_cast<int>(LANE / 4)
#define MEMBER static_cast<int>(LANE % 4)

// --- tiles -----------------------------------------------------------------------------------------------------------
// `width` columns, next to each other, of `rows` rows that are `stride` elements apart; `data` is where a thread's part of it
// begins, 16 bytes of some rows.
template <typename T> struct Matrix {
    const T* data;
    long long stride;
    int rows, width;
};

// A thread's part of a matrix, for THREADS threads that copy tiles of D columns.
template <int D, int THREADS, typename T>
__device__ __forceinline__ Matrix<T> matrix(const T* data, long long stride, int rows, int width) {
    constexpr int CHUNKS = D / VECTOR<T>;
    return {data + threadIdx.x / CHUNKS * stride + threadIdx.x % CHUNKS * VECTOR<T>, stride, rows, width};
}

// The same within a loop: what follows from the thread's number is computed each time, as registers are scarcer than time.
template <int D, int THREADS, typename T>
__device__ __forceinline__ Matrix<T> matrix_anew(const T* data, long long stride, int rows, int width) {
    constexpr int CHUNKS = D / VECTOR<T>;
    const unsigned thread = anew(threadIdx.x);
    return {data + thread / CHUNKS * stride + thread % CHUNKS * VECTOR<T>, stride, rows, width};
}

// Chunk c ^ beyond, of 16 bytes, of a row of a tile with D columns. Each eight chunks are permuted so that the same chunk of
// eight neighbouring rows lies in all 32 banks. To go from chunk to chunk costs one instruction where `beyond` is constant.
template <int D, typename T> __device__ __forceinline__ T* chunk(T* tile, int row, int c, int beyond = 0) {
    static_assert(D * sizeof(T) >= 128, "a row is at least one line of the banks");
    constexpr int N = VECTOR<T>;
    return tile + ((row * D + ((row ^ c) & 7) * N) ^ (beyond % 8 * N)) + ((c & ~7) + beyond / 8 * 8) * N;
}

template <int D, typename T> __device__ __forceinline__ T* entry(T* tile, int row, int column) {
    return chunk<D>(tile, row, column / VECTOR<T>) + column % VECTOR<T>;
}

// Start to copy rows [first, first + ROWS) to a tile; zeros stand for what the matrix does not have.
template <int D, int ROWS, int THREADS, typename T>
__device__ __forceinline__ void load_tile(T* tile, const Matrix<T>& from, int first) {
    constexpr int CHUNKS = D / VECTOR<T>, STEP = THREADS / CHUNKS;  // rows that all threads copy at once
    const int row = threadIdx.x / CHUNKS, c = threadIdx.x % CHUNKS;
    const int rows = c * VECTOR<T> < from.width ? from.rows - row - first : 0;  // that are there
    const T* source = from.data + first * from.stride;
#pragma unroll
    for (int i = 0; i < ROWS; i += STEP, source += STEP * from.stride)
        if (STEP <= ROWS || row < ROWS)
            cp_async_16(chunk<D>(tile + (i & ~7) * D, row + (i & 7), c), source, i < rows);
}

// The same rows of two matrices, into a tile and the one behind it.
template <int D, int ROWS, int THREADS, typename T>
__device__ __forceinline__ void load_pair(T* tiles, const Matrix<T>& one, const Matrix<T>& other, int first) {
    load_tile<D, ROWS, THREADS>(tiles, one, first);
    load_tile<D, ROWS, THREADS>(tiles + ROWS * D, other, first);
}

// --- products --------------------------------------------------------------------------------------------------------
template <int M, int N> __device__ __forceinline__ void clear(float (&acc)[M][N][4]) {
#pragma unroll
    for (int m = 0; m < M; ++m)
#pragma unroll
        for (int n = 0; n < N; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) acc[m][n][e] = 0;
}

// acc = A Bᵀ over D columns: A is the first 16·M rows of a tile, B the first 8·N rows of another. `held`, unless it is null:
// the fragment of A's first 16 rows and columns, which is not loaded again then.
template <int D, typename T, int M, int N>
__device__ __forceinline__ void multiply_transposed(float (&acc)[M][N][4], const T* a, const T* b, const uint32_t* held = nullptr) {
    clear(acc);
    if constexpr (sizeof(T) == 2) {
        const auto step = [&](int k, const uint32_t* first) {
            uint32_t x[M][4];
            if (first) memcpy(x[0], first, sizeof(x[0]));
#pragma unroll
            for (int m = first ? 1 : 0; m < M; ++m) ldmatrix_x4(x[m], chunk<D>(a + 16 * m * D, LANE % 16, LANE / 16, 2 * k));
#pragma unroll
            for (int n = 0; n < N; n += 2) {
                uint32_t y[4];
                ldmatrix_x4(y, chunk<D>(b + 8 * n * D, LANE / 16 * 8 + LANE % 8, LANE / 8 % 2, 2 * k));
#pragma unroll
                for (int m = 0; m < M; ++m) mma_m16n16k16<T>(acc[m][n], acc[m][n + 1], x[m], y);
            }
        };
        if (held) step(0, held);
#pragma unroll 2  // more makes the compiler load so far ahead that registers run out
        for (int k = held ? 1 : 0; k < D / 16; ++k) step(k, nullptr);
    } else {
#pragma unroll 1
        for (int k = 0; k < D / 4; ++k) {
            Vec<T, 4> x[2 * M];
#pragma unroll
            for (int r = 0; r < 2 * M; ++r) x[r] = load<4>(chunk<D>(a + 8 * r * D, GROUP, k));
#pragma unroll
            for (int c = 0; c < 2 * N; ++c) {
                const Vec<T, 4> y = load<4>(chunk<D>(b + c / 2 * 8 * D, 2 * MEMBER + c % 2, k));
#pragma unroll
                for (int r = 0; r < 2 * M; ++r)
#pragma unroll
                    for (int i = 0; i < 4; ++i) {
                        float& sum = acc[r / 2][c / 2][r % 2 * 2 + c % 2];
                        sum = fmaf(x[r].at[i], y.at[i], sum);
                    }
            }
        }
    }
}

// acc += A B: A is what an earlier product left in the warp's registers (rounded to T), B the first 8·N rows of a tile.
template <int D, typename T, int M, int N>
__device__ __forceinline__ void multiply_add(float (&acc)[M][D / 8][4], const float (&a)[M][N][4], const T* b) {
    if constexpr (sizeof(T) == 2) {
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            uint32_t x[M][4];
#pragma unroll
            for (int m = 0; m < M; ++m)
#pragma unroll
                for (int r = 0; r < 4; ++r) x[m][r] = pack2<T>(a[m][n + r / 2][r % 2 * 2], a[m][n + r / 2][r % 2 * 2 + 1]);
#pragma unroll
            for (int d = 0; d < D / 8; d += 2) {
                uint32_t y[4];
                ldmatrix_x4_trans(y, chunk<D>(b + 8 * n * D, LANE % 16, LANE / 16, d));
#pragma unroll
                for (int m = 0; m < M; ++m) mma_m16n16k16<T>(acc[m][d], acc[m][d + 1], x[m], y);
            }
        }
    } else {
#pragma unroll
        for (int n = 0; n < N; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e)
#pragma unroll 1
                for (int member = 0; member < 4; ++member) {  // whose column of A it is
                    float x[2 * M];
#pragma unroll
                    for (int r = 0; r < 2 * M; ++r) x[r] = __shfl_sync(FULL, a[r / 2][n][r % 2 * 2 + e], 4 * GROUP + member);
                    const int row = 8 * n + 2 * member + e;
#pragma unroll
                    for (int d = 0; d < D / 8; ++d) {
                        const Vec<T, 2> y = load<2>(chunk<D>(b, row, 2 * d + MEMBER / 2) + MEMBER % 2 * 2);
#pragma unroll
                        for (int r = 0; r < 2 * M; ++r)
#pragma unroll
                            for (int i = 0; i < 2; ++i) {
                                float& sum = acc[r / 2][d][r % 2 * 2 + i];
                                sum = fmaf(x[r], y.at[i], sum);
                            }
                    }
                }
    }
}

// acc += A B over columns [from, from + K): A is 16·M rows of a tile with W columns, from `row` on, or TRANSPOSED 16·M of its
// columns; B is 8·N columns, from `column` on, of a tile with D.
template <int W, int D, bool TRANSPOSED, int K, typename T, int M, int N>
__device__ __forceinline__ void multiply_tiles(float (&acc)[M][N][4], const T* a, int row, const T* b, int column, int from) {
    if constexpr (sizeof(T) == 2) {
#pragma unroll 4  // as above
        for (int k = from; k < from + K; k += 16) {
            uint32_t x[M][4];
#pragma unroll
            for (int m = 0; m < M; ++m)
                if constexpr (TRANSPOSED)
                    ldmatrix_x4_trans(x[m], chunk<W>(a + k * W, LANE / 16 * 8 + LANE % 8, row / 8 + LANE / 8 % 2, 2 * m));
                else
                    ldmatrix_x4(x[m], chunk<W>(a + (row + 16 * m) * W, LANE % 16, LANE / 16, k / 8));
#pragma unroll
            for (int n = 0; n < N; n += 2) {
                uint32_t y[4];
                ldmatrix_x4_trans(y, chunk<D>(b + k * D, LANE % 16, column / 8 + LANE / 16, n));
#pragma unroll
                for (int m = 0; m < M; ++m) mma_m16n16k16<T>(acc[m][n], acc[m][n + 1], x[m], y);
            }
        }
    } else {
#pragma unroll 2
        for (int k = from; k < from + K; ++k) {
            float x[2 * M];
#pragma unroll
            for (int r = 0; r < 2 * M; ++r)
                x[r] = TRANSPOSED ? *entry<W>(a, k, row + 8 * r + GROUP) : *entry<W>(a, row + 8 * r + GROUP, k);
#pragma unroll
            for (int n = 0; n < N; ++n) {
                const Vec<T, 2> y = load<2>(entry<D>(b, k, column + 8 * n + 2 * MEMBER));
#pragma unroll
                for (int r = 0; r < 2 * M; ++r)
#pragma unroll
                    for (int i = 0; i < 2; ++i) {
                        float& sum = acc[r / 2][n][r % 2 * 2 + i];
                        sum = fmaf(x[r], y.at[i], sum);
                    }
            }
        }
    }
}

// Write a product, rounded to T, to a tile with W columns, from `row` and `column` on.
template <int W, typename T, int M, int N>
__device__ __forceinline__ void put(T* tile, int row, int column, const float (&x)[M][N][4]) {
#pragma unroll
    for (int r = 0; r < 2 * M; ++r)
#pragma unroll
        for (int n = 0; n < N; ++n) {
            const float* two = &x[r / 2][n][r % 2 * 2];
            store(entry<W>(tile, row + 8 * r + GROUP, column + 8 * n + 2 * MEMBER),
                  Vec<T, 2>{{from_float<T>(two[0]), from_float<T>(two[1])}});
        }
}

// Write the warp's rows from `row` on, times `scale`, to rows `stride` elements apart.
template <typename T, int M, int N>
__device__ __forceinline__ void store_rows(T* to, long long stride, int row, int rows, int width, float (&acc)[M][N][4],
                                           const float (&scale)[2 * M]) {
#pragma unroll
    for (int r = 0; r < 2 * M; ++r) {
        const int i = row + 8 * r + GROUP;
        if (i >= rows) continue;
#pragma unroll
        for (int n = 0; n < N; ++n) {
            const float *x = &acc[r / 2][n][r % 2 * 2], s = scale[r];
            if (8 * n < width)
                store(to + i * stride + 8 * n + 2 * MEMBER, Vec<T, 2>{{from_float<T>(x[0] * s), from_float<T>(x[1] * s)}});
        }
    }
}

// Add the same to rows in float, in the order in which blocks come.
template <int M, int N>
__device__ __forceinline__ void add_rows(float* to, long long stride, int row, int rows, int width, float (&acc)[M][N][4],
                                         float scale) {
#pragma unroll
    for (int r = 0; r < 2 * M; ++r) {
        const int i = row + 8 * r + GROUP;
        if (i >= rows) continue;
#pragma unroll
        for (int n = 0; n < N; ++n) {
            const float* x = &acc[r / 2][n][r % 2 * 2];
            if (8 * n < width) atomic_add_2(to + i * stride + 8 * n + 2 * MEMBER, x[0] * scale, x[1] * scale);
        }
    }
}

// --- who takes part --------------------------------------------------------------------------------------------------
// The masks of one head: key j takes part for query i if j < keys, if j ≤ i should it be causal, and if allowed[i, j];
// bias[i, j] is added to the score. Either array may be missing (null). PLAIN: both are, and the scale is positive.
template <typename T, bool PLAIN = false> struct Mask {
    const bool* allowed;
    const T* bias;
    long long row, column;  // strides
    int queries, keys;
    bool causal;
    float scale;

    // Scores as products leave them are used as they are, with the scale in the exponential's factor, unless that would
    // turn their order round or something is to be added.
    __device__ __forceinline__ bool scaled() const { return !PLAIN && (bias || !(scale > 0)); }
    __device__ __forceinline__ float factor() const { return scaled() ? LOG2_E : scale * LOG2_E; }

    // log₂ of exp(score − top)/l for log_sum = log₂ l. Masks add what is many powers of ten beyond the scores, up to the
    // largest number: the difference comes first then, and top + ln l, in which l may have no digits, is never formed.
    // Without them one instruction does it, on `shift`.
    __device__ __forceinline__ float shift(float top, float log_sum) const {
        return PLAIN ? fmaf(top, factor(), log_sum) : log_sum;
    }
    __device__ __forceinline__ float shift(float top) const {
        return PLAIN ? top * factor() : 0.0f;
    }
    __device__ __forceinline__ float exponent(float s, float top, float shift) const {
        return PLAIN ? fmaf(s, factor(), -shift) : fmaf(s - top, factor(), -shift);
    }
    // The same of an earlier top: 0 if it is still the top, to the bit, or else sums would drift from tile to tile.
    __device__ __forceinline__ float step(float previous, float top) const {
        return PLAIN ? shift(previous) - shift(top) : (previous - top) * factor();
    }

    // The scores of 16·M queries from i on and 8·N keys from j on; KEYS_DOWN: rows are keys, columns queries. One pass does
    // it all: each branch around changes to s, and each address kept, costs registers, which are scarce.
    template <bool KEYS_DOWN, int M, int N> __device__ __forceinline__ void apply(float (&s)[M][N][4], int i, int j) const {
        const int last = j + (KEYS_DOWN ? 16 * M : 8 * N) - 1;
        if ((PLAIN || (!allowed && !scaled())) && last < keys && !(causal && last > i)) return;
        const float multiplier = scaled() ? scale : 1.0f;
        const long long across = KEYS_DOWN ? row : column;
#pragma unroll
        for (int r = 0; r < 2 * M; ++r) {
            const int down = 8 * r + GROUP, right = 2 * MEMBER;  // of this lane's first; which columns from there take part:
            const int query = i + (KEYS_DOWN ? right : down), key = j + (KEYS_DOWN ? down : right);
            const int from = (KEYS_DOWN && causal ? key - i : 0) - right;
            const int to = (KEYS_DOWN ? (key < keys ? queries - i : 0)
                                      : (query < queries ? (causal ? min(keys, query + 1) : keys) - j : 0)) - right;
            long long at = query * row + key * column;
#pragma unroll
            for (int n = 0; n < N; ++n, at += 8 * across)
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    bool part = 8 * n + e < to && (!KEYS_DOWN || 8 * n + e >= from);
                    float& x = s[r / 2][n][r % 2 * 2 + e];
                    if constexpr (!PLAIN) {
                        if (part && allowed) part = allowed[at + e * across];
                        x = fmaf(x, multiplier, part && bias ? to_float(bias[at + e * across]) : 0.0f);
                    }
                    x = part ? x : -INFINITY;
                }
        }
    }
};

// The mask of the head whose elements are `offset` into the arrays.
template <bool PLAIN, typename T>
__device__ __forceinline__ Mask<T, PLAIN> mask_of(const bool* allowed, const T* bias, long long offset, long long row,
                                                  long long column, int queries, int keys, bool causal, float scale) {
    return {allowed ? allowed + offset : nullptr, bias ? bias + offset : nullptr, row, column, queries, keys, causal, scale};
}

// --- dropout ---------------------------------------------------------------------------------------------------------
// Which elements of one head's (queries, keys) probabilities stay: those whose draw of 16 bits is below `threshold`. A
// block of the random stream has the draws of 16 neighbouring keys of one query, `blocks` of them make a row.
template <bool PLAIN> struct Dropout {
    unsigned long long first, key0, key1;  // the block of query 0 and key 0; the seed
    int blocks, threshold;
    float scale;  // 1/(1 − p)

    __device__ __forceinline__ bool active() const { return !PLAIN && threshold < 1 << 16; }

    // Bit k: whether key 16·block + k stays.
    __device__ __forceinline__ uint32_t row_bits(int query, int block) const {
        const Philox4x64 words = philox_block(first + static_cast<long long>(query) * blocks + block, key0, key1);
        uint32_t bits = 0;
#pragma unroll
        for (int k = 0; k < 16; ++k) bits |= ((words.half(k / 2) >> k % 2 * 16 & 0xffff) < threshold ? 1u : 0u) << k;
        return bits;
    }

    // Bit 4·(N·m + n) + e: whether element e of the tile (m, n) of M × N stays, for 16·M queries and 8·N keys. Best asked
    // for before there are scores, and made for one row of tiles after the other: registers are scarce.
    template <int M, int N> __device__ __forceinline__ uint64_t keep(int query, int key) const {
        if constexpr (PLAIN) return ~0ull;
        else {
            static_assert(M * N <= 16, "one bit for each element");
            uint64_t kept = active() ? 0 : ~0ull;
#pragma unroll 1
            for (int m = 0; active() && m < M; ++m)
                kept |= static_cast<uint64_t>(row_of_tiles<N>(query + 16 * m, key)) << (4 * N * m);
            return kept;
        }
    }

    // Bit 4·n + e: whether element e of the n-th of N tiles beside each other stays. Each lane computes one block at a time
    // and hands it round.
    template <int N> __device__ __forceinline__ uint32_t row_of_tiles(int query, int key) const {
        static_assert(N % 4 == 0 || N < 4, "32 columns at a time");
        static_assert(N <= 8, "one register has room for 8 tiles");
        uint32_t kept = 0;
#pragma unroll 1  // side by side, the words of two blocks would take too many registers
        for (int n0 = 0; n0 < N; n0 += 4) {  // 32 columns
            const uint32_t bits = row_bits(query + GROUP + MEMBER / 2 * 8, key / 16 + n0 / 2 + MEMBER % 2);
#pragma unroll
            for (int n = 0; n < 4 && n < N; ++n)
#pragma unroll
                for (int h = 0; h < 2; ++h) {  // the row, of two
                    const uint32_t row = __shfl_sync(FULL, bits, 4 * GROUP + 2 * h + n / 2);
                    kept |= (row >> ((key + 8 * n) % 16 + 2 * MEMBER) & 3) << (2 * h) << (4 * (n0 + n));
                }
        }
        return kept;
    }
};

// Dropout of a head, counted through the batch, of a draw whose first block is `first`.
template <bool PLAIN>
__device__ __forceinline__ Dropout<PLAIN> dropout_of(unsigned long long first, long long head, int queries, int keys,
                                                     unsigned long long key0, unsigned long long key1, int threshold,
                                                     float scale) {
    const int blocks = static_cast<int>(ceil_div(keys, 16));
    return {first + head * queries * blocks, key0, key1, blocks, threshold, scale};
}
