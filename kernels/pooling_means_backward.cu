// The gradient of `pooling_means.cu`, whatever the windows.
//
//     grad_x[r, c] = Σ g / count over the windows that have row r, and of these over those that have column c
//
// The windows that have a row are a range (`Ranges`), as its rows are one of a window. Sums are separable, and the transpose of the
// forward's: first each column gets its share of the windows of a row, then each row of pixels adds what its rows of windows have left.
// A thread takes EACH rows together: four shares move at once, and it loops over a column's windows, or those of two neighbours, once
// for all. What belongs to a column a thread finds once, what belongs to a row the block once, in a table, and a block does `turns`
// such pieces one after the other. Sums have one order, and so always the same bits.
//
// Types and rows: as `pooling_means.cuh` has them. Launch: 128 threads to a block, which has `rows` rows of `together` planes at a time,
// all or (`bands`) of one, of which a thread has one of `parts`, and `tile` columns of a row, the last of `tiles` maybe fewer. Dynamic
// shared memory: as many floats for each row of windows as windows reach into the tile, and `tile` more unless FLAT.
//
// Cost: bytes, sizeof(T)·(H W + Ho Wo) a plane; at most 13 instructions a pixel for windows of 4 × 4 side by side, 21 for those of a
// sequence of 5, 2 apart.
#include "pooling_means.cuh"
#include "ptx.cuh"

constexpr int THREADS = 128;

// How many neighbouring columns a thread adds up at a time, backward: of most of their windows they read the same shares.
template <bool FLAT> constexpr int COLUMNS = FLAT ? 2 : 1;

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
    Lane<THREADS> reader(reach, by_reach);
    const int o = edge + reader.column;
    if (o >= across.end(to - 1)) reader.row = LINES;
    const float share_w = inverse_of(divisor != 0 ? FLAT ? divisor : 1.0f : windows_w.counted(o, padded));
    const int at_once = min(tile / P, THREADS);  // of P columns
    Lane<THREADS> adder(at_once, by_tile);
    if (adder.column * P >= to - from) adder.row = LINES;
    Lane<THREADS> writer(chunks, by_chunks);
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
