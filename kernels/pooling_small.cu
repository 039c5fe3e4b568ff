// Pooling by small square windows, whatever the image's size and padding: odd sizes, above all, which fit no access of
// `pooling_2x2.cu` and `pooling_3x3.cu`.
//
//     max_pool     y[h, w] = max x[S h + i − top, S w + j − left], i, j < K, and which it was, t = K i + j (the first, or the last NaN)
//     avg_pool     y[h, w] = Σ x[S h + i − top, S w + j − left] / count(h, w): over each row of the window, then over rows
//     _gradient    grad_x[y, x] = Σ g of the windows that read this pixel and that it has won, in their order; Σ g / count over
//                  the windows of a row that read it, then over rows
//
// count is `divisor` unless that is 0, else how many pixels, or `padded` of the padding, too, the window has. Results of maxima
// and their bits are those of `pooling.cu`.
//
// Forward, a thread has a column of windows (`columns.cuh`), and goes down DOWN of them: what came of a row of pixels is kept for
// the next window that has the row. Backward, a thread has the S columns of pixels that a window begins with (a cell), goes down
// DOWN cells, and asks the ⌈K/S⌉² windows that reach each: K² comparisons for S² pixels. K, S and DOWN are known to the compiler, so
// no thread divides but to find its place.
//
// Planes (H, W) of x and (Ho, Wo) of y; T is float, half or bfloat16. Launch: `items` threads, less than 2³¹, 256 to a block, one
// to a column of windows (or cells), `columns` to a row, and `groups` times DOWN rows of them to a plane.
//
// Cost: bytes, sizeof(T)·(S² + 1) for a window, and 1 for the tap of a maximum. A warp reads S pixels to a lane one after the other, so
// each sector is asked for S times and more: of L2, or L1.
#include "columns.cuh"

// --- forward ---------------------------------------------------------------------------------------------------------
template <typename T, int K, int S, int DOWN>
__global__ void __launch_bounds__(BLOCK, 4)
max_pool_small(const T* __restrict__ x, T* __restrict__ y, unsigned char* __restrict__ taps, int items, int height, int width,
               int output_h, int output_w, int columns, int groups, int top, int left, unsigned long long by_columns,
               unsigned long long by_groups) {
    if (is_behind(items)) return;
    const Place<DOWN> mine(items, columns, groups, by_columns, by_groups);
    const int column = mine.column * S - left, first_j = max(-column, 0);
    const int first = mine.first * S - top, rest = (mine.there ? output_h : 0) - mine.first;
    const Neighbours<K, S, 1, K / 2> pixels(mine, first, height, [&](int j) { return within(column + j, width); });
    const int to = mine.plane * (output_h * output_w) + (mine.first * output_w + mine.column);
    x += mine.plane * (height * width) + (first * width + column);
    y += to;
    taps += to;
    const long long pitch = pitch_of<T>(width), pitch_y = pitch_of<T>(output_w);
    // Of the next row of pixels the greatest of the window's; where it is not there, −∞, which wins nothing.
    const auto across = [&](int row) {
        float v[K];
        pixels.read(v, x, row, MINUS_INFINITY);
        x = onward(x, pitch);
        Best best = {v[0], first_j};
#pragma unroll
        for (int j = 1; j < K; ++j) best.take(v[j], j);
        return best;
    };
    Best greatest[K];
#pragma unroll
    for (int i = 0; i < K - S; ++i) greatest[i] = across(i);
#pragma unroll
    for (int r = 0; r < DOWN; ++r) {
#pragma unroll
        for (int i = K - S; i < K; ++i) greatest[i] = across(r * S + i);
        Best best = greatest[0];
        if (r * S <= K / 2) best.tap += max(-(first + r * S), 0) * K;  // there is no more padding
#pragma unroll
        for (int i = 1; i < K; ++i) best.take(greatest[i].value, i * K + greatest[i].tap);
        if (r < rest) {
            *y = from_float<T>(best.value);
            *taps = static_cast<unsigned char>(best.tap);
        }
        y = onward(y, pitch_y);
        taps += output_w;
#pragma unroll
        for (int i = 0; i < K - S; ++i) greatest[i] = greatest[i + S];
    }
}

