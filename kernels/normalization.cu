// Layer and RMS normalisation over the last axis of x (rows, cols).
//
//     x̂ = (x − mean) · rstd,  rstd = 1/√(var + eps),  y = weight x̂ + bias         CENTRED: layer norm, biased variance
//     x̂ = x · rstd,           rstd = 1/√(mean(x²) + eps),  y = weight x̂           otherwise: RMS norm
//
// Data and parameters are float, half or bfloat16 (T), statistics (rows,) and all sums float. The variance is that of
// differences from the mean, summed in registers; parts of a row longer than registers are joined by the formula of Chan,
// Golub & LeVeque (1979).
//
// Launch: a block per few rows, which lie as `normalization.cuh` has them. A thread holds 8 chunks (16 of V = 1) as floats, a block
// has up to 512 threads: rows of up to 32768 half-precision elements are read once. Longer ones are read again, from L2, to be
// written.
//
// Bytes, of n = rows · cols elements: 2 n, times sizeof(T). RMS norm of 16384 × 4096 bfloat16 moves 268 MB, 62 µs at 4.3 TB/s.
// Instructions per element, what a row takes once spread over a thread's 64: 15 for layer norm in bfloat16, of 26 that there is
// time for.
#include "normalization.cuh"

template <int V> constexpr int FORWARD_CHUNKS = V > 1 ? 8 : 16;  // that a thread holds

// This thread's chunks of a row, from `col` on in steps. Where the row has ended that is its beginning once more, for nobody
// to use: a choice of values instead of addresses would cost registers.
template <int CHUNKS, int V, typename T>
__device__ __forceinline__ void read_chunks(float (&v)[CHUNKS][V], const T* x, int col, int step, int end) {
    Vec<T, V> found[CHUNKS];
#pragma unroll
    for (int i = 0; i < CHUNKS; ++i, col += step) found[i] = load<V>(x + (col < end ? col : 0));
#pragma unroll
    for (int i = 0; i < CHUNKS; ++i) to_floats(v[i], found[i]);
}

// y = weight (scale v + shift) + bias
template <int CHUNKS, int V, typename T>
__device__ __forceinline__ void write_chunks(const float (&v)[CHUNKS][V], T* y, const T* weight, const T* bias, float scale,
                                             float shift, int col, int step, int end) {
#pragma unroll
    for (int i = 0; i < CHUNKS; ++i, col += step) {
        if (col >= end) break;
        float w[V], b[V];
#pragma unroll
        for (int j = 0; j < V; ++j) w[j] = 1, b[j] = 0;
        if (weight) to_floats(w, load<V>(weight + col));
        if (bias) to_floats(b, load<V>(bias + col));
        Vec<T, V> out;
#pragma unroll
        for (int j = 0; j < V; ++j) out.at[j] = from_float<T>((v[i][j] * scale + shift) * w[j] + b[j]);
        store(y + col, out);
    }
}

template <typename T, bool CENTRED, int V>
__global__ void __launch_bounds__(MOST, 1)
    norm_forward(const T* x, const T* weight, const T* bias, T* y, float* mean, float* rstd, int rows, int cols, float eps) {
    constexpr int CHUNKS = FORWARD_CHUNKS<V>;
    const int row = blockIdx.x * blockDim.y + threadIdx.y, step = blockDim.x * V, tile = CHUNKS * step;
    const int mine = threadIdx.x * V, end = row < rows ? cols : 0;
    x += (long long)min(row, rows - 1) * cols;
    y += (long long)row * cols;
    float v[CHUNKS][V], centre = 0, spread = 0, left = 0;  // `left`: of a row read once, of its centre what v still has
    for (int base = 0; base < cols; base += tile) {
        const float count = min(tile, cols - base), each = __fdividef(1, count), part = __fdividef(count, base + count);
        float sum[1] = {0}, sums[1 + CENTRED] = {};  // of x; of squared differences, and of differences: not 0, by rounding
        read_chunks(v, x, base + mine, step, end);
        float mid = 0;
        if constexpr (CENTRED) {
#pragma unroll
            for (int i = 0; i < CHUNKS; ++i) {
                if (base + mine + i * step >= end) break;
#pragma unroll
                for (int j = 0; j < V; ++j) sum[0] += v[i][j];
            }
            row_sum(sum);
            mid = sum[0] * each;
        }
#pragma unroll
        for (int i = 0; i < CHUNKS; ++i) {
            if (base + mine + i * step >= end) break;
#pragma unroll
            for (int j = 0; j < V; ++j) {
                if constexpr (CENTRED) v[i][j] -= mid, sums[1] += v[i][j];
                sums[0] += v[i][j] * v[i][j];
            }
        }
        row_sum(sums);
        left = CENTRED ? sums[CENTRED] * each : 0;
        mid += left;
        spread += sums[0] - left * left * count + (mid - centre) * (mid - centre) * base * part;
        centre += (mid - centre) * part;
    }
    const float scale = rsqrtf(spread / cols + eps);
    if (row < rows && threadIdx.x == 0) {
        if constexpr (CENTRED) mean[row] = centre;
        rstd[row] = scale;
    }
    const T* const shift = CENTRED ? bias : nullptr;
#pragma unroll 1
    for (int base = 0; base < cols; base += tile) {
        if (tile < cols) {  // once more, from L2
            read_chunks(v, x, base + mine, step, end);
            left = 0;
#pragma unroll
            for (int i = 0; i < CHUNKS; ++i)
#pragma unroll
                for (int j = 0; j < V; ++j) v[i][j] -= centre;
        }
        write_chunks(v, y, weight, shift, scale, -left * scale, base + mine, step, end);
    }
}
