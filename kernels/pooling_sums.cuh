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
                                             int across, int kernel_h, int kernel_w, int top, int left, unsigned long long by_down,
                                             unsigned long long by_across) {
#pragma unroll 4
    for (int at = threadIdx.x * 4; at < size; at += SUMMING * 4) store(sums + at, Vec<float, 4>{});
#pragma unroll 1
    for (int t = threadIdx.x; t < here; t += SUMMING) {
        const int line = quotient(first + t, by_across), plane = quotient(line, by_down);
        const int row = (line - plane * down) * rows, column = (first + t - line * across) * columns;
        places[t] = {plane, row, column, max(row + top - kernel_h + 1, 0), max(column + left - kernel_w + 1, 0) / V * V};
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

// Down the columns of windows of a block's regions, V neighbours at a time: those that have their maximum in the same row of pixels follow
// each other. `begin` tells the word of a window's column in the first of the rows that it has.
template <int LINE, typename T, int V, typename Begin>
__device__ __forceinline__ void sum_columns(const T* g, const unsigned char* taps, unsigned char* memory, const Parts<T>& parts,
                                            const Region* places, int here, int rows, int columns, int output_h, int output_w, int top,
                                            int left, int windows, int back, int by_kernel, unsigned by_windows, Begin begin) {
#pragma unroll 1
    for (int item = threadIdx.x; item < here * windows / V; item += SUMMING) {
        const int tile = short_quotient(item, by_windows), w = item * V - tile * windows;
        const Region mine = places[tile];
        if (mine.w + w >= min(mine.column + columns + left, output_w)) continue;
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
}
