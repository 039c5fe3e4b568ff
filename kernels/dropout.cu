// Dropout, with the residual connection around it: the mask is drawn in registers, and drawn again for the gradient.
//
//     y = residual + x ∘ M / (1 − p)          M ~ Bernoulli(1 − p): h < threshold, h a 32-bit word of the stream
//     grad_x = grad_y ∘ M / (1 − p)           the same kernel, on grad_y and without residual
//
// `shared` neighbours have one entry of the mask: 1 for elements, H·W for whole channels of (N, C, H, W). Entry e comes
// from 32-bit word e of the draw, as on a CPU. x is multiplied by 0, not skipped: NaN and infinities stay visible.
//
// Launch: 128 threads to a block, which takes 8 · 128 · 8 elements; each thread has 8 Philox blocks, 128 apart, which are 8
// neighbours each where nothing is shared. Arrays that begin on 16 bytes are moved 16 bytes at a time, by a warp side by side:
// for float32 its lanes exchange factors in shared memory.
//
// Cost: 2·sizeof(T) bytes per element, 3·sizeof(T) with a residual; a mask in memory would add 1 to each pass. Besides, 28
// instructions, 22 of them Philox's, which the bits of the mask prescribe: bfloat16 without a residual takes 1.1 times as
// long to compute as to move, float32 half as long.
#include "neighbours.cuh"
#include "philox.cuh"

constexpr int THREADS = 128;
constexpr int N = 8;      // neighbours, and 32-bit words per Philox block
constexpr int BATCH = 8;  // Philox blocks that a thread computes together

// What of x is multiplied by: `scale` for words up to `last`, else 0.
struct Kept {
    uint32_t last;
    float scale;
    __device__ __forceinline__ Kept(unsigned long long threshold, float scale_)
        : last(static_cast<uint32_t>(threshold - 1)), scale(threshold ? scale_ : 0.0f) {}
    __device__ __forceinline__ float factor(uint32_t word) const { return word <= last ? scale : 0.0f; }
};

__device__ __forceinline__ void factors(float (&factor)[N], const Philox4x64& block, Kept kept) {
#pragma unroll
    for (int i = 0; i < N; ++i) factor[i] = kept.factor(block.half(i));
}

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

// y = residual + x ∘ factor for N neighbours, all of which are there.
template <bool RESIDUAL, typename T, int N>
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
template <bool RESIDUAL, typename T>
__device__ __forceinline__ void apply(const T* x, const T* residual, T* y, long long first, long long n, bool vector,
                                      const float (&factor)[N]) {
    if (vector && first + N <= n) {
        apply_to_all<RESIDUAL>(x + first, residual + first, y + first, factor);
    } else {
#pragma unroll
        for (int i = 0; i < N; ++i) {
            if (first + i >= n) break;
            const float a = to_float(x[first + i]);
            y[first + i] = from_float<T>(RESIDUAL ? fmaf(a, factor[i], to_float(residual[first + i])) : a * factor[i]);
        }
    }
}

// A warp's share of a block of threads whose elements are all there: addresses are constants apart. float32's factors, 8
// neighbours to a lane, are dealt to the lanes 4 at a time, in `tile`.
template <bool RESIDUAL, typename T>
__device__ __forceinline__ void apply_to_block(const T* x, const T* residual, T* y, const Philox4x64 (&block)[BATCH], Kept kept,
                                               Vec<float, 4>* tile) {
    constexpr int W = VECTOR<T>;
#pragma unroll
    for (int b = 0; b < BATCH; ++b) {
        float factor[N];
        factors(factor, block[b], kept);
        if constexpr (W < N) deal(factor, tile);
#pragma unroll
        for (int i = 0; i < N; i += W) {
            const int at = b * THREADS * N + 32 * i;
            apply_to_all<RESIDUAL>(x + at, residual + at, y + at, reinterpret_cast<const float(&)[W]>(factor[i]));
        }
    }
}

// A thread's share, N neighbours at a time, wherever they begin and end. Not inlined: blocks that are whole do without it.
template <bool SHARED, bool RESIDUAL, typename T>
__device__ __noinline__ void apply_to_rest(const T* x, const T* residual, T* y, long long first, long long n, long long shared,
                                           bool vector, Kept kept, unsigned long long start, unsigned long long key0,
                                           unsigned long long key1) {
#pragma unroll 1
    for (int b = 0; b < BATCH && first < n; ++b, first += THREADS * N) {
        float factor[N] = {};
        if constexpr (SHARED) shared_factors(factor, first, shared, kept, start, key0, key1);
        else factors(factor, philox_block(start + first / N, key0, key1), kept);
        apply<RESIDUAL>(x, residual, y, first, n, vector, factor);
    }
}

template <typename T, bool SHARED, bool RESIDUAL>
__global__ void __launch_bounds__(THREADS, 4) dropout(const T* x, const T* residual, T* y, long long n, long long shared,
                                               unsigned long long threshold, float scale, unsigned long long key0,
                                               unsigned long long key1, unsigned long long counter,
                                               const unsigned long long* advance) {
    const Kept kept(threshold, scale);
    const unsigned long long start = first_block(counter, advance);
    const bool vector = on_16_bytes(x) && on_16_bytes(residual) && on_16_bytes(y);
    const long long before = static_cast<long long>(blockIdx.x) * (THREADS * BATCH * N);  // elements of other blocks
    if constexpr (!SHARED) {
        if (vector && before + THREADS * BATCH * N <= n) {
            __shared__ Vec<float, 4> tile[sizeof(T) < 4 ? 1 : THREADS * N / 4];
            Philox4x64 block[BATCH];
            philox_blocks(block, start + before / N + threadIdx.x, THREADS, key0, key1);
            const int warp = (threadIdx.x - LANE) * N;  // its first element
            const long long first = before + warp + VECTOR<T> * LANE;
            apply_to_block<RESIDUAL>(x + first, residual + first, y + first, block, kept, tile + warp / 4);
            return;
        }
    }
    apply_to_rest<SHARED, RESIDUAL>(x, residual, y, before + threadIdx.x * N, n, shared, vector, kept, start, key0, key1);
}
