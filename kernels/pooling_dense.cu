// Maxima of K × K windows 1 apart, at images of any width and padding: the 3 × 3 and 5 × 5 windows of Inceptions and pyramids.
//
//     y[h, w] = max x[h + i − top, w + j − left], i, j < K, and which it was, t = K i + j (the first, or the last NaN)
//     grad_x[y, x] = Σ over the rows of windows of (Σ g of those in the row that have this pixel as their maximum)
//
// A thread has two columns of windows, or of pixels, and goes down DOWN rows of them (`columns.cuh`). Forward, of a row of pixels
// the greatest of each window's K: K − 1 pixels are in both windows, and compared once; then of a window the greatest of K rows,
// which K windows share. Backward, each window's tap is a bit of a word: t = K i + j is in column j if the word meets COLUMN << j,
// in row i if it meets ROW << K i. Those windows of a row that have one pixel as their maximum in a column have it in the same
// row of pixels (it is the greatest of that column's K): so a row's sum needs one row beside it, and 2 K comparisons do, not K².
//
// Planes (H, W) of x and (Ho, Wo) of y; T is float, half or bfloat16. Launch: `items` threads, less than 2³¹, 256 to a block, one
// to two columns, `columns` to a row, and `groups` rows of them to a plane.
//
// Cost: bytes, 2·sizeof(T) + 1 a pixel; of 5 × 5 the instructions take longer.
#include "columns.cuh"

template <typename T, int K, int DOWN>
__global__ void __launch_bounds__(BLOCK, 3)
max_pool_dense(const T* __restrict__ x, T* __restrict__ y, unsigned char* __restrict__ taps, int items, int height, int width,
               int output_h, int output_w, int columns, int groups, int top, int left, unsigned long long by_columns,
               unsigned long long by_groups) {
    if (is_behind(items)) return;
    const Place<DOWN> mine(items, columns, groups, by_columns, by_groups);
    const int column = 2 * mine.column - left, first_j = max(-column, 0), first = mine.first - top;
    const Neighbours<K + 1, 2, 1> pixels(mine, height, [&](int j) { return within(column + j, width); });
    int rows[2];  // of windows
#pragma unroll
    for (int k = 0; k < 2; ++k) rows[k] = mine.there && 2 * mine.column + k < output_w ? output_h : 0;
    const int to = mine.plane * (output_h * output_w) + (mine.first * output_w + 2 * mine.column);
    x += mine.plane * (height * width) + (first * width + column);
    y += to;
    taps += to;
    Best greatest[K + 1][2];
    // Of the next row of pixels the greatest of each window's, whose taps begin with `tap`.
    const auto across = [&](Best (&best)[2], int row, int tap) {
        float v[K + 1];
        pixels.template read<true>(v, x, row, MINUS_INFINITY);
        x += width;
        Best common = {v[1], tap + max(first_j, 1)};
#pragma unroll
        for (int j = 2; j < K; ++j) common.take(v[j], tap + j);
        best[0] = {v[0], tap + first_j};
        best[0].take(common.value, common.tap);
        best[1] = {common.value, common.tap - 1};
        best[1].take(v[K], tap + K - 1);
    };
#pragma unroll
    for (int i = 0; i < K - 1; ++i) across(greatest[i], first + i, i * K);
#pragma unroll
    for (int r = 0; r < DOWN; r += 2) {  // two rows of windows, which share K − 1 rows
        across(greatest[K - 1], first + r + K - 1, (r + K - 1) * K);
        across(greatest[K], first + r + K, (r + K) * K);
        Best best[2][2];
#pragma unroll
        for (int k = 0; k < 2; ++k) {
            best[0][k] = greatest[0][k];
            Best common = greatest[1][k];
            if (r <= K / 2) {  // there is no more padding
                best[0][k].tap += max(-first - r, 0) * K;
                common.tap += max(-first - r - 1, 0) * K;
            }
#pragma unroll
            for (int i = 2; i < K; ++i) common.take(greatest[i][k].value, greatest[i][k].tap);
            best[0][k].take(common.value, common.tap);
            best[1][k] = common;
            best[1][k].take(greatest[K][k].value, greatest[K][k].tap);
#pragma unroll
            for (int i = 0; i < K - 1; ++i) greatest[i][k] = greatest[i + 2][k];
        }
#pragma unroll
        for (int i = 0; i < 2; ++i) {
#pragma unroll
            for (int k = 0; k < 2; ++k) {
                if (!within(mine.first + r + i, rows[k])) continue;
                y[k] = from_float<T>(best[i][k].value);
                taps[k] = static_cast<unsigned char>(best[i][k].tap - (r + i) * K);
            }
            y += output_w;
            taps += output_w;
        }
    }
}

