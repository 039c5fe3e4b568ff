// Grids whose blocks do not all do as much (test_sample.py). Blocks of 32 threads; a turn is one request of a warp.
#include "common.cuh"
#include "hopper.cuh"

__device__ float turns(const float* x, int n) {
    float sum = 0;
    for (int k = 0; k < n; ++k) {
        sum += x[32 * k + threadIdx.x];
    }
    return sum;
}

// One block has n turns, all others one.
__global__ void one_does_all(const float* x, float* y, int which, int n) {
    y[blockIdx.x * 32 + threadIdx.x] = turns(x, static_cast<int>(blockIdx.x) == which ? n : 1);
}

// Block x of a row has x + 1 turns.
__global__ void causal(const float* x, float* y) {
    y[(blockIdx.y * gridDim.x + blockIdx.x) * 32 + threadIdx.x] = turns(x, blockIdx.x + 1);
}

// The same of rows of n blocks in a grid that knows nothing of them.
__global__ void causal_by_remainder(const float* x, float* y, int n) {
    y[blockIdx.x * 32 + threadIdx.x] = turns(x, blockIdx.x % n + 1);
}

// The last block to come adds up what all have written.
__global__ void last_adds_up(const float* x, float* y, int* come, float* sum) {
    atomicAdd(&y[blockIdx.x * 32 + threadIdx.x], x[blockIdx.x * 32 + threadIdx.x]);
    __threadfence();
    __syncthreads();
    __shared__ bool is_last;
    if (threadIdx.x == 0) is_last = atomicAdd(come, 1) == static_cast<int>(gridDim.x) - 1;
    __syncthreads();
    if (is_last) {
        float all = 0;
        for (int k = threadIdx.x; k < static_cast<int>(gridDim.x) * 32; k += 32) {
            all += atomicAdd(&y[k], 0.0f);
        }
        sum[threadIdx.x] = all;
    }
}

// Each block waits for the one before it.
__global__ void in_order(const float* x, float* y, int* flag) {
    if (threadIdx.x == 0) wait_until(flag, blockIdx.x);
    __syncthreads();
    y[blockIdx.x * 32 + threadIdx.x] = x[blockIdx.x * 32 + threadIdx.x];
    __syncthreads();
    if (threadIdx.x == 0) announce(flag, blockIdx.x + 1);
}

// Each block counts itself; what neighbours read overlaps.
__global__ void counts_blocks(const float* x, int* come) {
    const float* from = x + 24 * blockIdx.x;
    if (from[threadIdx.x] > 0 && threadIdx.x == 0) atomicAdd(come, 1);
}
