// Means of windows of any size and stride, at images of any width: averages (`avg_pool`) and windows that cover the image evenly
// (`adaptive_avg_pool`), and their gradients.
//
//     y[h, w] = Σ x over rows(h) × columns(w) / count(h, w)
//     grad_x[r, c] = Σ g / count over the windows that have row r, and of these over those that have column c
//
// rows(h) is [S h − top, S h − top + K), of which the part in the image, or, adaptive, [⌊h·H/Ho⌋, ⌈(h + 1)·H/Ho⌉); columns alike.
// The windows that have a row are a range, too (`Ranges`). count is `divisor` unless that is 0, else how many elements of the
// image, or `padded` of its padding, too, the window has.
//
// Sums are separable: forward, rows are added up first, and windows then add columns of these sums, which shared memory holds:
// S K + K numbers for a window instead of K². Backward is the transpose: first each column gets its share of the windows of a row,
// then each row of pixels adds what its rows of windows have left. A thread takes EACH rows together: four shares move at once, and
// it loops over a column's windows, or those of two neighbours, once for all. What belongs to a column a thread finds once, what
// belongs to a row the block once, in a table, and a block does `turns` such pieces one after the other. Sums have one order, and so
// always the same bits.
//
// Planes (H, W) of x and (Ho, Wo) of y; T is float, half or bfloat16, sums are float. An access of an image's row is V numbers, 4
// where rows are whole accesses, else 1; a thread has several. FLAT: a row of windows has one of pixels (sequences), so that
// nothing is added down.
//
// Launch: 128 threads to a block. Forward, a block has `group` of the `lines` rows of windows of all planes at a time, backward
// `rows` rows of `together` planes, all or (`bands`) of one, of which a thread has one of `parts`. Either has `tile` windows, or
// columns, of a row, the last of `tiles` maybe fewer. Dynamic shared memory: forward `group` rows of `chunks` times what a thread
// has, backward as many floats for each row of windows as windows reach into the tile, and `tile` more unless FLAT.
//
// Cost: bytes, sizeof(T)·(H W + Ho Wo) a plane; at most 11 instructions a pixel forward and 13 backward for windows of 4 × 4
// side by side, 23 and 21 for those of a sequence of 5, 2 apart.
#include "neighbours.cuh"
#include "ptx.cuh"
#include "windows.cuh"

constexpr int THREADS = 128;
constexpr int LINES = 256;  // rows of windows, or of pixels, that a block has at a time
constexpr int EACH = 8;     // of which a thread does so many together, when it adds along a row

template <int N> struct Constant {
    __device__ constexpr operator int() const { return N; }
};

// How many accesses a thread has in a row; each is `apart` numbers from the one before, and not there behind the row's end.
template <int V, bool FLAT> constexpr int ACCESSES = V == 1 || FLAT ? 4 : 2;

// How many neighbouring columns a thread adds up at a time, backward: of most of their windows they read the same shares.
template <bool FLAT> constexpr int COLUMNS = FLAT ? 2 : 1;

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

// Which of `width` ≤ THREADS neighbours a thread has, in the first of its rows, and how many rows of them there are threads for.
// `by_width` is ⌈2¹⁶ / width⌉; a thread without a place has a row behind all.
struct Lane {
    int row, column, rows;
    __device__ __forceinline__ Lane(int width, int by_width)
        : row(static_cast<int>(threadIdx.x) * by_width >> 16), rows(THREADS * by_width >> 16) {
        column = static_cast<int>(threadIdx.x) - row * width;
        if (row >= rows) row = LINES;
    }
};

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

// --- forward ---------------------------------------------------------------------------------------------------------
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
    Lane adder(chunks, by_chunks);
    const int column = edge + adder.column * V, columns = across.end(to - 1) - column;
    if (columns <= 0) adder.row = LINES;
    Lane writer(tile, by_tile);
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

// --- backward --------------------------------------------------------------------------------------------------------
// The shares of four rows in a window lie together, in the next window behind them, and those of the next four rows `pitch` floats on.
// To the sums of the columns from FIRST on, before LAST, Σ over `size` windows.
template <int FIRST, int LAST, int P>
__device__ __forceinline__ void add_shares(float (&sum)[EACH][P], const float* share, int size, int pitch) {
#pragma unroll 1
    for (; size > 0; --size, share += 4) {
#pragma unroll
        for (int i = 0; i < EACH; i += 4) {
            const Vec<float, 4> v = load<4>(share + i / 4 * pitch);
#pragma unroll
            for (int k = 0; k < 4; ++k)
#pragma unroll
                for (int c = FIRST; c < LAST; ++c) sum[i + k][c] += v.at[k];
        }
    }
}