// `columns` pairs of pixels.
template <typename T, int K, int DOWN>
__global__ void __launch_bounds__(BLOCK, 3)
max_pool_dense_gradient(const T* __restrict__ g, const unsigned char* __restrict__ taps, T* __restrict__ grad_x, int items,
                        int height, int width, int output_h, int output_w, int columns, int groups, int top, int left,
                        unsigned long long by_columns, unsigned long long by_groups) {
    static_assert(K * K <= 32, "a tap is a bit of a word");
    if (is_behind(items)) return;
    const Place<DOWN> mine(items, columns, groups, by_columns, by_groups);
    // Windows that have the pair: the last that has its second pixel, and those before it.
    const int last_w = 2 * mine.column + 1 + left, first = mine.first + top - (K - 1);
    const Neighbours<K + 1, 2, -1> windows(mine, output_h, [&](int j) { return within(last_w - j, output_w); });
    int rows[2];  // of pixels
#pragma unroll
    for (int k = 0; k < 2; ++k) rows[k] = mine.there && 2 * mine.column + k < width ? height : 0;
    const int from = mine.plane * (output_h * output_w) + (first * output_w + last_w);
    g += from;
    taps += from;
    grad_x += mine.plane * (height * width) + (mine.first * width + 2 * mine.column);
    struct Row {  // of windows: what it gives to each pixel, and a tap of those that give it, as a bit
        float sum[2];
        unsigned tap[2];
    };
    const auto read = [&](int h) {
        float v[K + 1];
        unsigned bits[K + 1];
#pragma unroll
        for (int j = 0; j < 2; ++j) {
            v[j] = 0;
            bits[j] = 0;
            if (windows.reads(j, h)) v[j] = to_float(g[-j]), bits[j] = 1u << taps[-j];
        }
#pragma unroll
        for (int j = 2; j <= K; ++j) {
            v[j] = windows.shuffle(v[j % 2], j);
            bits[j] = windows.share(bits[j % 2], j, 0);
        }
        if (windows.are_alone) {
#pragma unroll
            for (int j = 2; j <= K; ++j)
                if (windows.reads(j, h)) v[j] = to_float(g[-j]), bits[j] = 1u << taps[-j];
        }
        g += output_w;
        taps += output_w;
        unsigned column = 0;
#pragma unroll
        for (int i = 0; i < K; ++i) column |= 1u << i * K;
        Row row = {};
#pragma unroll
        for (int k = 0; k < 2; ++k) {
#pragma unroll
            for (int j = K - 1; j >= 0; --j) {  // the window whose j-th the pixel is
                const int w = k == 1 ? j : j + 1;
                if (bits[w] & column << j) row.sum[k] += v[w], row.tap[k] = bits[w];
            }
        }
        return row;
    };
    Row reach[K];  // the last first
#pragma unroll
    for (int m = K - 1; m > 0; --m) reach[m] = read(first + K - 1 - m);
#pragma unroll
    for (int r = 0; r < DOWN; ++r) {
        reach[0] = read(first + K - 1 + r);
#pragma unroll
        for (int k = 0; k < 2; ++k) {
            float sum = 0;
#pragma unroll
            for (int m = K - 1; m >= 0; --m)
                if (reach[m].tap[k] & ((1u << K) - 1) << m * K) sum += reach[m].sum[k];
            if (within(mine.first + r, rows[k])) grad_x[k] = from_float<T>(sum);
        }
        grad_x += width;
#pragma unroll
        for (int m = K - 1; m > 0; --m) reach[m] = reach[m - 1];
    }
}
