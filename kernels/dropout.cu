// Dropout, with the residual connection around it: the mask is drawn in registers, and drawn again for the gradient.
//
//     y = residual + x ∘ M / (1 − p)          M ~ Bernoulli(1 − p): h < threshold, h a 32-bit word of the stream
//     grad_x = grad_y ∘ M / (1 − p)           the same kernel, on grad_y and without residual
//
// `shared` neighbours have one entry of the mask: 1 for elements, H·W for whole channels of (N, C, H, W). Entry e comes
// from 32-bit word e of the draw, as on a CPU. x is multiplied by 0, not skipped: NaN and infinities stay visible.
//
// Launch: ceil_div(n, 8) threads, 256 to a block; each takes 8 neighbours, which are one Philox block where nothing is
// shared. Arrays that begin on 16 bytes are moved 16 bytes at a time.
//
// Cost: 2·sizeof(T) bytes per element, 3·sizeof(T) with a residual; a mask in memory would add 1 to each pass. Besides, 41
// instructions, most for integers at half of an H200's rate: 0.65·10¹² elements a second. That is 2.6 TB/s of bfloat16,
// 3.9 with a residual; float32 is held up by the memory alone. (16384, 4096) in bfloat16: 0.10 ms, either way.
#include "neighbours.cuh"
#include "philox.cuh"

constexpr int THREADS = 256;
constexpr int N = 8;  // elements per thread, and 32-bit words per Philox block

// The factors of elements first … first + N − 1: `scale` or 0.
template <bool SHARED>
__device__ __forceinline__ void draw_factors(float (&factor)[N], long long first, long long shared,
                                             unsigned long long threshold, float scale, unsigned long long start,
                                             unsigned long long key0, unsigned long long key1) {
    if constexpr (!SHARED) {
        const Philox4x64 block = philox_block(start + first / N, key0, key1);
#pragma unroll
        for (int i = 0; i < N; ++i) factor[i] = block.half(i) < threshold ? scale : 0.0f;
    } else {
        long long entry = first / shared, end = (entry + 1) * shared - first;  // element `end` has the next entry
        for (long long begin = 0; begin < N; begin = end, end += shared, ++entry) {
            const Philox4x64 block = philox_block(start + entry / 8, key0, key1);
            float f = 0;
#pragma unroll
            for (int k = 0; k < 8; ++k)
                if (k == entry % 8) f = block.half(k) < threshold ? scale : 0.0f;
#pragma unroll
            for (int i = 0; i < N; ++i)
                if (begin <= i && i < end) factor[i] = f;
        }
    }
}

template <typename T, bool SHARED>
__global__ void __launch_bounds__(THREADS) dropout(const T* x, const T* residual, T* y, long long n, long long shared,
                                               unsigned long long threshold, float scale, unsigned long long key0,
                                               unsigned long long key1, unsigned long long counter,
                                               const unsigned long long* advance) {
    const long long first = (static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x) * N;
    if (first >= n) return;
    const bool whole = first + N <= n && on_16_bytes(x) && on_16_bytes(residual) && on_16_bytes(y);
    float v[N] = {}, r[N] = {}, factor[N] = {};
    if (whole) {  // under way while the mask is drawn
        read_neighbours(v, x + first);
        if (residual) read_neighbours(r, residual + first);
    }
    draw_factors<SHARED>(factor, first, shared, threshold, scale, first_block(counter, advance), key0, key1);
    if (whole) {
#pragma unroll
        for (int i = 0; i < N; ++i) v[i] = residual ? fmaf(v[i], factor[i], r[i]) : v[i] * factor[i];
        write_neighbours(y + first, v);
    } else {
#pragma unroll
        for (int i = 0; i < N; ++i) {
            if (first + i >= n) break;
            const float a = to_float(x[first + i]);
            y[first + i] = from_float<T>(residual ? fmaf(a, factor[i], to_float(residual[first + i])) : a * factor[i]);
        }
    }
}
