// The norm of many gradients at once, and scaling by a number that never leaves the device.
//
//     norm = (Σ |x|ᵖ)^(1/p),  or max |x| for p = ∞;  float, for x in float or half precision
//
// in two launches, since blocks of one launch do not meet. `power_sum`: each block adds up |x|ᵖ of BLOCK neighbours in a
// fixed order (32 to a thread in 4 or 8 sums, then a tree) into `partial`; `finish_norm`: one block adds up all partials
// in double, in a fixed order too. Several vectors share `partial`: each launch of `power_sum` is given its place in it.
// Infinities and NaN stay: a norm is finite if everything is (and for p < ∞, no sum of powers is beyond float).
//
// Cost: sizeof(T) bytes read per element; scaling reads and writes, and where the factor is 1 it does neither: so its blocks
// are no more than keep the device busy, each goes on from one part to the next, and where they have nothing to do they cost
// nothing. 124 million float gradients, H200 at 4.3 TB/s: norm 0.12 ms, clip 0.23 ms.
#include "neighbours.cuh"

constexpr int THREADS = 256, PER_THREAD = 32, BLOCK = THREADS * PER_THREAD;

__device__ __forceinline__ float larger(float a, float b) { return b > a || isnan(b) ? b : a; }  // keeps NaN, unlike fmaxf

// block_max for numbers ≥ 0 and NaN
__device__ __forceinline__ float block_largest(float v) {
    const float nan = block_sum<THREADS>(isnan(v) ? v : 0.0f);
    return isnan(nan) ? nan : block_max<THREADS>(v);
}

// How an element joins a sum, and how the sums of a block's threads become one.
struct Sum {
    static __device__ float join(float a, float b) { return a + b; }
    static __device__ float of_block(float sum) { return block_sum<THREADS>(sum); }
};
struct Square : Sum {
    static __device__ float add(float sum, float x, float) { return sum + x * x; }
};
struct Absolute : Sum {
    static __device__ float add(float sum, float x, float) { return sum + fabsf(x); }
};
struct Power : Sum {
    static __device__ float add(float sum, float x, float p) { return sum + powf(fabsf(x), p); }
};
struct Largest {
    static __device__ float join(float a, float b) { return larger(a, b); }
    static __device__ float add(float sum, float x, float) { return larger(sum, fabsf(x)); }
    static __device__ float of_block(float sum) { return block_largest(sum); }
};

template <typename T, typename Norm>
__global__ void __launch_bounds__(THREADS) power_sum(const T* x, long long n, float p, float* partial) {
    constexpr int N = VECTOR<T>;
    const long long start = static_cast<long long>(blockIdx.x) * BLOCK, first = start + threadIdx.x * N;
    float sum[N] = {}, v[N];
    if (start + BLOCK <= n && on_16_bytes(x)) {
#pragma unroll 4
        for (int i = 0; i < BLOCK; i += THREADS * N) {
            read_neighbours(v, x + first + i);
#pragma unroll
            for (int k = 0; k < N; ++k) sum[k] = Norm::add(sum[k], v[k], p);
        }
    } else {  // the same sums
#pragma unroll 1
        for (long long i = first; i < min(start + BLOCK, n); i += THREADS * N)
#pragma unroll
            for (int k = 0; k < N; ++k)
                if (i + k < n) sum[k] = Norm::add(sum[k], to_float(x[i + k]), p);
    }
#pragma unroll
    for (int k = 1; k < N; ++k) sum[0] = Norm::join(sum[0], sum[k]);
    const float total = Norm::of_block(sum[0]);
    if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

__global__ void __launch_bounds__(THREADS) finish_norm(const float* partial, long long n, float p, float* norm) {
    __shared__ double sums[THREADS];
    double sum = 0;
    float largest = 0;
#pragma unroll 4
    for (long long i = threadIdx.x; i < n; i += THREADS) {
        sum += partial[i];
        largest = larger(largest, partial[i]);
    }
    largest = block_largest(largest);
    sums[threadIdx.x] = sum;
#pragma unroll
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0) {
        sum = sums[0];
        *norm = p == INFINITY ? largest : static_cast<float>(p == 2 ? sqrt(sum) : pow(sum, 1.0 / p));
    }
}

// --- x ← factor · x --------------------------------------------------------------------------------------------------
template <typename T> __device__ __forceinline__ void multiply(T* x, long long n, float factor) {
    constexpr int N = VECTOR<T>;
    if (factor == 1) return;
    const bool is_aligned = on_16_bytes(x);
    const long long step = static_cast<long long>(gridDim.x) * THREADS * N;
#pragma unroll 1
    for (long long first = (static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x) * N; first < n; first += step) {
        if (first + N <= n && is_aligned) {
            float v[N];
            read_neighbours(v, x + first);
#pragma unroll
            for (int k = 0; k < N; ++k) v[k] *= factor;
            write_neighbours(x + first, v);
        } else {
#pragma unroll 1
            for (long long i = first; i < min(first + N, n); ++i) x[i] = from_float<T>(factor * to_float(x[i]));
        }
    }
}

template <typename T> __global__ void __launch_bounds__(THREADS) scale(T* x, long long n, const float* factor) {
    multiply(x, n, *factor);
}

// factor = min(1, max_norm / (norm + 10⁻⁶)); a norm that is NaN changes nothing
template <typename T>
__global__ void __launch_bounds__(THREADS) clip(T* x, long long n, const float* norm, float max_norm) {
    multiply(x, n, isnan(*norm) ? 1.0f : fminf(1.0f, max_norm / (*norm + 1e-6f)));
}
