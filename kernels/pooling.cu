// Pooling of planes (N·C, H, W): maxima and means of windows, and their gradients, of whatever windows: those of networks mostly
// have kernels of their own (`pooling_*.cu`).
//
//     max_pool     y[h, w] = max_{i,j} x[h·S + i·D − P, w·S + j·D − P], and which tap t = i·KW + j it was (the first, or the last NaN)
//     window_mean  y[h, w] = Σ x over rows(h) × columns(w) / count(h, w), as `pooling_means.cu` has them
//     _gradient    grad_x[y, x] = Σ over the windows that read this pixel, in their order: of g where its tap won the window,
//                  of g / count. Each pixel is summed by one thread: no atomics, always the same bits.
//
// T is float, half or bfloat16, sums are float; Tap is unsigned char for windows of up to 256 taps, else int. Offsets
// have 64 bits; the pixels of a plane and H·(Ho + 1) fit 31.
//
// Geometry: 256 threads on consecutive places of a plane, of several planes where they are small. A thread does its place
// in 4 planes at a time (4 loads under way) and in as many as blockIdx.y comes to, for one computation of indices. For maxima,
// that is: `window_mean` has a warp or a block to a window, for long ones, and its gradient, for pixels that hundreds of windows
// have, a thread to a pixel. Where one window is the whole image (`global_avg_pool`), planes of a few pixels move side by side.
//
// Cost: bytes. Max pooling 2 × 2 of 256 × 64 × 112 × 112 in bfloat16 reads 411 MB and writes 103 + 51: 0.13 ms at
// 4.3 TB/s; its gradient reads 154 MB and writes 411: 0.13 ms.
#include "neighbours.cuh"
#include "windows.cuh"

constexpr int THREADS = 256;
constexpr int PLANES = 4;

// Which place of a plane with `area` of them a thread has, its first plane, and how far the next one is; false for none.
__device__ __forceinline__ bool find_place(int area, int& place, int& plane, int& step) {
    const int together = max(THREADS / area, 1);  // planes side by side in a block
    const int part = together > 1 ? threadIdx.x / area : 0;
    place = blockIdx.x * THREADS + threadIdx.x - part * area;
    plane = blockIdx.y * together + part;
    step = gridDim.y * together;
    return part < together && place < area;
}

// --- maxima ----------------------------------------------------------------------------------------------------------
// The first and the last + 1 of the taps inside an axis of `size`, for a window that starts at `start`.
__device__ __forceinline__ void find_taps(int start, int taps, int dilation, int size, int& first, int& end) {
    first = start < 0 ? (-start + dilation - 1) / dilation : 0;
    end = min(taps, start < size ? (size - 1 - start) / dilation + 1 : 0);
}

template <typename T, typename Tap>
__global__ void __launch_bounds__(THREADS, 4)
max_pool(const T* __restrict__ x, T* __restrict__ y, Tap* __restrict__ taps, long long* __restrict__ indices, int planes,
         int height, int width, int output_h, int output_w, int kernel_h, int kernel_w, int stride_h, int stride_w, int top,
         int left, int dilation_h, int dilation_w) {
    int place, plane, step, first_i, end_i, first_j, end_j;
    if (!find_place(output_h * output_w, place, plane, step)) return;
    const int row = place / output_w * stride_h - top, column = place % output_w * stride_w - left;
    find_taps(row, kernel_h, dilation_h, height, first_i, end_i);
    find_taps(column, kernel_w, dilation_w, width, first_j, end_j);
    const long long area = static_cast<long long>(height) * width, outputs = static_cast<long long>(output_h) * output_w;
    for (; plane < planes; plane += PLANES * step) {
        float best[PLANES];
        int tap[PLANES];
        const T* from[PLANES];
#pragma unroll
        for (int e = 0; e < PLANES; ++e) {
            best[e] = -INFINITY;
            tap[e] = -1;
            from[e] = x + min(plane + e * step, planes - 1) * area;  // past the end: the last one again, not stored
        }
        for (int i = first_i; i < end_i; ++i) {
            const long long at = static_cast<long long>(row + i * dilation_h) * width + column;
            for (int j = first_j; j < end_j; ++j) {
#pragma unroll
                for (int e = 0; e < PLANES; ++e) {
                    const float v = to_float(from[e][at + j * dilation_w]);
                    if (tap[e] < 0 || v > best[e] || isnan(v)) best[e] = v, tap[e] = i * kernel_w + j;
                }
            }
        }
#pragma unroll
        for (int e = 0; e < PLANES; ++e) {
            if (plane + e * step >= planes) continue;
            const long long to = (plane + e * step) * outputs + place;
            const int t = max(tap[e], 0), i = t / kernel_w;
            y[to] = from_float<T>(best[e]);
            taps[to] = static_cast<Tap>(t);
            if (indices) indices[to] = static_cast<long long>(row + i * dilation_h) * width + column + (t - i * kernel_w) * dilation_w;
        }
    }
}

