// Means of windows of any size and stride, at images of any width: averages (`avg_pool`) and windows that cover the image evenly
// (`adaptive_avg_pool`), and their gradients where at most two windows along an axis have a pixel.
//
//     y[h, w] = Σ x over rows(h) × columns(w) / count(h, w)
//     grad_x[y, x] = Σ g / count over the windows that have the pixel
//
// rows(h) is [S h − top, S h − top + K), of which the part in the image, or ADAPTIVE [⌊h·H/Ho⌋, ⌈(h + 1)·H/Ho⌉); columns alike.
// count is `divisor` unless that is 0, else how many elements of the image, or `padded` of its padding, too, the window has.
//
// Forward, columns are added up first: a thread adds those rows of one column that a window has, for LINES rows of windows one
// after the other, and leaves the sums in shared memory; windows then add K of these. So neighbouring threads read neighbouring
// pixels, each ⌈K/S⌉ times at most, and S K + K numbers are added for a window instead of K². Backward, a thread goes down a column
// of pixels, and has what the two rows of windows around give to a pixel, added up: each row of windows is read once.
//
// Planes (H, W) of x and (Ho, Wo) of y; T is float, half or bfloat16, sums are float. Launch: 256 threads to a block. Forward, a
// block has `groups` times LINES of the `lines` rows of windows of all planes. Backward, `items` threads, less than 2³¹: one to a
// column, and `groups` of them, of DOWN rows, to a plane.
//
// Cost: bytes, sizeof(T)·(H W + Ho Wo) a plane; in bfloat16 the instructions that find windows and loop over them take longer.
#include "windows.cuh"

constexpr int THREADS = 256;
constexpr int LINES = 4;
constexpr int DOWN = 16;
constexpr int FAR = 0x7fffffff;

// Windows along an axis, and what of it they cover.
template <bool ADAPTIVE> struct Axis {
    int size, windows, kernel, stride, before;
    unsigned long long by_windows;
    __device__ __forceinline__ int first(int o) const { return ADAPTIVE ? quotient(o * size, by_windows) : o * stride - before; }
    __device__ __forceinline__ int end(int o) const {
        return ADAPTIVE ? quotient((o + 1) * size + windows - 1, by_windows) : o * stride - before + kernel;
    }
    // Of the elements from `first` to `end` those that count.
    __device__ __forceinline__ int counted(int first, int end, bool padded) const {
        if (ADAPTIVE) return end - first;
        return padded ? min(end, size + before) - first : min(end, size) - max(first, 0);
    }
    // The first window that ends behind a place.
    __device__ __forceinline__ int window_at(int place, unsigned long long by_stride) const {
        if (ADAPTIVE) return place * windows / size;
        const int late = place + before - kernel + 1;
        return late > 0 ? quotient(late + stride - 1, by_stride) : 0;
    }
};

