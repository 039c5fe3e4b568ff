// The gradient of `pooling_maxima.cu`, for windows 1 apart.
//
//     grad_x[y, x] = Σ g of the windows that have it as their maximum: over each column of windows from above, then over columns
//                    from the right
//
// Sums down columns are those of `pooling_sums.cuh`, one addition for a window, whatever KH. Along a row of pixels, those with their
// maximum in the same pixel follow each other, too: a thread goes along it, from its end, with one sum under way, and leaves that at
// the pixel. A block has tiles of images side by side in shared memory, where a row begins in another bank.
//
// Planes (H, W) of grad_x and (Ho, Wo) of g; T is float, half or bfloat16. Launch: `tiles`, less than 2³¹, `together` of them to a block
// of 256 threads, each of `rows` × `columns` pixels and `span` words of a row, with room for `slack` rows of neighbours on either side.
//
// Cost: bytes, 2·sizeof(T) + 1 a pixel, and 53 instructions, whatever the windows: 16 for a column's sums, 14 for a row's, 4 to write
// them, some for rows and columns left over, which few sizes have. 6.45 a byte are hidden, 58 in float and 32 in half precision. There
// shared memory takes 1.2 times as long as the bytes, too: a thread's two windows lie side by side, so a warp's sums lie two words apart.
// Windows of 5 columns have `pooling_narrow_backward.cu` where they may. Without shared memory, as `pooling_running.cu` goes down a
// column, a window's sum would move to one of K registers, by K selections, and a pixel take K additions on condition: 40
// instructions for each row gone through by 5 × 5 windows and 50 by 7 × 7, where 32 rows of pixels are 36: no less than here.
#include "pooling_sums.cuh"

constexpr int LINE = 289;  // words between the rows of a block's tiles

// V neighbours are read and written at a time.
template <typename T, int V>
__global__ void __launch_bounds__(SUMMING, 4)
window_maxima_gradient(const T* __restrict__ g, const unsigned char* __restrict__ taps, T* __restrict__ grad_x, int tiles, int together,
                       int rows, int columns, int span, int down, int across, int height, int width, int output_h, int output_w,
                       int kernel_h, int kernel_w, int top, int left, int windows, int slack, int back, int by_kernel,
                       unsigned long long by_down, unsigned long long by_across, unsigned by_windows, unsigned by_rows, unsigned by_columns) {
    extern __shared__ __align__(16) unsigned char memory[];
    __shared__ Region places[LINE];
    const int size = ((rows + 2 * slack) * LINE + 3) / 4 * 4, first = blockIdx.x * together, here = min(together, tiles - first);
    float* const sums = reinterpret_cast<float*>(memory);
    const Parts<T> parts(sums, sums + size);
    find_regions<V>(places, first, here, sums, size, rows, columns, down, across, kernel_h, kernel_w, top, left, by_down, by_across);
    sum_columns<LINE, T, V>(
        g, taps, memory, parts, places, here, rows, columns, output_h, output_w, top, left, windows, back, by_kernel, by_windows,
        [&](int tile, const Region& mine, int w) { return tile * span + w + (slack + mine.h - top - mine.row) * LINE; });
    __syncthreads();
    // Along a row of pixels, from its end: those windows' sums that have their maximum in the same column follow each other.
#pragma unroll 1
    for (int item = threadIdx.x; item < here * rows; item += SUMMING) {
        const int tile = short_quotient(item, by_rows);
        int rest = min(places[tile].column + columns + left, output_w) - places[tile].w;
        float* from = sums + (slack + item - tile * rows) * LINE + tile * span + rest - 1;
        float total = 0;
        const float* last = nullptr;
        const auto add = [&](float sum, float* to) {
            if (sum == 0) return;
            total = (to == last ? total : 0) + sum;
            last = to;
            *to = total;
        };
#pragma unroll 1
        for (; rest >= 4; rest -= 4, from -= 4) {
            float sum[4];
            int step[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) sum[i] = parts.take(from - i, step[i]);
#pragma unroll
            for (int i = 0; i < 4; ++i) from[-i] = 0;
#pragma unroll
            for (int i = 0; i < 4; ++i) add(sum[i], from - i + step[i]);
        }
#pragma unroll 1
        for (; rest > 0; --rest, --from) {
            int step;
            const float sum = parts.take(from, step);
            *from = 0;
            add(sum, from + step);
        }
    }
    __syncthreads();
#pragma unroll 1
    for (int item = threadIdx.x; item < here * columns / V; item += SUMMING) {
        const int tile = short_quotient(item, by_columns), x = item * V - tile * columns;
        const Region mine = places[tile];
        if (mine.column + x >= width) continue;
        T* to = grad_x + static_cast<long long>(mine.plane) * (height * width) + (mine.row * width + mine.column + x);
        const float* from = sums + slack * LINE + tile * span + mine.column + x + left - mine.w;
        const auto write = [&](const float* sum) {
            Vec<T, V> out;
#pragma unroll
            for (int k = 0; k < V; ++k) out.at[k] = from_float<T>(sum[k]);
            store(to, out);
            to += width;
        };
        int rest = min(rows, height - mine.row);
#pragma unroll 1
        for (; rest >= 4; rest -= 4, from += 4 * LINE) {
#pragma unroll
            for (int i = 0; i < 4; ++i) write(from + i * LINE);
        }
#pragma unroll 1
        for (; rest > 0; --rest, from += LINE) write(from);
    }
}
