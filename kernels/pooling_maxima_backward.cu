// The gradient of `pooling_maxima.cu`, for windows 1 apart.
//
//     grad_x[y, x] = Σ g of the windows that have it as their maximum: over each column of windows from above, then over columns
//                    from the right
//
// Windows of a column whose maximum is in one row of pixels have it in the same column: it is the greatest of that row's KW. And they
// follow each other, as a window further down has its maximum no further up. So a thread goes down a column of windows with one sum
// under way, and leaves it where row and column meet, with how far to the right the maximum is: one addition for a window,
// whatever KH. The same holds of these sums along a row of pixels: a thread goes along it, from its end, with one sum under way, and
// leaves that at the pixel. A block has tiles of images side by side in shared memory, where a row begins in another bank.
//
// Planes (H, W) of grad_x and (Ho, Wo) of g; T is float, half or bfloat16. The taps must be those of the maxima: others would be
// written out of bounds. Launch: `tiles`, less than 2³¹, `together` of them to a block of 256 threads, each of `rows` × `columns` pixels
// and `span` words of a row, with room for `slack` rows of neighbours on either side.
//
// Cost: bytes, 2·sizeof(T) + 1 a pixel, and 53 instructions, whatever the windows: 16 for a column's sums, 14 for a row's, 4 to write
// them, some for rows and columns left over, which few sizes have. 6.45 a byte are hidden, 58 in float and 32 in half precision. There
// shared memory takes 1.2 times as long as the bytes, too: a thread's two windows lie side by side, so a warp's sums lie two words apart.
// Without it, as `pooling_running.cu` goes down a column, a window's sum moves to one of K registers, by K selections, and a
// pixel takes K additions on condition: 40 instructions for each row gone through by 5 × 5 windows and 50 by 7 × 7, where
// 32 rows of pixels are 36: no less than here.
#include "windows.cuh"

constexpr int THREADS = 256;
constexpr int LINE = 289;  // words between the rows of a block's tiles

// A tile of pixels: its plane, its first row and column, and the first window that has one of its rows, or columns.
struct Tile {
    int plane, row, column, h, w;
};

// Of `a` the bits that the mask has not, of `b` those that it has: one instruction, of which the compiler makes two.
__device__ __forceinline__ unsigned merge(unsigned a, unsigned b, unsigned mask) {
#ifndef WEFT_EMULATOR
    asm("lop3.b32 %0, %0, %1, %2, 0xd8;" : "+r"(a) : "r"(b), "r"(mask));
    return a;
#else
    return (a & ~mask) | (b & mask);
#endif
}

// A number that the compiler is to keep, and not to compute in another way wherever it is asked for.
__device__ __forceinline__ int kept(int a) {
#ifndef WEFT_EMULATOR
    asm("" : "+r"(a));
#endif
    return a;
}

// What windows of a column give to each row of pixels, and how far from the first of these columns: the same of all.
template <typename T> struct Parts {  // the last 5 bits of a sum do not count in half precision
    __device__ __forceinline__ Parts(float*, void*) {}
    __device__ __forceinline__ void put(float* at, float sum, int step) const {
        *at = __uint_as_float(merge(__float_as_uint(sum), step, 31));
    }
    __device__ __forceinline__ float take(float* at, int& step) const {
        const unsigned bits = __float_as_uint(*at);
        step = kept(bits & 31);
        return __uint_as_float(bits & ~31u);
    }
};
template <> struct Parts<float> {
    const float* first;
    unsigned char* steps;
    __device__ __forceinline__ Parts(float* sums, void* behind) : first(sums), steps(static_cast<unsigned char*>(behind)) {}
    __device__ __forceinline__ void put(float* at, float sum, int step) const {
        *at = sum;
        steps[at - first] = static_cast<unsigned char>(step);
    }
    __device__ __forceinline__ float take(float* at, int& step) const {
        const float sum = *at;
        step = sum != 0 ? steps[at - first] : 0;
        return sum;
    }
};