// --- backward --------------------------------------------------------------------------------------------------------
// `columns` cells have all pixels of a row, from the one that has the first.
template <typename T, int K, int S, int DOWN>
__global__ void __launch_bounds__(BLOCK, 4)
max_pool_small_gradient(const T* __restrict__ g, const unsigned char* __restrict__ taps, T* __restrict__ grad_x, int items,
                        int height, int width, int output_h, int output_w, int columns, int groups, int top,
                        int left, unsigned long long by_columns, unsigned long long by_groups) {
    constexpr int REACH = (K + S - 1) / S;  // windows that have a pixel, along an axis
    if (is_behind(items)) return;
    const Place<DOWN> mine(items, columns, groups, by_columns, by_groups);
    const int cell = left / S + mine.column, column = cell * S - left, begin = top / S + mine.first, first = begin - REACH + 1;
    const int row = begin * S - top;  // the first of pixels
    int inside[S];  // how many rows of a column from there on are in the plane
#pragma unroll
    for (int s = 0; s < S; ++s) inside[s] = mine.there && within(column + s, width) ? height - row : 0;
    const Neighbours<REACH, 1, -1, REACH - 1> windows(mine, first, output_h, [&](int m) { return within(cell - m, output_w); });
    const int from = mine.plane * (output_h * output_w) + (first * output_w + cell);
    g += from;
    taps += from;
    grad_x += mine.plane * (height * width) + (row * width + column);
    const long long pitch = pitch_of<T>(output_w), pitch_x = pitch_of<T>(width);
    // A row of windows: those that reach the cell, the last first.
    struct Row {
        float g[REACH];
        int tap[REACH];
    };
    const auto read = [&](int h) {
        Row row;
        windows.read(row.g, g, h, 0);
        row.tap[0] = windows.reads(0, h) ? *taps : NOBODY;
#pragma unroll
        for (int m = 1; m < REACH; ++m) {
            row.tap[m] = windows.share(static_cast<unsigned>(row.tap[0]), m, NOBODY);
            if (windows.reads(m, h)) row.tap[m] = taps[-m];
        }
        g = onward(g, pitch);
        taps += output_w;
        return row;
    };
    Row reach[REACH];
#pragma unroll
    for (int m = REACH - 1; m > 0; --m) reach[m] = read(REACH - 1 - m);
#pragma unroll
    for (int r = 0; r < DOWN; ++r) {
        reach[0] = read(REACH - 1 + r);
#pragma unroll
        for (int i = 0; i < S; ++i) {
            const bool is_below = r * S + i >= S - 1 || row + r * S + i >= 0;  // where the plane begins
#pragma unroll
            for (int j = 0; j < S; ++j) {
                float sum = 0;
#pragma unroll
                for (int m = REACH - 1; m >= 0; --m) {
#pragma unroll
                    for (int n = REACH - 1; n >= 0; --n) {
                        const int tap_i = i + m * S, tap_j = j + n * S;
                        if (tap_i < K && tap_j < K && reach[m].tap[n] == tap_i * K + tap_j) sum += reach[m].g[n];
                    }
                }
                if (r * S + i < inside[j] && is_below) grad_x[j] = from_float<T>(sum);
            }
            grad_x = onward(grad_x, pitch_x);
        }
#pragma unroll
        for (int m = REACH - 1; m > 0; --m) reach[m] = reach[m - 1];
    }
}

// --- means -------------------------------------------------------------------------------------------------------------
// How many elements of an axis count of the window that starts at `start`.
__device__ __forceinline__ float counted(int start, int taps, int size, int before, bool padded) {
    const int end = min(start + taps, size + before);
    return static_cast<float>(padded ? end - start : min(end, size) - max(start, 0));
}