template <typename T, int V, bool FLAT>
__global__ void __launch_bounds__(THREADS, 8)
window_means_gradient(const T* __restrict__ g, T* __restrict__ grad_x, int planes, int together, int turns, int parts, int part_rows,
                      int band_rows, int bands, int chunks, int tile, int tiles, int reach, int height, int width, int output_h,
                      int output_w, int step_h, int step_w, int first_h, int first_w, int last_h, int last_w, int stride_h, int stride_w,
                      int kernel_h, int kernel_w, int top, int left, bool padded, float divisor, unsigned long long by_h,
                      unsigned long long by_w, unsigned long long by_windows_h, unsigned long long by_windows_w, int by_tile,
                      int by_chunks, int by_reach, int by_lines, int by_together, unsigned long long by_tiles,
                      unsigned long long by_bands) {
    extern __shared__ __align__(16) unsigned char memory[];
    __shared__ __align__(16) float shares_h[FLAT ? 4 : LINES];  // of a row of windows
    __shared__ int table[FLAT ? 1 : LINES];  // of a row of pixels where its rows of windows begin, times 2¹⁶, and how many it has
    constexpr int M = ACCESSES<V, FLAT>, P = COLUMNS<FLAT>;
    const Ranges down{step_h, first_h, last_h, 0, output_h, by_h}, across{step_w, first_w, last_w, 0, output_w, by_w};
    const Ranges windows_h{stride_h, 0, kernel_h, top, height, by_windows_h};
    const Ranges windows_w{stride_w, 0, kernel_w, left, width, by_windows_w};
    const int unit = quotient(blockIdx.x, by_tiles), part = quotient(unit, by_bands);
    const int from = (static_cast<int>(blockIdx.x) - unit * tiles) * tile, to = min(from + tile, width);
    const int row = (unit - part * bands) * band_rows, rows = min(band_rows, height - row), h = down.begin(row);
    const int lines = max(down.end(row + rows - 1) - h, 0);
    const int edge = across.begin(from), most = (together * lines + EACH - 1) / EACH * EACH;
    if constexpr (!FLAT) {
#pragma unroll 1
        for (int l = threadIdx.x; l < most; l += THREADS)
            shares_h[l] = inverse_of(divisor != 0 ? divisor : windows_h.counted(h + l - (l * by_lines >> 16) * lines, padded));
#pragma unroll 1
        for (int r = threadIdx.x; r < rows; r += THREADS) {
            const int first = down.begin(row + r);
            table[r] = (first - h) * tile << 16 | max(down.end(row + r) - first, 0);
        }
    }
    Lane reader(reach, by_reach);
    const int o = edge + reader.column;
    if (o >= across.end(to - 1)) reader.row = LINES;
    const float share_w = inverse_of(divisor != 0 ? FLAT ? divisor : 1.0f : windows_w.counted(o, padded));
    const int at_once = min(tile / P, THREADS);  // of P columns
    Lane adder(at_once, by_tile);
    if (adder.column * P >= to - from) adder.row = LINES;
    Lane writer(chunks, by_chunks);
    const int apart = chunks * V, column_out = writer.column * V, columns = to - from - column_out;
    if (columns <= 0) writer.row = LINES;
    // Of rows of windows, all planes', shares of g, and what each column of the tile gets of these.
    float* const sums = reinterpret_cast<float*>(memory);
    float* const shares = sums + (FLAT ? 0 : most * tile);
    __syncthreads();
#pragma unroll 1
    for (int turn = 0, plane = part * turns * together; turn < turns && plane < planes; ++turn, plane += together) {
        const int there = min(together, planes - plane) * lines;
        {
            // several planes are whole ones, which lie together
            const T* at = g + ((static_cast<long long>(plane) * output_h + h + EACH * reader.row) * output_w + o);
            const long long next = static_cast<long long>(EACH * reader.rows) * output_w;
            float* share = shares + EACH * reader.row * reach + 4 * reader.column;
            const float* share_h = shares_h + EACH * reader.row;
            const auto read = [&](auto all, int left) {  // all EACH rows, or those that are left
#pragma unroll
                for (int i = 0; i < EACH; i += 4) {
                    Vec<float, 4> v = {1, 1, 1, 1};
                    if constexpr (!FLAT) v = load<4>(share_h + i);
#pragma unroll
                    for (int k = 0; k < 4; ++k)
                        v.at[k] *= share_w * to_float(at[(all ? i + k : min(i + k, left - 1)) * output_w]);
                    store(share + i * reach, v);
                }
            };
#pragma unroll 1
            for (int left = there - EACH * reader.row; left > 0; left -= EACH * reader.rows) {
                if (left >= EACH) read(Constant<true>(), left);
                else read(Constant<false>(), left);
                at += next;
                share += EACH * reader.rows * reach;
                share_h += EACH * reader.rows;
            }
        }
        __syncthreads();
        T* const to_x = grad_x + ((static_cast<long long>(plane) * height + row + EACH * adder.row) * width + from);
        int column = adder.column * P;
        do {  // but once, unless FLAT
            // two columns: first what the first alone has, then what both have, then what the second alone has
            const int begin = across.begin(from + column) - edge, end = across.end(from + column) - edge;
            const int second = P == 1 ? end : across.begin(from + column + 1) - edge, both = max(end, second);
            const int last = P == 1 ? end : across.end(from + column + 1) - edge;
            T* out = to_x + column;
            const long long next = static_cast<long long>(EACH * adder.rows) * width;
            float* to_sums = sums + EACH * adder.row * tile + column;
            const float* share = shares + EACH * adder.row * reach;
#pragma unroll 1
            for (int left = there - EACH * adder.row; left > 0; left -= EACH * adder.rows) {
                float sum[EACH][P] = {};
                add_shares<0, 1>(sum, share + 4 * begin, min(second, end) - begin, 4 * reach);
                if constexpr (P > 1) {
                    add_shares<0, 2>(sum, share + 4 * second, end - second, 4 * reach);
                    add_shares<1, 2>(sum, share + 4 * both, last - both, 4 * reach);
                }
                const auto write = [&](auto all) {
#pragma unroll
                    for (int i = 0; i < EACH; ++i) {
                        if constexpr (!FLAT) to_sums[i * tile] = sum[i][0];
                        else if (!all && i >= left) continue;
                        else if constexpr (V > 1) write_neighbours(out + i * width, sum[i]);
                        else {
                            out[i * width] = from_float<T>(sum[i][0]);
                            if (column + 1 < to - from) out[i * width + 1] = from_float<T>(sum[i][P - 1]);
                        }
                    }
                };
                if (!FLAT || left >= EACH) write(Constant<true>());
                else write(Constant<false>());
                out += next;
                to_sums += EACH * adder.rows * tile;
                share += EACH * adder.rows * reach;
            }
            column += at_once * P;
        } while (FLAT && column < to - from);
        __syncthreads();
        if constexpr (FLAT) continue;
        // A thread has neighbouring rows of a plane, whose windows are often those of the row before. Threads beside it have the same
        // rows of other planes, and so go the same way.
        const int items = together * parts;
#pragma unroll 1
        for (int item = writer.row; item < items; item += writer.rows) {
            const int which = item * by_together >> 16, of = item - which * together;
            const int first = which * part_rows, last = min(first + part_rows, rows);
            if (of * lines + lines > there) continue;
            const unsigned of_plane = anew(of * lines * tile + column_out);
            T* out = grad_x + ((static_cast<long long>(plane + of) * height + row + first) * width + from + column_out);
            const int *span = table + first, *const end = table + last;
            Vec<T, V> v[M];
            int before = -1;
#pragma unroll 1
            for (; span < end; ++span, out += width) {
                if (*span != before) {
                    before = *span;
                    const float* at = sums + of_plane + (before >> 16);
                    float sum[M][V] = {};
                    int count = before & 0xffff;
                    if (count > 0) {
#pragma unroll
                        for (int m = 0; m < M; ++m)
                            if (m == 0 || m * apart < columns) read_neighbours(sum[m], at + m * apart);
                    }
#pragma unroll 1
                    while (--count > 0) {
                        at += tile;
#pragma unroll
                        for (int m = 0; m < M; ++m) {
                            float of_row[V] = {};
                            if (m == 0 || m * apart < columns) read_neighbours(of_row, at + m * apart);
#pragma unroll
                            for (int k = 0; k < V; ++k) sum[m][k] += of_row[k];
                        }
                    }
#pragma unroll
                    for (int m = 0; m < M; ++m)
#pragma unroll
                        for (int k = 0; k < V; ++k) v[m].at[k] = from_float<T>(sum[m][k]);
                }
#pragma unroll
                for (int m = 0; m < M; ++m)
                    if (m == 0 || m * apart < columns) store_at_once(out + m * apart, v[m]);
            }
        }
    }
}
