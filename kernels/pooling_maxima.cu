// Maxima of windows 1 apart, of 3 × 3 pixels to 256 in all, at images of any width and padding. Their gradients:
// `pooling_maxima_backward.cu`.
//
//     y[h, w] = max x[h + i − top, w + j − left], i < KH, j < KW, and which it was, t = KW i + j (the first, or the last NaN)
//
// A block has tiles of images side by side in shared memory. Of each row of pixels the maxima of its windows take the pixels' place, then
// of each column of these come those of KH rows. Four windows that follow each other have K − 3 pixels in common, which are compared
// once, and three more on either side: K + 3 are read for four, not 4 K, so a window of KH·KW pixels reads (KH + KW + 6)/4 words.
//
// In half precision a pixel and its place are one whole number (`Key`): the greatest is the maximum, and the first of equals. NaN do
// not fit in: a block that has any looks for them when it is done. Of float, a pixel and its column are apart (`Best`).
//
// Planes (H, W) of x and (Ho, Wo) of y; T is float, half or bfloat16. Launch: `tiles`, less than 2³¹, `together` of them to a block
// of 256 threads, each of `rows` × `columns` windows (multiples of 4) and `span` words of a row.
//
// Cost: bytes, 2·sizeof(T) + 1 a pixel. By 7 × 5 windows 68 instructions a pixel in float, 45 in half precision: 12 to bring it to shared
// memory, 8 for the maxima along rows, 20 for those down columns, to tell value and place and to write them (53 in float for
// both). 6.45 a byte are hidden, 58 and 32: square windows at most networks' widths have `pooling_running.cu`.
#include "pooling_tiles.cuh"

constexpr int THREADS = 256;
constexpr int DOWN = 16;  // rows of windows to a thread

// A tile: its plane, and its first row and column.
struct Tile {
    int plane, row, column;
};

// NaN wins: of windows with some the last one.
template <typename T>
__device__ __noinline__ void find_nans(const T* x, T* y, unsigned char* taps, const Tile* places, int here, int rows, int columns,
                                       int height, int width, int output_h, int output_w, int kernel_h, int kernel_w, int top, int left) {
    for (int item = threadIdx.x; item < here * rows * columns; item += THREADS) {
        const int tile = item / (rows * columns), rest = item - tile * rows * columns, h = places[tile].row + rest / columns,
                  w = places[tile].column + rest % columns;
        if (h >= output_h || w >= output_w) continue;
        const T* from = x + static_cast<long long>(places[tile].plane) * (height * width);
        const int last = last_nan(from, h - top, w - left, height, width, kernel_h, kernel_w);
        if (last < 0) continue;
        const long long to = static_cast<long long>(places[tile].plane) * (output_h * output_w) + (h * output_w + w);
        y[to] = from_float<T>(NAN);
        taps[to] = static_cast<unsigned char>(last);
    }
}