template <typename T, int K, int S, int DOWN>
__global__ void __launch_bounds__(BLOCK, 4)
avg_pool_small(const T* __restrict__ x, T* __restrict__ y, int items, int height, int width, int output_h, int output_w, int columns,
               int groups, int top, int left, bool padded, float divisor, unsigned long long by_columns, unsigned long long by_groups) {
    if (is_behind(items)) return;
    const Place<DOWN> mine(items, columns, groups, by_columns, by_groups);
    const int column = mine.column * S - left, first = mine.first * S - top, rest = (mine.there ? output_h : 0) - mine.first;
    const Neighbours<K, S, 1, K / 2> pixels(mine, first, height, [&](int j) { return within(column + j, width); });
    x += mine.plane * (height * width) + (first * width + column);
    y += mine.plane * (output_h * output_w) + (mine.first * output_w + mine.column);
    const long long pitch = pitch_of<T>(width), pitch_y = pitch_of<T>(output_w);
    const float counts = counted(column, K, width, left, padded), inverse = 1 / divisor;
    // Σ of the window's pixels in the next row.
    const auto across = [&](int row) {
        float v[K], sum = 0;
        pixels.read(v, x, row, 0);
        x = onward(x, pitch);
#pragma unroll
        for (int j = 0; j < K; ++j) sum += v[j];
        return sum;
    };
    float sums[K];
#pragma unroll
    for (int i = 0; i < K - S; ++i) sums[i] = across(i);
#pragma unroll
    for (int r = 0; r < DOWN; ++r) {
#pragma unroll
        for (int i = K - S; i < K; ++i) sums[i] = across(r * S + i);
        float sum = 0;
#pragma unroll
        for (int i = 0; i < K; ++i) sum += sums[i];
        if (divisor != 0) sum = divided(sum, divisor, inverse);
        else sum /= counts * counted(first + r * S, K, height, top, padded);
        if (r < rest) *y = from_float<T>(sum);
        y = onward(y, pitch_y);
#pragma unroll
        for (int i = 0; i < K - S; ++i) sums[i] = sums[i + S];
    }
}

template <typename T, int K, int S, int DOWN>
__global__ void __launch_bounds__(BLOCK, 4)
avg_pool_small_gradient(const T* __restrict__ g, T* __restrict__ grad_x, int items, int height, int width, int output_h, int output_w,
                        int columns, int groups, int top, int left, bool padded, float divisor, unsigned long long by_columns,
                        unsigned long long by_groups) {
    constexpr int REACH = (K + S - 1) / S;
    if (is_behind(items)) return;
    const Place<DOWN> mine(items, columns, groups, by_columns, by_groups);
    const int cell = left / S + mine.column, column = cell * S - left, begin = top / S + mine.first, first = begin - REACH + 1;
    const int row = begin * S - top;  // the first of pixels
    int inside[S];  // how many rows of a column from there on are in the plane
#pragma unroll
    for (int s = 0; s < S; ++s) inside[s] = mine.there && within(column + s, width) ? height - row : 0;
    const Neighbours<REACH, 1, -1, REACH - 1> windows(mine, first, output_h, [&](int m) { return within(cell - m, output_w); });
    float counts[REACH];
#pragma unroll
    for (int m = 0; m < REACH; ++m) counts[m] = counted(column - m * S, K, width, left, padded);
    g += mine.plane * (output_h * output_w) + (first * output_w + cell);
    grad_x += mine.plane * (height * width) + (row * width + column);
    const long long pitch = pitch_of<T>(output_w), pitch_x = pitch_of<T>(width);
    const float by_divisor = 1 / divisor;
    // What the next row of windows gives to the cell's columns.
    struct Row {
        float of[S];
    };
    const auto read = [&](int h) {
        float v[REACH];
        windows.read(v, g, h, 0);
        g = onward(g, pitch);
        Row row = {};
#pragma unroll
        for (int m = 0; m < REACH; ++m) {
            if (divisor != 0) v[m] *= by_divisor;
            else v[m] *= 1 / (counts[m] * counted((first + h) * S - top, K, height, top, padded));
        }
#pragma unroll
        for (int j = 0; j < S; ++j) {
#pragma unroll
            for (int n = REACH - 1; n >= 0; --n)
                if (j + n * S < K) row.of[j] += v[n];
        }
        return row;
    };
    Row reach[REACH];
#pragma unroll
    for (int m = REACH - 1; m > 0; --m) reach[m] = read(REACH - 1 - m);
#pragma unroll
    for (int r = 0; r < DOWN; ++r) {
        reach[0] = read(REACH - 1 + r);
#pragma unroll
        for (int i = 0; i < S; ++i) {
            const bool is_below = r * S + i >= S - 1 || row + r * S + i >= 0;  // where the plane begins
#pragma unroll
            for (int j = 0; j < S; ++j) {
                float sum = 0;
#pragma unroll
                for (int m = REACH - 1; m >= 0; --m)
                    if (i + m * S < K) sum += reach[m].of[j];
                if (r * S + i < inside[j] && is_below) grad_x[j] = from_float<T>(sum);
            }
            grad_x = onward(grad_x, pitch_x);
        }
#pragma unroll
        for (int m = REACH - 1; m > 0; --m) reach[m] = reach[m - 1];
    }
}
