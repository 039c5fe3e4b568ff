// Rotary embedding: pairs (a, b) of a row's first 2n elements are turned, (a cos − b sin, b cos + a sin); the rest is copied.
//
// x (B, H, L, D) with any strides but the last, which is 1; y contiguous. cos and sin (…, n) are float, rows of n neighbours;
// `angles` has their strides for b, h and l, 0 for what is broadcast. Pairs are (i, i + n), or (2i, 2i + 1) if INTERLEAVED.
// Backward is the same with −sin: `sign` = −1. float, half or bfloat16; arithmetic float, one rounding.
//
// Geometry: 256 threads; a thread has the N = VECTOR<T> elements of one access of 16 bytes, and for halves their N partners. Where
// rows do not begin on 16 bytes or n is no multiple of N (`whole` is false), elements go one by one.
// Limits: n, D < 2³¹.
//
// Memory: 2 sizeof(T) bytes an element, and the angles, which stay in cache. (8, 32, 4096, 128) in bfloat16: 537 MB, 0.12 ms at
// 4.3 TB/s.
#include "neighbours.cuh"

constexpr int THREADS = 256;

struct Strides {
    long long b, h, l;
    __device__ __forceinline__ long long at(long long row, int heads, int length) const {
        return row / length / heads * b + row / length % heads * h + row % length * l;
    }
};

template <typename T, bool INTERLEAVED>
__global__ void __launch_bounds__(THREADS)
    rotary(const T* x, const float* cos, const float* sin, T* y, long long rows, int heads, int length, int width, int n,
           long long x_b, long long x_h, long long x_l, long long angle_b, long long angle_h, long long angle_l, float sign,
           bool whole) {
    constexpr int N = VECTOR<T>, PAIRS = INTERLEAVED ? N / 2 : N;  // of a thread
    const int turning = (n + PAIRS - 1) / PAIRS, units = turning + (width - 2 * n + N - 1) / N;
    const long long unit = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x, row = unit / units;
    if (row >= rows) return;
    const int k = static_cast<int>(unit % units);
    x += Strides{x_b, x_h, x_l}.at(row, heads, length);
    y += row * width;
    if (k >= turning) {  // what is not turned
        const int from = 2 * n + (k - turning) * N;
        for (int i = from; i < min(from + N, width); ++i) y[i] = x[i];
        return;
    }
    const long long at = Strides{angle_b, angle_h, angle_l}.at(row, heads, length) + k * PAIRS;
    const int first = k * PAIRS, step = INTERLEAVED ? 2 : 1, apart = INTERLEAVED ? 1 : n;
    if (whole) {
        float v[INTERLEAVED ? 1 : 2][N], c[PAIRS], s[PAIRS];
        read_neighbours(v[0], x + first * step);
        if constexpr (!INTERLEAVED) read_neighbours(v[1], x + first + n);
        read_neighbours(c, cos + at);
        read_neighbours(s, sin + at);
#pragma unroll
        for (int i = 0; i < PAIRS; ++i) {
            float& a = INTERLEAVED ? v[0][2 * i] : v[0][i];
            float& b = INTERLEAVED ? v[0][2 * i + 1] : v[INTERLEAVED ? 0 : 1][i];
            const float turned = a * c[i] - b * (sign * s[i]);
            b = b * c[i] + a * (sign * s[i]);
            a = turned;
        }
        write_neighbours(y + first * step, v[0]);
        if constexpr (!INTERLEAVED) write_neighbours(y + first + n, v[1]);
    } else {
        for (int i = 0; i < min(PAIRS, n - first); ++i) {
            const int j = (first + i) * step;
            const float a = to_float(x[j]), b = to_float(x[j + apart]), c = cos[at + i], s = sign * sin[at + i];
            y[j] = from_float<T>(a * c - b * s);
            y[j + apart] = from_float<T>(b * c + a * s);
        }
    }
}