template <typename T, typename Tap>
__global__ void __launch_bounds__(THREADS)
max_pool_gradient(const T* __restrict__ g, const Tap* __restrict__ taps, T* __restrict__ grad_x, int planes, int height,
                  int width, int output_h, int output_w, int kernel_h, int kernel_w, int stride_h, int stride_w, int top,
                  int left, int dilation_h, int dilation_w, int apart_h, int apart_w, int skip_h, int skip_w,
                  unsigned long long by_stride_h, unsigned long long by_stride_w) {
    int place, plane, step, h, w, i, j, room_h, room_w;
    if (!find_place(height * width, place, plane, step)) return;
    find_windows(place / width + top, kernel_h, stride_h, dilation_h, output_h, by_stride_h, h, i, room_h);
    find_windows(place % width + left, kernel_w, stride_w, dilation_w, output_w, by_stride_w, w, j, room_w);
    const long long area = static_cast<long long>(height) * width, outputs = static_cast<long long>(output_h) * output_w;
    const long long corner = static_cast<long long>(h) * output_w + w;
    for (; plane < planes; plane += PLANES * step) {
        float sum[PLANES] = {};
        long long from[PLANES];
#pragma unroll
        for (int e = 0; e < PLANES; ++e) from[e] = min(plane + e * step, planes - 1) * outputs + corner;
        for (int a = 0, row = i; a <= room_h; a += apart_h, row -= skip_h) {
            int tap = row * kernel_w + j;
            for (int b = 0; b <= room_w; b += apart_w, tap -= skip_w) {
#pragma unroll
                for (int e = 0; e < PLANES; ++e) {
                    const long long at = from[e] + a * output_w + b;
                    const float v = to_float(g[at]);
                    if (taps[at] == tap) sum[e] += v;
                }
            }
        }
#pragma unroll
        for (int e = 0; e < PLANES; ++e)
            if (plane + e * step < planes) grad_x[(plane + e * step) * area + place] = from_float<T>(sum[e]);
    }
}

// --- means -----------------------------------------------------------------------------------------------------------
// A warp adds up each window, or (`lanes`) the block: rows 16 bytes at a time, as one where windows are as wide as the image.
template <typename T>
__global__ void __launch_bounds__(THREADS, 4)
window_mean(const T* __restrict__ x, T* __restrict__ y, int outputs, int lanes, int height, int width, int output_h, int output_w,
            int step_h, int step_w, int last_h, int last_w, int top, int left, bool padded, float divisor, unsigned long long by_h,
            unsigned long long by_w, unsigned long long by_output_h, unsigned long long by_output_w) {
    constexpr int N = VECTOR<T>;
    const Ranges down{step_h, 0, last_h, top, height, by_h}, across{step_w, 0, last_w, left, width, by_w};
    const unsigned output = lanes == THREADS ? blockIdx.x : blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    if (output >= static_cast<unsigned>(outputs)) return;
    const int lane = threadIdx.x & (lanes - 1), line = quotient(output, by_output_w), plane = quotient(line, by_output_h);
    const int h = line - plane * output_h, w = output - line * output_w, first = across.begin(w);
    const int row = down.begin(h);
    int rows = down.end(h) - row, columns = max(across.end(w) - first, 0);
    const T* from = x + (static_cast<long long>(plane) * height + row) * width + first;
    if (columns == width) columns *= rows, rows = 1;
    float sum = 0;
#pragma unroll 1
    for (; rows > 0; --rows, from += width) {
        const int odd = static_cast<int>(reinterpret_cast<unsigned long long>(from) % 16 / sizeof(T));
        const int head = min(odd ? N - odd : 0, columns), whole = (columns - head) / N * N, tail = columns - head - whole;
        if (lane < head) sum += to_float(from[lane]);
#pragma unroll 4
        for (int k = lane * N; k < whole; k += lanes * N) {
            float v[N];
            read_neighbours(v, from + head + k);
#pragma unroll
            for (int i = 0; i < N; ++i) sum += v[i];
        }
        if (lane < tail) sum += to_float(from[head + whole + lane]);
    }
    sum = lanes == THREADS ? block_sum<THREADS>(sum) : warp_sum(sum);
    const float count = divisor != 0 ? divisor : down.counted(h, padded) * across.counted(w, padded);
    if (lane == 0) y[output] = from_float<T>(divided(sum, count, inverse_of(count)));
}