// V neighbours are read and written at a time.
template <typename T, int V>
__global__ void __launch_bounds__(THREADS, 4)
window_maxima_gradient(const T* __restrict__ g, const unsigned char* __restrict__ taps, T* __restrict__ grad_x, int tiles, int together,
                       int rows, int columns, int span, int down, int across, int height, int width, int output_h, int output_w,
                       int kernel_h, int kernel_w, int top, int left, int windows, int slack, int back, int by_kernel,
                       unsigned long long by_down, unsigned long long by_across, unsigned by_windows, unsigned by_rows, unsigned by_columns) {
    extern __shared__ __align__(16) unsigned char memory[];
    __shared__ Tile places[LINE];
    const int size = ((rows + 2 * slack) * LINE + 3) / 4 * 4, first = blockIdx.x * together, here = min(together, tiles - first);
    float* const sums = reinterpret_cast<float*>(memory);
    const Parts<T> parts(sums, sums + size);
#pragma unroll 4
    for (int at = threadIdx.x * 4; at < size; at += THREADS * 4) store(sums + at, Vec<float, 4>{});
#pragma unroll 1
    for (int t = threadIdx.x; t < here; t += THREADS) {
        const int line = quotient(first + t, by_across), plane = quotient(line, by_down);
        const int row = (line - plane * down) * rows, column = (first + t - line * across) * columns;
        places[t] = {plane, row, column, max(row + top - kernel_h + 1, 0), max(column + left - kernel_w + 1, 0) / V * V};
    }
    __syncthreads();
    // Down a column of windows: those that have their maximum in the same row of pixels follow each other.
#pragma unroll 1
    for (int item = threadIdx.x; item < here * windows / V; item += THREADS) {
        const int tile = short_quotient(item, by_windows), w = item * V - tile * windows;
        const Tile mine = places[tile];
        if (mine.w + w >= min(mine.column + columns + left, output_w)) continue;
        const long long from = static_cast<long long>(mine.plane) * (output_h * output_w) + (mine.h * output_w + mine.w + w);
        const T* numbers = g + from;
        const unsigned char* which = taps + from;
        int to = 4 * (tile * span + w + (slack + mine.h - top - mine.row) * LINE), last[V] = {};
        float sum[V] = {};
        const auto add = [&](const Vec<T, V>& number, const Vec<unsigned char, V>& tap) {
            float v[V];
            to_floats(v, number);
#pragma unroll
            for (int k = 0; k < V; ++k) {
                const int i = tap.at[k] * by_kernel >> 16;
                const int now = kept(i * (4 * LINE) + (to + 4 * k));
                sum[k] = (now == last[k] ? sum[k] : 0) + v[k];
                last[k] = now;
                parts.put(reinterpret_cast<float*>(memory + now), sum[k], i * back + tap.at[k]);
            }
            to += 4 * LINE;
        };
        int rest = min(mine.row + rows + top, output_h) - mine.h;
#pragma unroll 1
        for (; rest >= 4; rest -= 4) {
            Vec<T, V> number[4];
            Vec<unsigned char, V> tap[4];
#pragma unroll
            for (int i = 0; i < 4; ++i, numbers += output_w, which += output_w) number[i] = load<V>(numbers), tap[i] = load<V>(which);
#pragma unroll
            for (int i = 0; i < 4; ++i) add(number[i], tap[i]);
        }
#pragma unroll 1
        for (; rest > 0; --rest) {
            const Vec<T, V> number = load<V>(numbers);
            const Vec<unsigned char, V> tap = load<V>(which);
            numbers += output_w;
            which += output_w;
            add(number, tap);
        }
    }
    __syncthreads();
    // Along a row of pixels, from its end: those windows' sums that have their maximum in the same column follow each other.
#pragma unroll 1
    for (int item = threadIdx.x; item < here * rows; item += THREADS) {
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
    for (int item = threadIdx.x; item < here * columns / V; item += THREADS) {
        const int tile = short_quotient(item, by_columns), x = item * V - tile * columns;
        const Tile mine = places[tile];
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