// --- forward ---------------------------------------------------------------------------------------------------------
// Dynamic shared memory: for each line of the block `width` sums, or one more, then for each how many rows count.
template <typename T, bool ADAPTIVE>
__global__ void __launch_bounds__(THREADS, 4)
window_means(const T* __restrict__ x, T* __restrict__ y, int lines, int groups, int height, int width, int output_h, int output_w,
             int kernel_h, int kernel_w, int stride_h, int stride_w, int top, int left, bool padded, int divisor,
             unsigned long long by_output_h, unsigned long long by_output_w, unsigned long long by_width) {
    extern __shared__ __align__(16) unsigned char memory[];
    float* const sums = reinterpret_cast<float*>(memory);
    const int pitch = width | 1;  // lines begin in different banks
    int* const counts = reinterpret_cast<int*>(sums + groups * LINES * pitch);
    const Axis<ADAPTIVE> down{height, output_h, kernel_h, stride_h, top, by_output_h},
        across{width, output_w, kernel_w, stride_w, left, by_output_w};
    const int line = blockIdx.x * groups * LINES, here = min(groups * LINES, lines - line);
#pragma unroll 1
    for (int item = threadIdx.x; item < groups * width; item += THREADS) {
        const int group = quotient(item, by_width), column = item - group * width;
        const int plane = quotient(line + group * LINES, by_output_h);
        int h = line + group * LINES - plane * output_h;
        const T* from = x + static_cast<long long>(plane) * (height * width) + column;
#pragma unroll
        for (int l = 0; l < LINES; ++l) {
            if (group * LINES + l >= here) break;
            const int first = down.first(h), end = down.end(h), rows = min(end, height) - max(first, 0);
            const T* at = from + max(first, 0) * width;
            float sum = 0;
            int r = 0;
#pragma unroll 1
            for (; r + 3 < rows; r += 4, at += 4 * width) {
                const float v[4] = {to_float(at[0]), to_float(at[width]), to_float(at[2 * width]), to_float(at[3 * width])};
                sum += v[0] + v[1] + v[2] + v[3];
            }
#pragma unroll 1
            for (; r < rows; ++r, at += width) sum += to_float(*at);
            sums[(group * LINES + l) * pitch + column] = sum;
            if (column == 0) counts[group * LINES + l] = down.counted(first, end, padded);
            if (++h == output_h) h = 0, from += height * width;
        }
    }
    __syncthreads();
    y += static_cast<long long>(line) * output_w;
#pragma unroll 1
    for (int item = threadIdx.x; item < here * output_w; item += THREADS) {
        const int l = quotient(item, by_output_w), o = item - l * output_w, first = across.first(o), end = across.end(o);
        const float* at = sums + l * pitch;
        float sum = 0;
        const int last = min(end, width);
        int c = max(first, 0);
#pragma unroll 1
        for (; c + 3 < last; c += 4) sum += at[c] + at[c + 1] + at[c + 2] + at[c + 3];
#pragma unroll 1
        for (; c < last; ++c) sum += at[c];
        y[item] = from_float<T>(sum / static_cast<float>(divisor ? divisor : counts[l] * across.counted(first, end, padded)));
    }
}

// --- backward --------------------------------------------------------------------------------------------------------
template <typename T, bool ADAPTIVE>
__global__ void __launch_bounds__(THREADS, 4)
window_means_gradient(const T* __restrict__ g, T* __restrict__ grad_x, int items, int groups, int height, int width, int output_h,
                      int output_w, int kernel_h, int kernel_w, int stride_h, int stride_w, int top, int left, bool padded,
                      int divisor, float by_divisor, unsigned long long by_output_h, unsigned long long by_output_w, unsigned long long by_width, unsigned long long by_groups, unsigned long long by_stride_h,
                      unsigned long long by_stride_w) {
    const int item = blockIdx.x * THREADS + threadIdx.x;
    if (item >= items) return;
    const Axis<ADAPTIVE> down{height, output_h, kernel_h, stride_h, top, by_output_h},
        across{width, output_w, kernel_w, stride_w, left, by_output_w};
    const int line = quotient(item, by_width), column = item - line * width, plane = quotient(line, by_groups);
    const int row = (line - plane * groups) * DOWN, w = across.window_at(column, by_stride_w);
    // Of the two windows along the row that may have the pixel the part of a number that it is given, 0 where it is not in one.
    float shares[2];
#pragma unroll
    for (int k = 0; k < 2; ++k) {
        const int first = across.first(w + k), count = across.counted(first, across.end(w + k), padded);
        shares[k] = w + k < output_w && first <= column ? divisor ? by_divisor : 1.0f / static_cast<float>(count) : 0.0f;
    }
    g += static_cast<long long>(plane) * (output_h * output_w) + w;
    grad_x += static_cast<long long>(plane) * (height * width) + (row * width + column);
    const int last = min(row + DOWN, height);
    float sum = 0, next = 0;  // what pixels get of window h of this column and of the one behind it
    int begin = 0, begin_next = 0;
#pragma unroll 1
    for (int h = down.window_at(row, by_stride_h) - 1, at = row; at < last; ++h) {
        sum = next;
        begin = begin_next;
        next = 0;
        begin_next = FAR;
        if (h + 1 < output_h) {
            const T* from = g + (h + 1) * output_w;
            begin_next = down.first(h + 1);
#pragma unroll
            for (int k = 0; k < 2; ++k)
                if (shares[k] != 0) next += to_float(from[k]) * shares[k];
            if (divisor == 0) next /= static_cast<float>(down.counted(begin_next, down.end(h + 1), padded));
        }
        const int end = h < output_h ? min(down.end(h), last) : last;
#pragma unroll 1
        for (; at < end; ++at) {
            *grad_x = from_float<T>((at >= begin ? sum : 0.0f) + (at >= begin_next ? next : 0.0f));
            grad_x += width;
        }
    }
}
