// Pooling by 2 × 2 windows that lie side by side, without padding: the case of `pooling.cu` that most networks have.
//
//     max_pool     y = the greatest of the four, and which it was, t = 2·row + column (the first, or the last NaN)
//     avg_pool     y = (((x₀₀ + x₀₁) + x₁₀) + x₁₁) / 4
//     _gradient    grad_x = g where t is the pixel's own, else 0; g / 4
//
// Maxima and their bits are those of `pooling.cu`. Windows never share a pixel, so no thread looks for the windows that
// read one: it moves V neighbours in both rows of V/2 windows, in one access of each row. H is even and W a multiple of V,
// so that row r of all planes' outputs has rows 2r and 2r + 1 of all planes' pixels: no thread knows its plane.
//
// T is float, half or bfloat16; arrays begin on 16 bytes. Launch: a thread for each V/2 windows, 256 to a block, less than
// 2³¹ in all. `by_chunks` is the reciprocal (windows.cuh) of W/V, the threads that share a row.
//
// Cost: bytes, 1.25·sizeof(T) a pixel, and ¼ for maxima, whose taps are bytes; at most 8 instructions a pixel.
#include "windows.cuh"

constexpr int THREADS = 256;

// The chunk of V pixels, counted through rows of outputs, that is this thread's, and its first pixel; false for none.
template <int V> __device__ __forceinline__ bool find_chunk(int chunks, int width, unsigned long long by_chunks,
                                                            long long& windows, long long& pixels) {
    const unsigned chunk = blockIdx.x * THREADS + threadIdx.x;
    if (chunk >= static_cast<unsigned>(chunks)) return false;
    windows = static_cast<long long>(chunk) * (V / 2);
    pixels = 2 * windows + static_cast<long long>(quotient(chunk, by_chunks)) * width;
    return true;
}

// --- maxima ----------------------------------------------------------------------------------------------------------
template <typename T, int V>
__global__ void __launch_bounds__(THREADS)
max_pool_2x2(const T* __restrict__ x, T* __restrict__ y, unsigned char* __restrict__ taps, int chunks, int width,
             unsigned long long by_chunks) {
    long long windows, pixels;
    if (!find_chunk<V>(chunks, width, by_chunks, windows, pixels)) return;
    const Vec<T, V> rows[2] = {load<V>(x + pixels), load<V>(x + pixels + width)};
    Vec<T, V / 2> greatest;
    Vec<unsigned char, V / 2> which;
#pragma unroll
    for (int k = 0; k < V / 2; ++k) {
        float best = to_float(rows[0].at[2 * k]);
        int tap = 0;
#pragma unroll
        for (int t = 1; t < 4; ++t) {
            const float v = to_float(rows[t / 2].at[2 * k + t % 2]);
            if (v > best || isnan(v)) best = v, tap = t;
        }
        greatest.at[k] = from_float<T>(best);
        which.at[k] = static_cast<unsigned char>(tap);
    }
    store(y + windows, greatest);
    store(taps + windows, which);
}

template <typename T, int V>
__global__ void __launch_bounds__(THREADS)
max_pool_2x2_gradient(const T* __restrict__ g, const unsigned char* __restrict__ taps, T* __restrict__ grad_x, int chunks,
                      int width, unsigned long long by_chunks) {
    long long windows, pixels;
    if (!find_chunk<V>(chunks, width, by_chunks, windows, pixels)) return;
    const Vec<T, V / 2> grad = load<V / 2>(g + windows);
    const Vec<unsigned char, V / 2> which = load<V / 2>(taps + windows);
    Vec<T, V> rows[2];
#pragma unroll
    for (int k = 0; k < V / 2; ++k) {
        const float v = 0.0f + to_float(grad.at[k]);  // a sum of one, which −0 does not survive
#pragma unroll
        for (int t = 0; t < 4; ++t) rows[t / 2].at[2 * k + t % 2] = from_float<T>(which.at[k] == t ? v : 0.0f);
    }
    store(grad_x + pixels, rows[0]);
    store(grad_x + pixels + width, rows[1]);
}

// --- means -----------------------------------------------------------------------------------------------------------
template <typename T, int V>
__global__ void __launch_bounds__(THREADS)
avg_pool_2x2(const T* __restrict__ x, T* __restrict__ y, int chunks, int width, unsigned long long by_chunks) {
    long long windows, pixels;
    if (!find_chunk<V>(chunks, width, by_chunks, windows, pixels)) return;
    const Vec<T, V> rows[2] = {load<V>(x + pixels), load<V>(x + pixels + width)};
    Vec<T, V / 2> mean;
#pragma unroll
    for (int k = 0; k < V / 2; ++k) {
        float sum = 0;
#pragma unroll
        for (int t = 0; t < 4; ++t) sum += to_float(rows[t / 2].at[2 * k + t % 2]);
        mean.at[k] = from_float<T>(sum * 0.25f);
    }
    store(y + windows, mean);
}

template <typename T, int V>
__global__ void __launch_bounds__(THREADS)
avg_pool_2x2_gradient(const T* __restrict__ g, T* __restrict__ grad_x, int chunks, int width, unsigned long long by_chunks) {
    long long windows, pixels;
    if (!find_chunk<V>(chunks, width, by_chunks, windows, pixels)) return;
    const Vec<T, V / 2> grad = load<V / 2>(g + windows);
    Vec<T, V> row;
#pragma unroll
    for (int k = 0; k < V / 2; ++k) row.at[2 * k] = row.at[2 * k + 1] = from_float<T>(0.0f + to_float(grad.at[k]) * 0.25f);
    store(grad_x + pixels, row);
    store(grad_x + pixels + width, row);
}
