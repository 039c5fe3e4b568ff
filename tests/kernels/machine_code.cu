// What the disassembler is asked about (test_machine_code.py).
#include "ptx.cuh"

__global__ void scale(const float* x, float* y, float factor) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    const auto v = load<4>(x + 4 * i);  // one load
    store(y + 4 * i, Vec<float, 4>{v.at[0] * factor, v.at[1] * factor, v.at[2] * factor, v.at[3] * factor});  // one store
}

// d += a b, once per warp; two instructions of tensor cores.
__global__ void products(const uint32_t* a, float* d) {
    uint32_t left[4], right[2] = {a[LANE], a[LANE + 32]};
    for (int r = 0; r < 4; ++r) left[r] = a[64 + 32 * r + LANE];
    float sum[4] = {};
    mma_m16n8k16<__half>(sum, left, right);
    mma_m16n8k16<__half>(sum, left, right);
    for (int r = 0; r < 4; ++r) d[32 * r + LANE] = sum[r];
}

__global__ void sum_block(const float* x, float* y) {
    y[threadIdx.x] = block_sum<256>(x[threadIdx.x]);
}

// 96 numbers of a thread where it has 64 registers, half of them indices; they are all alive at the barrier.
__global__ void __launch_bounds__(1024) spills(const float* x, float* y) {
    float kept[96];
#pragma unroll
    for (int k = 0; k < 96; ++k) kept[k] = x[1024 * k + threadIdx.x];  // kept
    __syncthreads();
#pragma unroll
    for (int k = 0; k < 96; ++k) y[1024 * k + threadIdx.x] = kept[k] - 2 * kept[95 - k];  // kept
}