template <typename T>
__global__ void __launch_bounds__(THREADS, 4)
window_mean_gradient(const T* __restrict__ g, T* __restrict__ grad_x, int pixels, int height, int width, int output_h, int output_w,
                     int step_h, int step_w, int first_h, int first_w, int last_h, int last_w, int stride_h, int stride_w,
                     int kernel_h, int kernel_w, int top, int left, bool padded, float divisor, unsigned long long by_h,
                     unsigned long long by_w, unsigned long long by_windows_h, unsigned long long by_windows_w,
                     unsigned long long by_height, unsigned long long by_width) {
    const Ranges down{step_h, first_h, last_h, 0, output_h, by_h}, across{step_w, first_w, last_w, 0, output_w, by_w};
    const Ranges windows_h{stride_h, 0, kernel_h, top, height, by_windows_h};
    const Ranges windows_w{stride_w, 0, kernel_w, left, width, by_windows_w};
    const unsigned pixel = blockIdx.x * THREADS + threadIdx.x;
    if (pixel >= static_cast<unsigned>(pixels)) return;
    const int line = quotient(pixel, by_width), column = pixel - line * width;
    const int plane = quotient(line, by_height), row = line - plane * height;
    const int end_h = down.end(row), end_w = across.end(column);
    float sum = 0;
#pragma unroll 1
    for (int h = down.begin(row); h < end_h; ++h) {
        const T* from = g + (static_cast<long long>(plane) * output_h + h) * output_w;
        const float count = divisor != 0 ? divisor : windows_h.counted(h, padded);
#pragma unroll 1
        for (int w = across.begin(column); w < end_w; ++w)
            sum += to_float(from[w]) / (divisor != 0 ? count : count * windows_w.counted(w, padded));
    }
    grad_x[pixel] = from_float<T>(sum);
}

// --- means of whole planes -------------------------------------------------------------------------------------------
// Of small ones: a block first brings `together` of them, which lie side by side, to shared memory, 16 bytes at a time,
// wherever each begins. Then 2^log2_lanes threads add the pixels of each.
template <typename T>
__global__ void __launch_bounds__(THREADS, 4)
global_avg_pool_of_few(const T* __restrict__ x, T* __restrict__ y, long long planes, int area, int log2_lanes, float inverse) {
    extern __shared__ __align__(16) unsigned char memory[];
    constexpr int N = VECTOR<T>;
    T* const tile = reinterpret_cast<T*>(memory);
    const int together = THREADS >> log2_lanes, mine = threadIdx.x >> log2_lanes, lanes = 1 << log2_lanes;
    const long long first = static_cast<long long>(blockIdx.x) * together;
    const int here = static_cast<int>(min(planes - first, static_cast<long long>(together))), count = here * area;
    x += first * area;
    const int whole = on_16_bytes(x) ? count / N * N : 0;
#pragma unroll 2
    for (int k = threadIdx.x * N; k < whole; k += THREADS * N) store(tile + k, load<N>(x + k));
#pragma unroll 1
    for (int k = whole + threadIdx.x; k < count; k += THREADS) tile[k] = x[k];
    __syncthreads();
    const T* from = tile + mine * area;
    const int size = mine < here ? area : 0;
    float sum = 0.0f;
    int k = threadIdx.x & (lanes - 1);
#pragma unroll 1
    for (; k + 7 * lanes < size; k += 8 * lanes) {
#pragma unroll
        for (int i = 0; i < 8; ++i) sum += to_float(from[k + i * lanes]);
    }
#pragma unroll 1
    for (; k < size; k += lanes) sum += to_float(from[k]);
#pragma unroll 1
    for (int apart = lanes / 2; apart > 0; apart /= 2) sum += __shfl_xor_sync(FULL, sum, apart);
    if (mine < here && (threadIdx.x & (lanes - 1)) == 0)
        y[first + mine] = from_float<T>(divided(sum, static_cast<float>(area), inverse));
}

// A block writes `together` planes as one stretch, 16 bytes at a time: an access may have the end of one and all of another.
template <typename T>
__global__ void __launch_bounds__(THREADS, 4)
global_avg_pool_gradient(const T* __restrict__ g, T* __restrict__ grad_x, long long planes, int area, int together,
                         float inverse, unsigned long long by_area) {
    extern __shared__ __align__(16) unsigned char memory[];
    T* const shares = reinterpret_cast<T*>(memory);
    constexpr int N = VECTOR<T>;
    const long long first = static_cast<long long>(blockIdx.x) * together;
    const int here = static_cast<int>(min(planes - first, static_cast<long long>(together))), count = here * area;
#pragma unroll 1
    for (int p = threadIdx.x; p < here; p += THREADS) shares[p] = from_float<T>(to_float(g[first + p]) * inverse);
    if (threadIdx.x < N) shares[here + threadIdx.x] = from_float<T>(0);
    __syncthreads();
    grad_x += first * area;
#pragma unroll 1
    for (int k = threadIdx.x * N; k < count; k += THREADS * N) {
        int plane = quotient(k, by_area), left = (plane + 1) * area - k;  // pixels of the plane from here on
        Vec<T, N> out;
#pragma unroll
        for (int i = 0; i < N; ++i, --left) {
            if (left == 0) ++plane, left = area;
            out.at[i] = shares[plane];  // behind the last there is room
        }
        if (k + N <= count && on_16_bytes(grad_x)) {
            store_at_once(grad_x + k, out);
        } else {
#pragma unroll
            for (int i = 0; i < N; ++i)
                if (k + i < count) grad_x[k + i] = out.at[i];
        }
    }
}
