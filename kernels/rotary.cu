// Rotary embedding: pairs (a, b) of a row's first 2n elements are turned, (a cos − b sin, b cos + a sin); the rest is copied.
//
// x (B, H, L, D) with any strides but the last, which is 1; y contiguous. cos and sin (…, n) are float, rows of n neighbours;
// `angles` has their strides for b, h and l, 0 for what is broadcast. Pairs are (i, i + n), or (2i, 2i + 1) if INTERLEAVED.
// Backward is the same with −sin: `sign` = −1. float, half or bfloat16; arithmetic float, one rounding.
//
// Geometry: 256 threads; a thread has N neighbours and their N partners (N alone, if INTERLEAVED) of HEADS heads, whose angles are
// mostly the same and are then read once. Where rows do not begin on N elements or n is no multiple of N (`whole` is false),
// elements go one by one. Limits: n, D < 2³¹, fewer than 2³² threads.
//
// Memory: 2 sizeof(T) bytes an element, and the angles, which stay in cache. (8, 32, 4096, 128) in bfloat16: 537 MB, 0.12 ms at
// 4.3 TB/s.
#include "neighbours.cuh"

constexpr int THREADS = 256, HEADS = 4, N = 4;

// The pairs of v, whose angles are (c, s), turned.
template <bool INTERLEAVED, int PAIRS>
__device__ __forceinline__ void turn(float (&v)[2 * PAIRS], const float (&c)[PAIRS], const float (&s)[PAIRS]) {
#pragma unroll
    for (int i = 0; i < PAIRS; ++i) {
        float &a = v[INTERLEAVED ? 2 * i : i], &b = v[INTERLEAVED ? 2 * i + 1 : PAIRS + i];
        const float turned = a * c[i] - b * s[i];
        b = b * c[i] + a * s[i];
        a = turned;
    }
}

template <typename T, bool INTERLEAVED>
__global__ void __launch_bounds__(THREADS, 4)
    rotary(const T* __restrict__ x, const float* __restrict__ cos, const float* __restrict__ sin, T* __restrict__ y,
           unsigned items, int heads, int length, int width, int n, long long x_b, long long x_h, long long x_l,
           long long angle_b, long long angle_h, long long angle_l, float sign, bool whole) {
    constexpr int PAIRS = INTERLEAVED ? N / 2 : N, ACCESSES = 2 * PAIRS / N;  // of a thread in a head
    const unsigned turning = (n + PAIRS - 1) / PAIRS, units = turning + (width - 2 * n + N - 1) / N;
    const unsigned item = blockIdx.x * THREADS + threadIdx.x, k = item % units, row = item / units;
    const unsigned groups = (heads + HEADS - 1) / HEADS;  // row = (b · groups + group) · length + l
    if (item >= items) return;
    const long long l = row % length, b = row / length / groups;
    const int head = row / length % groups * HEADS, count = min(HEADS, heads - head);
    x += b * x_b + head * x_h + l * x_l;
    y += ((b * heads + head) * length + l) * width;
    const long long to_next = static_cast<long long>(length) * width;
    if (k >= turning) {  // what is not turned
        const int from = 2 * n + (k - turning) * N;
        for (int h = 0; h < count; ++h)
            for (int i = from; i < min(from + N, width); ++i) y[h * to_next + i] = x[h * x_h + i];
        return;
    }
    const int first = k * PAIRS, step = INTERLEAVED ? 2 : 1, apart = INTERLEAVED ? 1 : n;
    const long long at = b * angle_b + head * angle_h + l * angle_l + first;
    if (whole) {
        Vec<T, N> own[HEADS][ACCESSES];
        float c[PAIRS], s[PAIRS];
#pragma unroll
        for (int h = 0; h < HEADS; ++h)
#pragma unroll
            for (int j = 0; j < ACCESSES; ++j) own[h][j] = load<N>(x + min(h, count - 1) * x_h + first * step + j * n);
#pragma unroll
        for (int h = 0; h < HEADS; ++h) {
            if (h >= count) return;
            if (h == 0 || angle_h) {
                read_neighbours(c, cos + at + h * angle_h);
                read_neighbours(s, sin + at + h * angle_h);
#pragma unroll
                for (int i = 0; i < PAIRS; ++i) s[i] *= sign;
            }
            float v[2 * PAIRS];
#pragma unroll
            for (int j = 0; j < ACCESSES; ++j) to_floats(v + N * j, own[h][j]);
            turn<INTERLEAVED>(v, c, s);
#pragma unroll
            for (int j = 0; j < ACCESSES; ++j)
                write_neighbours(y + h * to_next + first * step + j * n, reinterpret_cast<const float(&)[N]>(v[N * j]));
        }
    } else {
        for (int h = 0; h < count; ++h)
            for (int i = 0; i < min(PAIRS, n - first); ++i) {
                const long long j = (first + i) * step, from = h * x_h + j, to = h * to_next + j, angle = at + h * angle_h + i;
                float v[2] = {to_float(x[from]), to_float(x[from + apart])};
                turn<INTERLEAVED>(v, {cos[angle]}, {sign * sin[angle]});
                y[to] = from_float<T>(v[0]);
                y[to + apart] = from_float<T>(v[1]);
            }
    }
}
