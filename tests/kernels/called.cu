// Functions that are not inlined (test_executions.py): one that is called at two places, and one that nobody comes to.
#include "common.cuh"

// Σ x[32 i], i < n.
__device__ __noinline__ float sum_of(const float* x, int n) {
    float sum = 0;
#pragma unroll 1
    for (int i = 0; i < n; ++i) {
        sum += x[32 * i];
    }
    return sum;
}

__device__ __noinline__ float product_of(const float* x, int n) {
    float product = 1;
#pragma unroll 1
    for (int i = 0; i < n; ++i) {
        product *= x[32 * i];
    }
    return product;
}

// Blocks of 256 threads. All warps have n numbers to sum, and the last four of each block m more.
__global__ void sums(const float* x, float* y, int n, int m, bool of_products) {
    float found = sum_of(x + threadIdx.x % 32, n);
    if (threadIdx.x >= 128) {
        const float before = found;
        const float* more = x + threadIdx.x % 16;
        found = sum_of(more, m);
        found *= before;
    }
    if (of_products) {
        const float before = found;
        const float* more = x + threadIdx.x % 8;
        found = product_of(more, n);
        found += before;
    }
    y[blockIdx.x * 256 + threadIdx.x] = found;
}
