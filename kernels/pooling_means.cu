// Means of windows of any size and stride, at images of any width: averages (`avg_pool`) and windows that cover the image evenly
// (`adaptive_avg_pool`).
//
//     y[h, w] = Σ x over rows(h) × columns(w) / count(h, w)
//
// rows(h) is [S h − top, S h − top + K), of which the part in the image, or, adaptive, [⌊h·H/Ho⌋, ⌈(h + 1)·H/Ho⌉); columns alike
// (`Ranges`). count is `divisor` unless that is 0, else how many elements of the image, or `padded` of its padding, too, the window has.
//
// Sums are separable: rows are added up first, and windows then add columns of these sums, which shared memory holds: S K + K numbers
// for a window instead of K². A thread takes EACH rows together, and loops over a window's columns once for all. What belongs to a
// column a thread finds once, what belongs to a row the block once, in a table, and a block does `turns` such pieces one after the
// other. Sums have one order, and so always the same bits.
//
// Types and rows: as `pooling_means.cuh` has them. Launch: 128 threads to a block, which has `group` of the `lines` rows of windows of
// all planes at a time, and `tile` windows of a row, the last of `tiles` maybe fewer. Dynamic shared memory: `group` rows of `chunks`
// times what a thread has.
//
// Cost: bytes, sizeof(T)·(H W + Ho Wo) a plane; at most 12 instructions a pixel for windows of 4 × 4 side by side, 23 for those of a
// sequence of 5, 2 apart.
#include "pooling_means.cuh"

constexpr int THREADS = 128;

template <typename T, bool FLAT> struct Sum {  // of a column
    using type = float;
};
template <typename T> struct Sum<T, true> {  // the number itself
    using type = T;
};

// Zeros where they are not there; as words, since the compiler puts numbers of 16 bits together one by one.
template <int V, typename T> __device__ __forceinline__ Vec<T, V> load_if(bool there, const T* from) {
    Vec<T, V> v = {};
    if constexpr (sizeof(v) >= 4) {
        constexpr int WORDS = sizeof(v) / 4;
        Vec<uint32_t, WORDS> words = {};
        if (there) words = load<WORDS>(reinterpret_cast<const uint32_t*>(from));
        memcpy(&v, &words, sizeof(v));
    } else if (there) v = load<V>(from);
    return v;
}

// Σ of the `size` numbers from `first` on, of each of N rows that are `pitch` apart.
template <int N, typename Q>
__device__ __forceinline__ void add_along(float (&sum)[N], const Q* first, int size, int pitch) {
    const Q* at[N];
#pragma unroll
    for (int i = 0; i < N; ++i) at[i] = first + i * pitch, sum[i] = 0;
    const auto add = [&](auto count) {
#pragma unroll
        for (int i = 0; i < N; ++i) {
#pragma unroll
            for (int k = 0; k < count; ++k) sum[i] += to_float(at[i][k]);
            at[i] += count;
        }
    };
#pragma unroll 1
    for (int left = size; left >= 4; left -= 4) add(Constant<4>());
    if (size & 2) add(Constant<2>());
    if (size & 1) add(Constant<1>());
}