// V neighbouring pixels are read at a time, and of `whole` rows of windows four written.
template <typename T, int V>
__global__ void __launch_bounds__(THREADS, sizeof(T) == 4 ? 3 : 4)
window_maxima(const T* __restrict__ x, T* __restrict__ y, unsigned char* __restrict__ taps, int tiles, int together, int rows, int columns,
              int span, int down, int across, int height, int width, int output_h, int output_w, int kernel_h, int kernel_w,
              int top, int left, int chunks, bool whole, unsigned long long by_down, unsigned long long by_across,
              unsigned by_all_chunks, unsigned by_chunks, unsigned by_height, unsigned by_all_quads, unsigned by_quads) {
    constexpr int PIECE = 64 / V;
    extern __shared__ __align__(16) unsigned char memory[];
    __shared__ Tile places[PITCH];
    using Found = typename Shared<T>::Found;
    const int rows_in = rows - 1 + kernel_h, columns_in = columns - 1 + kernel_w, in_h = min(rows_in, height);
    Shared<T> shared(memory, rows_in * PITCH);
#pragma unroll 4
    for (int at = threadIdx.x * 4; at < rows_in * PITCH; at += THREADS * 4) shared.clear(at);
    const int first_tile = blockIdx.x * together, here = min(together, tiles - first_tile);
#pragma unroll 1
    for (int t = threadIdx.x; t < here; t += THREADS) {
        const int line = quotient(first_tile + t, by_across), plane = quotient(line, by_down);
        places[t] = {plane, (line - plane * down) * rows, (first_tile + t - line * across) * columns};
    }
    __syncthreads();
#pragma unroll 1
    for (int item = threadIdx.x; item < (in_h + PIECE - 1) / PIECE * together * chunks; item += THREADS) {
        const int piece = short_quotient(item, by_all_chunks), rest = item - piece * together * chunks, tile = short_quotient(rest, by_chunks);
        if (tile >= here) continue;
        const Tile mine = places[tile];
        const int first_h = mine.row - top, first_w = mine.column - left;
        const int w = min(max(first_w, 0) / V, width / V - chunks) * V + (rest - tile * chunks) * V, u = w - first_w;
        if (!within(u, columns_in)) continue;
        const int start = max(-first_h, 0) + piece * PIECE, end = min(min(rows_in, height - first_h), start + PIECE);
        const T* from = x + static_cast<long long>(mine.plane) * (height * width) + ((first_h + start) * width + w);
        int at = start * PITCH + tile * span + u, row = 0, marks[V];
#pragma unroll
        for (int k = 0; k < V; ++k) marks[k] = LAST - 2 * (start * kernel_w + u + k);
        const auto put = [&](const Vec<T, V>& pixels) {
            shared.put(at, pixels, marks, row);
            at += PITCH;
            row += 2 * kernel_w;
        };
        int v = start;
#pragma unroll 1
        for (; v + 3 < end; v += 4) {
            Vec<T, V> pixels[4];
#pragma unroll
            for (int i = 0; i < 4; ++i, from += width) pixels[i] = load<V>(from);
#pragma unroll
            for (int i = 0; i < 4; ++i) put(pixels[i]);
        }
#pragma unroll 1
        for (; v < end; ++v) {
            const Vec<T, V> pixels = load<V>(from);
            from += width;
            put(pixels);
        }
    }
    const bool has_nan = __syncthreads_or(shared.has_nan());
#pragma unroll 1
    for (int item = threadIdx.x; item < here * in_h; item += THREADS) {
        const int tile = short_quotient(item, by_height);
        const int first_h = places[tile].row - top;
        const int v = min(max(first_h, 0), height - in_h) + item - tile * in_h - first_h, at = v * PITCH + tile * span;
        if (!within(v, rows_in)) continue;
        const int more = kernel_w / 4 * 4;
        switch (kernel_w % 4) {
            case 0: slide_row<0>(shared, at, columns, more); break;
            case 1: slide_row<1>(shared, at, columns, more); break;
            case 2: slide_row<2>(shared, at, columns, more); break;
            default: slide_row<3>(shared, at, columns, more);
        }
    }
    __syncthreads();
    const int quads = columns / 4;
#pragma unroll 1
    for (int item = threadIdx.x; item < (rows + DOWN - 1) / DOWN * together * quads; item += THREADS) {
        const int piece = short_quotient(item, by_all_quads), rest = item - piece * together * quads, tile = short_quotient(rest, by_quads);
        const int w = (rest - tile * quads) * 4;
        if (tile >= here) continue;
        const Tile mine = places[tile];
        const int h = piece * DOWN, end = min(min(h + DOWN, rows), output_h - mine.row), many = output_w - mine.column - w;
        if (many <= 0) continue;
        const long long to = static_cast<long long>(mine.plane) * (output_h * output_w) + ((mine.row + h) * output_w + mine.column + w);
        T* maxima = y + to;
        unsigned char* which = taps + to;
        int inside[4];
#pragma unroll
        for (int k = 0; k < 4; ++k) inside[k] = max(left - (mine.column + w + k), 0);
        int at = h * PITCH + tile * span + w, place = h * kernel_w, first = place + w, row = mine.row - top + h;
        const auto finish = [&](const Found (&best)[4]) {
            Vec<T, 4> values;
            Vec<unsigned char, 4> found;
            tell(best, first, max(-row, 0) * kernel_w, inside, values, found);
            if (whole) {
                store(maxima, values);
                store(which, found);
            } else {
#pragma unroll
                for (int k = 0; k < 4; ++k) {
                    if (k >= many) break;
                    maxima[k] = values.at[k];
                    which[k] = found.at[k];
                }
            }
            maxima += output_w;
            which += output_w;
            first += kernel_w;
            ++row;
        };
#pragma unroll 1
        for (int r = h; r < end; r += 4) {
            Found best[4][4];  // of four rows
#pragma unroll
            for (int i = 0; i < 3; ++i) shared.read_column(best[i], at + i * PITCH, place + i * kernel_w);
            take(best[1], best[2]);
            take(best[0], best[1]);
            const int behind = at + kernel_h * PITCH;
            int now = place + 3 * kernel_w;
            Found some[4];
#pragma unroll
            for (int k = 0; k < 4; ++k) best[3][k] = Shared<T>::nothing();
#pragma unroll 1
            for (int i = at + 3 * PITCH; i != behind; i += PITCH, now += kernel_w) {
                shared.read_column(some, i, now);
                take(best[3], some);
            }
#pragma unroll
            for (int k = 0; k < 3; ++k) {
                take(best[k], best[3]);
                shared.read_column(some, behind + k * PITCH, now + k * kernel_w);
                take(best[3], some);
            }
#pragma unroll
            for (int k = 0; k < 4; ++k)
                if (r + k < end) finish(best[k]);
            at += 4 * PITCH;
            place += 4 * kernel_w;
        }
    }
    if constexpr (sizeof(T) == 2) {
        if (!has_nan) return;
        __syncthreads();
        find_nans(x, y, taps, places, here, rows, columns, height, width, output_h, output_w, kernel_h, kernel_w, top, left);
    }
}
