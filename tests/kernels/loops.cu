// Loops that compilers unroll, and how often they run is worked out by hand (test_executions.py). Blocks of 256 threads.
#include "common.cuh"

// y = Σ x[256 k + i], k < n, four at a time, and what is left one by one.
__global__ void by_four(const float* x, float* y, int n) {
    float sum = 0;
#pragma unroll 4
    for (int k = 0; k < n; ++k) {
        sum += x[256 * k + threadIdx.x];
    }
    y[blockIdx.x * 256 + threadIdx.x] = sum;
}

// The same of squares, n times eight: the inner loop is unrolled as a whole.
__global__ void nested(const float* x, float* y, int n) {
    float sum = 0;
#pragma unroll 1
    for (int k = 0; k < n; ++k) {
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            const float v = x[256 * (8 * k + j) + threadIdx.x];
            sum += v * v;
        }
    }
    y[blockIdx.x * 256 + threadIdx.x] = sum;
}

// Every second warp leaves out what the others multiply by.
__global__ void early_continue(const float* x, const float* w, float* y, int n) {
    float sum = 0;
#pragma unroll 1
    for (int k = 0; k < n; ++k) {
        const float v = x[256 * k + threadIdx.x];
        sum += v;
        if (threadIdx.x / 32 % 2) continue;
        const float factor = w[256 * k + threadIdx.x];
        sum += expf(v * factor) * sum;
    }
    y[blockIdx.x * 256 + threadIdx.x] = sum;
}

__global__ void grid_stride(const float* x, float* y, int n) {
    for (int i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256) {
        y[i] = 2 * x[i];
    }
}

__device__ __forceinline__ float square_of(const float* x, int k) {
    const float v = x[256 * k + threadIdx.x];
    return v * v;
}

// Two loops over a function, the second of more turns.
__global__ void two_loops(const float* x, float* y, int n, int m) {
    float sum = 0;
#pragma unroll 1
    for (int k = 0; k < n; ++k) {
        sum += square_of(x, k);
    }
    y[blockIdx.x * 256 + threadIdx.x] = sum;
#pragma unroll 1
    for (int k = 0; k < m; ++k) {
        sum *= square_of(x, k);
    }
    y[blockIdx.x * 256 + threadIdx.x] = sum;
}

// One of four warps stores twice.
__global__ void predicated_store(const float* x, float* y, float* z) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    const float v = x[i];
    if (threadIdx.x % 128 < 32) y[i] = v;
    z[i] = v * v;
}