template <typename T, int V, bool FLAT>
__global__ void __launch_bounds__(THREADS, 8)
window_means(const T* __restrict__ x, T* __restrict__ y, int lines, int group, int turns, int chunks, int tile, int tiles,
             int height, int width, int output_h, int output_w, int step_h, int step_w, int last_h, int last_w, int top, int left,
             bool padded, float divisor, unsigned long long by_h, unsigned long long by_w, int by_chunks, int by_tile,
             unsigned long long by_output_h, unsigned long long by_tiles) {
    extern __shared__ __align__(16) unsigned char memory[];
    __shared__ __align__(16) int table[FLAT ? 4 : 2 * LINES];     // the first pixel of a row of windows, and rows of pixels
    __shared__ __align__(16) float counts[FLAT ? 4 : 2 * LINES];  // the rows that count, and their inverse
    constexpr int M = ACCESSES<V, FLAT>;
    const Ranges down{step_h, 0, last_h, top, height, by_h}, across{step_w, 0, last_w, left, width, by_w};
    const int part = quotient(blockIdx.x, by_tiles), from = (static_cast<int>(blockIdx.x) - part * tiles) * tile;
    const int to = min(from + tile, output_w), apart = chunks * V, pitch = M * apart, edge = across.begin(from) / V * V;
    Lane<THREADS> adder(chunks, by_chunks);
    const int column = edge + adder.column * V, columns = across.end(to - 1) - column;
    if (columns <= 0) adder.row = LINES;
    Lane<THREADS> writer(tile, by_tile);
    const int o = from + writer.column, begin = across.begin(o), size = across.end(o) - begin;
    if (o >= to) writer.row = LINES;
    const float count_w = divisor != 0 ? divisor : across.counted(o, padded), by_count_w = inverse_of(count_w);
    using S = typename Sum<T, FLAT>::type;
    S* const sums = reinterpret_cast<S*>(memory);
#pragma unroll 1
    for (int turn = 0, line = part * turns * group; turn < turns && line < lines; ++turn, line += group) {
        const int here = min(group, lines - line), all = (here + EACH - 1) / EACH * EACH;  // rows that are not there are zeros
        const int first_plane = FLAT ? 0 : quotient(line, by_output_h);
        if constexpr (!FLAT) {
#pragma unroll 1
            for (int l = threadIdx.x; l < all; l += THREADS) {
                const int plane = quotient(line + l, by_output_h), h = line + l - plane * output_h, first = down.begin(h);
                const float count = divisor != 0 ? 1.0f : down.counted(h, padded);
                const unsigned row = (plane - first_plane) * height + first;  // of fewer than 2³² pixels
                store(table + 2 * l, Vec<int, 2>{static_cast<int>(row * width), l < here ? down.end(h) - first : 0});
                store(counts + 2 * l, Vec<float, 2>{count, inverse_of(count)});
            }
            __syncthreads();
        }
        const long long first_line = FLAT ? line + adder.row : static_cast<long long>(first_plane) * height;
        const T* of_block = x + (first_line * width + column);
        const int* row = table + 2 * adder.row;
        S* to_sums = sums + adder.row * pitch + adder.column * V;
#pragma unroll 1
        for (int l = adder.row; l < all; l += adder.rows, to_sums += adder.rows * pitch) {
            if constexpr (FLAT) {
#pragma unroll
                for (int m = 0; m < M; ++m)
                    store_at_once(to_sums + m * apart, load_if<V>(l < here && m * apart < columns, of_block + m * apart));
                of_block += static_cast<long long>(adder.rows) * width;
            } else {
                const auto [first, size] = load<2>(row).at;
                const T* at = of_block + static_cast<unsigned>(first);
                row += 2 * adder.rows;
                float sum[M][V] = {};
                const auto add = [&](auto count) {
                    Vec<T, V> v[count][M];
#pragma unroll
                    for (int i = 0; i < count; ++i, at += width) {
#pragma unroll
                        for (int m = 0; m < M; ++m) v[i][m] = load_if<V>(m == 0 || m * apart < columns, at + m * apart);
                    }
#pragma unroll
                    for (int i = 0; i < count; ++i) {
#pragma unroll
                        for (int m = 0; m < M; ++m) {
                            float of[V];
                            to_floats(of, v[i][m]);
#pragma unroll
                            for (int k = 0; k < V; ++k) sum[m][k] += of[k];
                        }
                    }
                };
#pragma unroll 1
                for (int r = size; r >= 4; r -= 4) add(Constant<4>());
                if (size & 2) add(Constant<2>());
                if (size & 1) add(Constant<1>());
#pragma unroll
                for (int m = 0; m < M; ++m) write_neighbours(to_sums + m * apart, sum[m]);
            }
        }
        __syncthreads();
        T* out = y + (static_cast<long long>(line + EACH * writer.row) * output_w + o);
        const float* count = counts + 2 * EACH * writer.row;
        const long long next = static_cast<long long>(EACH * writer.rows) * output_w;
#pragma unroll 1
        for (int l = EACH * writer.row; l < here; l += EACH * writer.rows, out += next, count += 2 * EACH * writer.rows) {
            float sum[EACH];
            add_along(sum, sums + l * pitch + (begin - edge), size, pitch);
#pragma unroll
            for (int i = 0; i < EACH; ++i) {
                Vec<float, 2> rows = {1, 1};
                if constexpr (!FLAT) rows = load<2>(count + 2 * i);
                const float inverse = by_count_w * rows.at[1];
                // the last bit of a float is lost in halves
                const float mean = sizeof(T) < 4 ? sum[i] * inverse : divided(sum[i], count_w * rows.at[0], inverse);
                if (l + i < here) out[i * output_w] = from_float<T>(mean);
            }
        }
        __syncthreads();
    }
}
