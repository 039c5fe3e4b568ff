// Gradients of maxima by windows 1 apart: what windows of a column give to each row of pixels, in shared memory.
//
// Windows of a column whose maximum is in one row of pixels have it in the same column: it is the greatest of that row's KW. And they
// follow each other, as a window further down has its maximum no further up. So a thread goes down a column of windows with one sum
// under way, and leaves it where row and column meet, with how far to the right the maximum is: one addition for a window,
// whatever KH. The taps must be those of the maxima: others would be written out of bounds.
#pragma once
#include "windows.cuh"

constexpr int SUMMING = 256;  // threads of a block

// A tile of pixels: its plane, its first row and column, and the first window that has one of its rows, or columns.
struct Region {
    int plane, row, column, h, w;
};

// A block's regions, those of tiles `first` and on, and no sums yet. Windows are read V at a time, so that they begin at a multiple.
template <int V>
__device__ __forceinline__ void find_regions(Region* places, int first, int here, float* sums, int size, int rows, int columns, int down,
                                             int across, int kernel_h, int kernel_w, int stride_h, int stride_w, int top, int left,
                                             unsigned long long by_down, unsigned long long by_across) {
#pragma unroll 4
    for (int at = threadIdx.x * 4; at < size; at += SUMMING * 4) store(sums + at, Vec<float, 4>{});
#pragma unroll 1
    for (int t = threadIdx.x; t < here; t += SUMMING) {
        const int line = quotient(first + t, by_across), plane = quotient(line, by_down);
        const int row = (line - plane * down) * rows, column = (first + t - line * across) * columns;
        const int h = max(row + top - kernel_h + stride_h, 0) / stride_h, w = max(column + left - kernel_w + stride_w, 0) / stride_w;
        places[t] = {plane, row, column, h, min(w, (column + left) / stride_w) / V * V};  // none that begins behind the first column
    }
    __syncthreads();
}

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

// How many windows of a row have a pixel of a region, from its first one on.
__device__ __forceinline__ int across_of(const Region& mine, int columns, int stride_w, int left, int output_w) {
    return min((mine.column + columns - 1 + left) / stride_w + 1, output_w) - mine.w;
}

// Down the columns of windows of a block's regions, V neighbours at a time: those that have their maximum in the same row of pixels follow
// each other. `begin` tells the word of a window's column in the first of the rows that it has.
template <int LINE, typename T, int V, typename Begin>
__device__ __forceinline__ void sum_columns(const T* g, const unsigned char* taps, unsigned char* memory, const Parts<T>& parts,
                                            const Region* places, int here, int rows, int columns, int output_h, int output_w, int stride_h,
                                            int stride_w, int top, int left, int windows, int back, int by_kernel, unsigned by_windows,
                                            Begin begin) {
#pragma unroll 1
    for (int item = threadIdx.x; item < here * windows / V; item += SUMMING) {
        const int tile = short_quotient(item, by_windows), w = item * V - tile * windows;
        const Region mine = places[tile];
        if (w >= across_of(mine, columns, stride_w, left, output_w)) continue;
        const long long from = static_cast<long long>(mine.plane) * (output_h * output_w) + (mine.h * output_w + mine.w + w);
        const T* numbers = g + from;
        const unsigned char* which = taps + from;
        int to = 4 * begin(tile, mine, w), last[V] = {};
        float sum[V] = {};
        const auto add = [&](const Vec<T, V>& number, const Vec<unsigned char, V>& tap) {
            float v[V];
            to_floats(v, number);
#pragma unroll
            for (int k = 0; k < V; ++k) {
                const int i = tap.at[k] * by_kernel >> 16;
                const int now = kept(i * (4 * LINE) + (to + 4 * k * stride_w));
                sum[k] = (now == last[k] ? sum[k] : 0) + v[k];
                last[k] = now;
                parts.put(reinterpret_cast<float*>(memory + now), sum[k], i * back + tap.at[k]);
            }
            to += 4 * LINE * stride_h;
        };
        int rest = min((mine.row + rows - 1 + top) / stride_h + 1, output_h) - mine.h;
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
}

// A gradient, of which a block has tiles of images side by side. V neighbours are read and written at a time.
template <int LINE, int V, typename T>
__device__ __forceinline__ void gradient(const T* g, const unsigned char* taps, T* grad_x, int tiles, int together, int rows, int columns,
                                         int span, int down, int across, int height, int width, int output_h, int output_w, int kernel_h,
                                         int kernel_w, int stride_h, int stride_w, int top, int left, int windows, int slack, int back, int by_kernel,
                                         unsigned long long by_down, unsigned long long by_across, unsigned by_windows, unsigned by_rows,
                                         unsigned by_columns) {
    extern __shared__ __align__(16) unsigned char memory[];
    __shared__ Region places[LINE];
    const int size = ((rows + 2 * slack) * LINE + 3) / 4 * 4, first = blockIdx.x * together, here = min(together, tiles - first);
    float* const sums = reinterpret_cast<float*>(memory);
    const Parts<T> parts(sums, sums + size);
    find_regions<V>(places, first, here, sums, size, rows, columns, down, across, kernel_h, kernel_w, stride_h, stride_w, top, left, by_down,
                    by_across);
    sum_columns<LINE, T, V>(
        g, taps, memory, parts, places, here, rows, columns, output_h, output_w, stride_h, stride_w, top, left, windows, back, by_kernel,
        by_windows,
        [&](int tile, const Region& mine, int w) { return tile * span + w * stride_w + (slack + mine.h * stride_h - top - mine.row) * LINE; });
    __syncthreads();
    // Along a row of pixels, from its end: those windows' sums that have their maximum in the same column follow each other.
#pragma unroll 1
    for (int item = threadIdx.x; item < here * rows; item += SUMMING) {
        const int tile = short_quotient(item, by_rows);
        int rest = across_of(places[tile], columns, stride_w, left, output_w);
        float* from = sums + (slack + item - tile * rows) * LINE + tile * span + (rest - 1) * stride_w;
        float total = 0;
        const float* last = nullptr;
        const auto add = [&](float sum, float* to) {
            if (sum == 0) return;
            total = (to == last ? total : 0) + sum;
            last = to;
            *to = total;
        };
#pragma unroll 1
        for (; rest >= 4; rest -= 4, from -= 4 * stride_w) {
            float sum[4];
            int step[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) sum[i] = parts.take(from - i * stride_w, step[i]);
#pragma unroll
            for (int i = 0; i < 4; ++i) from[-i * stride_w] = 0;
#pragma unroll
            for (int i = 0; i < 4; ++i) add(sum[i], from - i * stride_w + step[i]);
        }
#pragma unroll 1
        for (; rest > 0; --rest, from -= stride_w) {
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
        const float* from = sums + slack * LINE + tile * span + mine.column + x + left - mine.w * stride_w;
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
