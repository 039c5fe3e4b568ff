// Loops without loads and stores, and others, whose turns are worked out by hand (test_executions.py).
#include "common.cuh"

// Each warp has its own number of turns.
__global__ void by_data(const int* length, float* y) {
    const int i = blockIdx.x * 32 + threadIdx.x;
    float a = y[i];
    const int n = length[i];
    for (int k = 0; k < n; k++) {
        a = a * 1.5f + 1.0f;
    }
    y[i] = a;
}

// n times m.
__global__ void within(const float* x, float* y, int n, int m) {
    for (int j = 0; j < n; j++) {
        float a = x[j * 32 + threadIdx.x];
        for (int k = 0; k < m; k++) {
            a = a * 1.5f + 1.0f;
        }
        y[j * 32 + threadIdx.x] = a;
    }
}

// Local memory only.
__global__ void local_only(const int* x, float* y, int n) {
    float a[512];
    for (int k = 0; k < 512; k++) a[k] = k;
    const int step = x[threadIdx.x];
    float sum = 0;
    for (int k = 0; k < n; k++) {
        sum += a[(k * step) & 511];
    }
    y[threadIdx.x] = sum;
}

__device__ __noinline__ float heavy(float a, int n) {
    for (int k = 0; k < n; k++) {
        a = a * a + 0.5f;
    }
    return a;
}

__global__ void calling(const float* x, float* y, int n) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    y[i] = heavy(x[i], n);
}

// C = A B, of n × n matrices, by tiles of 32 × 32: the inner loop is unrolled as a whole, four loads at a time where it can.
__global__ void product(const float* a, const float* b, float* c, int n) {
    __shared__ float s[32][32];
    __shared__ float t[32][32];
    const int row = blockIdx.y * 32 + threadIdx.y, column = blockIdx.x * 32 + threadIdx.x;
    float sum = 0;
    for (int k = 0; k < n; k += 32) {
        s[threadIdx.y][threadIdx.x] = a[row * n + k + threadIdx.x];
        t[threadIdx.y][threadIdx.x] = b[(k + threadIdx.y) * n + column];
        __syncthreads();
        for (int j = 0; j < 32; j++) {
            sum += s[threadIdx.y][j] * t[j][threadIdx.x];
        }
        __syncthreads();
    }
    c[row * n + column] = sum;
}

// In each turn half of the lanes read.
__global__ void alternate(const float* x, float* y, int n) {
    float sum = 0;
#pragma unroll 1
    for (int k = 0; k < n; k++) {
        if (k % 2 == threadIdx.x % 2) sum += x[k * 32 + threadIdx.x];
    }
    y[threadIdx.x] = sum;
}

// Nobody comes to what is done for a negative n.
__global__ void never_taken(const float* x, float* y, int n) {
    float v = x[threadIdx.x];
    if (n < 0) {
        v = sqrtf(v);
        y[threadIdx.x + 32] = v;
    }
    y[threadIdx.x] = v;
}
