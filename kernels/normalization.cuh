// What layer and RMS normalisation share: how a row of x (rows, cols) lies in threads, and sums over it.
//
// A row belongs to blockDim.x threads: a power of two up to 32, or whole warps. They take turns at chunks of V elements, one
// access each: V = 16 / sizeof(T) where cols is a multiple of it, and then every pointer is 16-byte aligned; otherwise V = 1. A
// block holds blockDim.y rows at a time.
#pragma once
#include "common.cuh"

constexpr int MOST = 512;  // threads of a block

// v[k] summed over the threads of a row, for all of them. Contains barriers: all threads of the block call it.
template <int K> __device__ __forceinline__ void row_sum(float (&v)[K]) {
    const int lanes = blockDim.x;
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
#pragma unroll
        for (int k = 0; k < K; ++k) {
            const float other = __shfl_xor_sync(FULL, v[k], step);
            v[k] += step < lanes ? other : 0;
        }
    }
    if (lanes <= 32) return;
    __shared__ float partial[K][MOST / 32];
    const int warps = lanes / 32, first = threadIdx.y * warps;
    __syncthreads();
    if (LANE == 0) {
#pragma unroll
        for (int k = 0; k < K; ++k) partial[k][first + threadIdx.x / 32] = v[k];
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < K; ++k) v[k] = warp_sum(LANE < warps ? partial[k][first + LANE] : 0);
}
