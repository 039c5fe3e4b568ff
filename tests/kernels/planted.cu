// Kernels that are wrong, one fault each, for the emulator to catch. A line that is at fault says so: // fault
#include "ptx.cuh"

// y reversed within each block of 64, through shared memory: the correct one.
__global__ void reverse(const float* x, float* y, int n) {
    __shared__ float tile[64];
    const int t = threadIdx.x, i = blockIdx.x * 64 + t;
    tile[t] = i < n ? x[i] : 0.0f;
    __syncthreads();
    if (i < n) y[i] = tile[63 - t];
}

// x in triples, each turned round: structures may be aligned to less than their size.
struct Triple {
    float a, b, c;
};
__global__ void turn_triples(const float* x, float* y) {
    const Triple v = reinterpret_cast<const Triple*>(x)[threadIdx.x];
    reinterpret_cast<Triple*>(y)[threadIdx.x] = Triple{v.c, v.b, v.a};
}

// y counts the positive x, by atomics in shared and in global memory.
__global__ void count(const float* x, int* y) {
    __shared__ int inside;
    if (threadIdx.x == 0) inside = 0;
    __syncthreads();
    if (x[threadIdx.x] > 0) atomicAdd(&inside, 1);
    __syncthreads();
    if (threadIdx.x == 0) atomicAdd(y, inside);
}

__global__ void missing_barrier(const float* x, float* y) {
    __shared__ float tile[64];
    const int t = threadIdx.x;
    tile[t] = x[t];
    __syncthreads();
    y[t] = tile[63 - t];  // fault: reads what others write in the next line
    tile[t] = y[t] + 1;   // fault: writes what others still read
    __syncthreads();
    y[t] = tile[t];
}

__global__ void race_in_block(float* y) {
    y[threadIdx.x / 2] = threadIdx.x;  // fault: two threads write each element
}

__global__ void race_between_blocks(float* y) {
    y[threadIdx.x] = blockIdx.x;  // fault: each block writes all
}

__global__ void race_in_warp(float* y) {
    __shared__ float tile[32];
    tile[LANE] = LANE;
    y[LANE] = tile[31 - LANE];  // fault: needs __syncwarp
}

__global__ void shuffle_for_barrier(float* y) {
    __shared__ float tile[32];
    tile[LANE] = LANE;
    const float one = __shfl_xor_sync(FULL, 1.0f, 1);
    y[LANE] = tile[31 - LANE] + one;  // fault: a shuffle orders no memory
}

__global__ void race_with_atomic(const float* x, float* y) {
    __shared__ int count;
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    if (x[threadIdx.x] >= 0) atomicAdd(&count, 1);  // fault: others read already
    y[threadIdx.x] = count;                         // fault: needs a barrier
}

__global__ void read_outside(const float* x, float* y) {
    y[threadIdx.x] = x[threadIdx.x + 1];  // fault: the last thread
}

__global__ void write_outside(float* y) {
    y[static_cast<int>(threadIdx.x) - 1] = 0;  // fault: the first thread
}

__global__ void read_outside_shared(float* y) {
    __shared__ float tile[64];
    __shared__ float other[64];
    tile[threadIdx.x] = other[threadIdx.x] = 0;
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x + 1] + other[threadIdx.x];  // fault: the last thread
}

__global__ void uninitialised_shared(float* y) {
    __shared__ float tile[64];
    if (threadIdx.x < 63) tile[threadIdx.x] = 0;
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x];  // fault: the last thread
}

__global__ void uninitialised_global(float* y) {
    y[threadIdx.x] += 1;  // fault: nobody wrote y
}

__global__ void missing_wait(const float* x, float* y) {
    extern __shared__ __align__(16) float staged[];
    const int t = threadIdx.x;
    if (t < 16) cp_async_16(staged + 4 * t, x + 4 * t);
    cp_async_commit();
    __syncthreads();
    y[t] = staged[t];  // fault: no cp_async_wait
}

__global__ void missing_barrier_after_wait(const float* x, float* y) {
    extern __shared__ __align__(16) float staged[];
    const int t = threadIdx.x;
    if (t < 16) cp_async_16(staged + 4 * t, x + 4 * t);
    cp_async_commit();
    cp_async_wait<0>();
    y[t] = staged[63 - t];  // fault: what other threads copied
}

__global__ void stack_overflow(float* y) {  // fault
    volatile float local[40000];            // fault
    for (int i = 0; i < 40000; ++i) local[i] = i;
    y[threadIdx.x] = local[threadIdx.x];
}

__global__ void divergent_barrier(float* y) {
    y[threadIdx.x] = 0;
    if (threadIdx.x < 32) __syncthreads();  // fault
}

__global__ void divergent_barriers(float* y) {
    if (threadIdx.x < 32) {
        y[threadIdx.x] = 0;
        __syncthreads();  // fault
    } else {
        y[threadIdx.x] = 1;
        __syncthreads();  // fault
    }
}

__global__ void divergent_warp(float* y) {
    float v = threadIdx.x;
    if (LANE < 16) v = __shfl_xor_sync(FULL, v, 1);  // fault
    y[threadIdx.x] = v;
}

__global__ void divergent_shuffles(float* y) {
    float v = threadIdx.x;
    if (LANE < 16) {
        v = __shfl_xor_sync(FULL, v, 1);  // fault
    } else {
        v = __shfl_xor_sync(FULL, v, 2);  // fault
    }
    y[threadIdx.x] = v;
}

__global__ void misaligned(const float* x, float* y) {
    const Vec<float, 4> v = load<4>(x + threadIdx.x);  // fault: all but every fourth thread
    y[threadIdx.x] = v.at[0];
}

__global__ void writes_const(const float* x, float* y) {
    const_cast<float*>(x)[threadIdx.x] = 0;  // fault
    y[threadIdx.x] = 0;
}

__global__ void partial_mask(float* y) {
    y[threadIdx.x] = __shfl_sync(0xffffu, 1.0f, 0);  // fault
}
