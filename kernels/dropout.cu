// Dropout, with the residual connection around it: the mask is drawn in registers, and drawn again for the gradient.
//
//     y = residual + x ∘ M / (1 − p)          M ~ Bernoulli(1 − p): h < threshold, h a 32-bit word of the stream
//     grad_x = grad_y ∘ M / (1 − p)           the same kernel, on grad_y and without residual
//
// `shared` neighbours have one entry of the mask: 1 for elements, H·W for whole channels of (N, C, H, W). Entry e comes
// from 32-bit word e of the draw, as on a CPU. x is multiplied by 0, not skipped: NaN and infinities stay visible.
//
// Launch: 256 threads to a block, which takes 4 · 256 · 8 elements; each thread 4 times 8 neighbours, THREADS · 8 apart,
// which are one Philox block where nothing is shared. Arrays that begin on 16 bytes are moved 16 bytes at a time.
//
// Cost: 2·sizeof(T) bytes per element, 3·sizeof(T) with a residual; a mask in memory would add 1 to each pass. Besides, 31
// instructions, 24 of them Philox's, which the bits of the mask prescribe: bfloat16 without a residual takes 1.2 times as
// long to compute as to move, float32 is held up by the memory alone. float32's sectors are written in halves, which meet in L2.
#include "neighbours.cuh"
#include "philox.cuh"

constexpr int THREADS = 256;
constexpr int N = 8;      // neighbours, and 32-bit words per Philox block
constexpr int BATCH = 4;  // Philox blocks that a thread computes together

// What of x is multiplied by: `scale` for words up to `last`, else 0.
struct Kept {
    uint32_t last;
    float scale;
    __device__ __forceinline__ Kept(unsigned long long threshold, float scale_)
        : last(static_cast<uint32_t>(threshold - 1)), scale(threshold ? scale_ : 0.0f) {}
    __device__ __forceinline__ float factor(uint32_t word) const { return word <= last ? scale : 0.0f; }
};

// The factors of elements first … first + N − 1, of whom `shared` neighbours have one word.
__device__ __forceinline__ void shared_factors(float (&factor)[N], long long first, long long shared, Kept kept,
                                               unsigned long long start, unsigned long long key0, unsigned long long key1) {
    long long entry = first / shared, end = (entry + 1) * shared - first;  // element `end` has the next entry
    for (long long begin = 0; begin < N; begin = end, end += shared, ++entry) {
        const Philox4x64 block = philox_block(start + entry / 8, key0, key1);
        float f = 0;
#pragma unroll
        for (int k = 0; k < 8; ++k)
            if (k == entry % 8) f = kept.factor(block.half(k));
#pragma unroll
        for (int i = 0; i < N; ++i)
            if (begin <= i && i < end) factor[i] = f;
    }
}

// y = residual + x ∘ factor for elements first … first + N − 1, all of which are there.
template <bool RESIDUAL, typename T>
__device__ __forceinline__ void apply_to_all(const T* x, const T* residual, T* y, const float (&factor)[N]) {
    float v[N];
    read_neighbours(v, x);
    if constexpr (RESIDUAL) {
        float r[N];
        read_neighbours(r, residual);
#pragma unroll
        for (int i = 0; i < N; ++i) v[i] = fmaf(v[i], factor[i], r[i]);
    } else {
#pragma unroll
        for (int i = 0; i < N; ++i) v[i] *= factor[i];
    }
    write_neighbours(y, v);
}

// The same for as many as there are of n.
template <typename T>
__device__ __forceinline__ void apply(const T* x, const T* residual, T* y, long long first, long long n, bool vector,
                                      const float (&factor)[N]) {
    if (vector && first + N <= n) {
        if (residual) apply_to_all<true>(x + first, residual + first, y + first, factor);
        else apply_to_all<false>(x + first, residual, y + first, factor);
    } else {
#pragma unroll
        for (int i = 0; i < N; ++i) {
            if (first + i >= n) break;
            const float a = to_float(x[first + i]);
            y[first + i] = from_float<T>(residual ? fmaf(a, factor[i], to_float(residual[first + i])) : a * factor[i]);
        }
    }
}

// A thread's share of a block of threads whose elements are all there: addresses are constants apart.
template <bool RESIDUAL, typename T>
__device__ __forceinline__ void apply_to_block(const T* x, const T* residual, T* y, const Philox4x64 (&block)[BATCH], Kept kept) {
#pragma unroll
    for (int b = 0; b < BATCH; ++b) {
        float factor[N];
#pragma unroll
        for (int i = 0; i < N; ++i) factor[i] = kept.factor(block[b].half(i));
        apply_to_all<RESIDUAL>(x + b * THREADS * N, residual + b * THREADS * N, y + b * THREADS * N, factor);
    }
}

template <typename T, bool SHARED>
__global__ void __launch_bounds__(THREADS) dropout(const T* x, const T* residual, T* y, long long n, long long shared,
                                               unsigned long long threshold, float scale, unsigned long long key0,
                                               unsigned long long key1, unsigned long long counter,
                                               const unsigned long long* advance) {
    const Kept kept(threshold, scale);
    const unsigned long long start = first_block(counter, advance);
    const bool vector = on_16_bytes(x) && on_16_bytes(residual) && on_16_bytes(y);
    const long long mine = static_cast<long long>(blockIdx.x) * (THREADS * BATCH) + threadIdx.x;
    Philox4x64 block[BATCH];
    if constexpr (!SHARED) {
        philox_blocks(block, start + mine, THREADS, key0, key1);
        if (vector && (blockIdx.x + 1ll) * (THREADS * BATCH * N) <= n) {
            const long long first = mine * N;
            if (residual) apply_to_block<true>(x + first, residual + first, y + first, block, kept);
            else apply_to_block<false>(x + first, x + first, y + first, block, kept);
            return;
        }
    }
#pragma unroll
    for (int b = 0; b < BATCH; ++b) {
        const long long first = (mine + b * THREADS) * N;
        if (first >= n) return;
        float factor[N] = {};
        if constexpr (SHARED) shared_factors(factor, first, shared, kept, start, key0, key1);
        else {
#pragma unroll
            for (int i = 0; i < N; ++i) factor[i] = kept.factor(block[b].half(i));
        }
        apply(x, residual, y, first, n, vector, factor);
    }
}
