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

// y by every kind of copy: 16 numbers of x, n bytes of x twice, n bytes of zeros.
struct Row {
    float at[16];
};
__global__ void copy_rows(const float* x, float* y, int n) {
    if (threadIdx.x == 0) reinterpret_cast<Row*>(y)[0] = reinterpret_cast<const Row*>(x)[0];
    if (threadIdx.x == 1) memcpy(y + 16, x + 16, n);
    if (threadIdx.x == 2) memmove(y + 32, x + 32, n);
    if (threadIdx.x == 3) memset(y + 48, 0, n);
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

// A vector that begins off its boundary.
__global__ void misaligned_vector(const float* x, float* y) {
    const float4 v = *reinterpret_cast<const float4*>(x + 1);  // fault
    y[threadIdx.x] = v.x;
}

// Four numbers at a time, of which the last is not there.
__global__ void vector_outside(const float4* x, float4* y) {
    y[threadIdx.x] = x[threadIdx.x + 1];  // fault
}

__global__ void writes_const(const float* x, float* y) {
    const_cast<float*>(x)[threadIdx.x] = 0;  // fault
    y[threadIdx.x] = 0;
}

__global__ void partial_mask(float* y) {
    y[threadIdx.x] = __shfl_sync(0xffffu, 1.0f, 0);  // fault
}

__global__ void copies_structure_outside(const float* x, float* y) {
    if (threadIdx.x == 4) *reinterpret_cast<Row*>(y) = reinterpret_cast<const Row*>(x)[threadIdx.x];  // fault: x has four
}

__global__ void writes_structure_outside(float* y) {
    Row row;
    for (int i = 0; i < 16; ++i) row.at[i] = static_cast<float>(i * threadIdx.x);
    reinterpret_cast<Row*>(y)[threadIdx.x] = row;  // fault: y has room for four
}

__global__ void copies_constant_length(const float* x, float* y) {
    memcpy(y + 16 * threadIdx.x, x + 16 * threadIdx.x, 64);  // fault: the fifth thread
}

__global__ void copies_few_bytes(const float* x, float* y) {
    memcpy(y, x + 62, 12);  // fault: the last four
}

__global__ void copies_variable_length(const float* x, float* y) {
    memcpy(y, x, 33 * blockDim.x);  // fault: 8 bytes too many
}

__global__ void moves_outside(const float* x, float* y) {
    memmove(y + 1, x, 32 * blockDim.x);  // fault
}

__global__ void moves_constant_length(const float* x, float* y) {
    memmove(y + 1, x, 256);  // fault
}

__global__ void fills_outside(float* y) {
    memset(y + 1, 0, 32 * blockDim.x);  // fault
}

__global__ void fills_constant_length(float* y) {
    memset(y + 1, 0, 256);  // fault
}

__global__ void copies_outside_shared(const float* x, float* y) {
    __shared__ float tile[4];
    memcpy(tile, x, 4 * blockDim.x);  // fault: twice as many
    y[threadIdx.x] = tile[threadIdx.x / 2];
}

__global__ void copies_uninitialised(float* y) {
    memcpy(y, y + 32, 16 * blockDim.x);  // fault: nobody wrote y
}

__global__ void copies_race(const float* x, float* y) {
    memcpy(y, x, 4 * blockDim.x);  // fault: each thread writes all
}
