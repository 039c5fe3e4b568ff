// Maxima of K × K windows, 1 apart, of which each pixel is the middle of one in its row: the case of `pooling_maxima.cu` that
// Inceptions (3 × 3) and pyramids of pooling (5 × 5 above all) have, without shared memory. Their gradients: `pooling_same.cu`,
// `pooling_narrow_backward.cu`, `pooling_maxima_backward.cu`.
//
//     y[h, w] = max x[h + i − top, w + j − ⌊K/2⌋], i, j < K, and which it was, t = K i + j (the first, or the last NaN)
//
// A thread has four pixels across, in one access, and goes down a strip of rows. Of each row it makes the maxima of the four windows: of
// its pixels' beginnings and ends the maxima go to the threads on either side, by shuffles. Then, down the column, maxima of ever
// longer windows: those of n rows and, d ≤ n rows later, those of n rows again make those of n + d. The last rows of each length
// are in registers, K − 1 in all. A window costs two comparisons down (K = 3) to five (13), and as many along or fewer.
//
// A warp's lanes have strips side by side: as many whole rows of them as fit, or, where that leaves lanes without work, what it
// takes on either side is read once more by lanes that have no windows of their own.
//
// Planes (H, W) of x and (Ho, W) of y, W a multiple of 4; T is float, half or bfloat16; arrays begin on 16 bytes. Launch: `items`
// strips, at most 2³⁰, of `rows` rows of windows, W/4 to a row and `groups` rows of them to a plane; 64 threads, whose warps have
// `useful` strips each, from lane `beside` on. Rows of windows are counted from `start`, whole turns before the first.
//
// Cost: bytes, 2·sizeof(T) + 1 a pixel. By 5 × 5 windows 30 instructions a pixel in half precision, 46 in float, where strips have 16
// rows of windows, and a sixth less where they have 64: 4 to make a key, 5 for its maxima, 2 to share them, 7 to tell value and place and
// to write them, 4 for the rest; of K − 1 rows more than a strip has windows, all but the 7. 6.45 a byte are hidden, 32 and 58. Most are comparisons and
// selections, of which a multiprocessor does half as many: by its lanes they take 1.2 times the bytes' time by 5 × 5, 1.7 by 7 × 7 in float.
#include "pooling_running.cuh"

constexpr int THREADS = 64;

// NaN wins: of windows with some the last one.
template <typename T>
__device__ __noinline__ void find_nans(const T* plane, T* y, unsigned char* taps, int h, int column, int rows, int height, int width,
                                       int top, int kernel) {
    for (int i = 0; i < rows * V; ++i) {
        const int row = h + i / V, w = column + i % V;
        const int last = last_nan(plane, row - top, w - kernel / 2, height, width, kernel, kernel);
        if (last < 0) continue;
        y[row * width + w] = from_float<T>(NAN);
        taps[row * width + w] = static_cast<unsigned char>(last);
    }
}

template <typename T, int K>
__global__ void __launch_bounds__(THREADS, sizeof(T) == 4 ? 5 : K < 9 ? 16 : 10)
running_maxima(const T* __restrict__ x, T* __restrict__ y, unsigned char* __restrict__ taps, int items, int height, int width, int output_h,
               int top, int rows, int groups, int start, int useful, int beside, unsigned long long by_chunks, unsigned long long by_groups) {
    static_assert(joined(K) == K, "the steps down a column");
    using Row = Pixels<T>;
    using Found = typename Row::Found;
    const int begin = (blockIdx.x * (THREADS / 32) + threadIdx.x / 32) * useful, id = begin + LANE - beside;
    if (begin >= items) return;  // the whole warp
    const int item = min(max(id, 0), items - 1), line = quotient(item, by_chunks), plane = quotient(line, by_groups);
    const InRow chunk = {item - line * (width / V), width / V};
    const int first = (line - plane * groups) * rows, column = chunk.at * V;
    const int many = within(LANE - beside, useful) && id < items ? min(rows, output_h - first) : 0;  // rows of windows
    x += static_cast<long long>(plane) * (height * width);
    y += static_cast<long long>(plane) * (output_h * width);
    taps += static_cast<long long>(plane) * (output_h * width);
    int inside[V];
#pragma unroll
    for (int k = 0; k < V; ++k) inside[k] = max(K / 2 - column - k, 0);
    Found kept[K - 1][V];
#pragma unroll
    for (int i = 0; i < K - 1; ++i) {
#pragma unroll
        for (int k = 0; k < V; ++k) kept[i][k] = Row::nothing();
    }
    Seen<T> seen;
    int row = first + start + (K - 1) - top, place = V * LANE;
    const T* from = x + row * width + column;
    T* to = y + (first + start) * width + column;
    unsigned char* which = taps + (first + start) * width + column;
    const int bottom = min(first + rows + K - 1 - top, height);  // of the rows that windows of these have
#pragma unroll 1
    for (int h = start; h < rows; h += TURN) {
        Row pixels[TURN];
        if (row >= 0 && row + TURN <= bottom) {
#pragma unroll
            for (int i = 0; i < TURN; ++i) {
                pixels[i].read(from + i * width);
                seen.add(pixels[i]);
            }
        } else {
#pragma unroll
            for (int i = 0; i < TURN; ++i) {
                pixels[i].pad();
                if (row + i < 0 || row + i >= bottom) continue;
                pixels[i].read(from + i * width);
                seen.add(pixels[i]);
            }
        }
#pragma unroll
        for (int i = 0; i < TURN; ++i) {
            Found best[V];
            pixels[i].put(best, place + i * K);
            across<K, Row>(best, chunk);
            down<K>(best, kept, i);
            Vec<T, V> values;
            Vec<unsigned char, V> found;
            tell(best, place + i * K - (K * (K - 1) + K / 2), max(top - first - h - i, 0) * K, inside, values, found);
            if (within(h + i, many)) store(to + i * width, values), store(which + i * width, found);
        }
        row += TURN;
        place += TURN * K;
        from += TURN * width;
        to += TURN * width;
        which += TURN * width;
    }
    if constexpr (sizeof(T) == 2) {
        if (__any_sync(FULL, seen.has_nan())) find_nans(x, y, taps, first, column, many, height, width, top, K);
    }
}
