// One kind of instruction each, as users write them; their lanes are counted by hand (toolchain/test_lanes.py).
#include "common.cuh"

// 64 exponentials of each number, each of the one before.
__global__ void exponentials(const float* x, float* y) {
    float v = x[threadIdx.x];
#pragma unroll
    for (int i = 0; i < 64; ++i) v = exp2f(-v);
    y[threadIdx.x] = v;
}

// The end of MurmurHash3, 24 times: two shifts and two exclusive ors, which the ALU does, and two products, which it does not.
__global__ void hashes(const unsigned* x, unsigned* y) {
    unsigned v = x[threadIdx.x];
#pragma unroll
    for (int i = 0; i < 24; ++i) {
        v ^= v >> 16;
        v *= 0x85ebca6bu;
        v ^= v >> 13;
        v *= 0xc2b2ae35u;
    }
    y[threadIdx.x] = v;
}

// 32 floats to integers.
__global__ void conversions(const float* x, int* y) {
    const float v = x[threadIdx.x];
    int sum = 0;
#pragma unroll
    for (int i = 0; i < 32; ++i) sum += static_cast<int>(v * (i + 0.5f));
    y[threadIdx.x] = sum;
}

// 40 times, each lane adds what another has.
__global__ void shuffles(const float* x, float* y) {
    float v = x[threadIdx.x];
#pragma unroll
    for (int i = 0; i < 40; ++i) v += __shfl_xor_sync(0xffffffffu, v, 1 << (i % 5));
    y[threadIdx.x] = v;
}

// 256 products and sums.
__global__ void polynomial(const float* x, float* y) {
    const float a = x[threadIdx.x];
    float v = a;
#pragma unroll
    for (int i = 0; i < 256; ++i) v = fmaf(v, a, 1.0f);
    y[threadIdx.x] = v;
}
