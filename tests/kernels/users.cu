// Kernels as users write them, whose instructions are counted by hand (test_user_kernels.py).
#include "common.cuh"

// Grid stride, by four.
__global__ void saxpy4(const float4* x, float4* y, float a, int n4) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n4; i += gridDim.x * blockDim.x) {
        const float4 v = x[i];
        float4 w = y[i];
        w.x += a * v.x;
        w.y += a * v.y;
        w.z += a * v.z;
        w.w += a * v.w;
        y[i] = w;
    }
}

// A while loop whose end the data decides.
__global__ void collatz(const int* x, int* y, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int v = x[i], steps = 0;
    while (v != 1) {
        if (v & 1)
            v = 3 * v + 1;
        else
            v = v / 2;
        ++steps;
    }
    y[i] = steps;
}

// A switch.
__global__ void interpret(const int* op, const float* x, float* y, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float v = x[i];
    switch (op[i]) {
        case 0: v = sqrtf(v); break;
        case 1: v = expf(v) * v; break;
        case 2: v = tanhf(v); break;
        case 3: v = sinf(v) + cosf(v); break;
        default: v = 0; break;
    }
    y[i] = v;
}

// Templates with if constexpr, functions inlined and not.
__device__ __noinline__ float polynomial(float x, int n) {
    float sum = 0;
    for (int k = 0; k < n; ++k) sum = sum * x + 1.0f / (k + 1);
    return sum;
}
__device__ __forceinline__ float twice(float x) { return x + x; }
template <bool SLOW> __global__ void choose(const float* x, float* y, int n, int m) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    if constexpr (SLOW)
        y[i] = polynomial(x[i], m);
    else
        y[i] = twice(x[i]);
}

// A reduction with shuffles and shared memory.
__global__ void sum_of_blocks(const float* x, float* y, int n) {
    __shared__ float parts[32];
    float sum = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) sum += x[i];
    for (int offset = 16; offset; offset /= 2) sum += __shfl_down_sync(0xffffffff, sum, offset);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
        sum = threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : 0.0f;
        for (int offset = 16; offset; offset /= 2) sum += __shfl_down_sync(0xffffffff, sum, offset);
        if (threadIdx.x == 0) y[blockIdx.x] = sum;
    }
}

// Arms that lanes of a warp take.
__global__ void divergent(const float* x, float* y, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    float v = x[i];
    for (int k = 0; k < n; ++k) {
        if (threadIdx.x & 1)
            v = expf(v) * 0.5f;
        else
            v = logf(v * v + 1.0f) + 3.0f;
    }
    y[i] = v;
}

// Two levels, the inner one unrolled by four.
__global__ void matrix_vector(const float* a, const float* x, float* y, int rows, int columns) {
    for (int r = blockIdx.x * blockDim.x + threadIdx.x; r < rows; r += gridDim.x * blockDim.x) {
        float sum = 0;
#pragma unroll 4
        for (int c = 0; c < columns; ++c) sum += a[c * rows + r] * x[c];
        y[r] = sum;
    }
}

// A histogram.
__global__ void histogram(const int* x, int* bins, int n) {
    __shared__ int own[256];
    for (int i = threadIdx.x; i < 256; i += blockDim.x) own[i] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&own[x[i] & 255], 1);
    __syncthreads();
    for (int i = threadIdx.x; i < 256; i += blockDim.x) {
        if (own[i]) atomicAdd(&bins[i], own[i]);
    }
}

// Binary search.
__global__ void lower_bound(const float* sorted, const float* x, int* y, int n, int m) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const float v = x[i];
    int low = 0, high = m;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (sorted[middle] < v)
            low = middle + 1;
        else
            high = middle;
    }
    y[i] = low;
}

// Integers only, of the same number of turns for all.
__global__ void hashed(const unsigned* x, unsigned* y, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned h = x[i];
    for (int k = 0; k < n; ++k) {
        h ^= h << 13;
        h ^= h >> 17;
        h ^= h << 5;
    }
    y[i] = h;
}

// A list.
__global__ void list(const int* head, const int* next, const float* value, float* y) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0;
    int p = head[i];
    while (p >= 0) {
        sum += value[p];
        p = next[p];
    }
    y[i] = sum;
}

// A stencil with a halo in shared memory.
__global__ void stencil(const float* x, float* y, int h, int w) {
    __shared__ float tile[10][34];
    const int tx = threadIdx.x, ty = threadIdx.y, c = blockIdx.x * 32 + tx, r = blockIdx.y * 8 + ty;
    const auto at = [&](int r, int c) { return r >= 0 && r < h && c >= 0 && c < w ? x[r * w + c] : 0.0f; };
    tile[ty + 1][tx + 1] = at(r, c);
    if (tx == 0) tile[ty + 1][0] = at(r, c - 1);
    if (tx == 31) tile[ty + 1][33] = at(r, c + 1);
    if (ty == 0) tile[0][tx + 1] = at(r - 1, c);
    if (ty == 7) tile[9][tx + 1] = at(r + 1, c);
    __syncthreads();
    if (r < h && c < w) {
        y[r * w + c] = 0.2f * (tile[ty + 1][tx + 1] + tile[ty][tx + 1] + tile[ty + 2][tx + 1] + tile[ty + 1][tx] + tile[ty + 1][tx + 2]);
    }
}

// Rows of their own lengths, a warp for each row, all warps of a grid in turn.
__global__ void ragged(const int* length, const float* x, float* y, int rows) {
    const int lane = threadIdx.x % 32;
    for (int r = (blockIdx.x * blockDim.x + threadIdx.x) / 32; r < rows; r += gridDim.x * blockDim.x / 32) {
        const int n = length[r];
        float sum = 0;
        for (int k = lane; k < n; k += 32) sum += x[r * 1024 + k] * x[r * 1024 + k];
        for (int offset = 16; offset; offset /= 2) sum += __shfl_xor_sync(0xffffffff, sum, offset);
        const float scale = rsqrtf(sum / n + 1e-5f);
        for (int k = lane; k < n; k += 32) y[r * 1024 + k] = x[r * 1024 + k] * scale;
    }
}

// Two loops, of which compilers unroll the inner one, by 16, 8, 4 and 1.
__global__ void sums_of_rows(const float* x, float* y, int n, int m) {
    const int i = threadIdx.x + blockDim.x * blockIdx.x;
    float s = 0;
    for (int a = 0; a < n; ++a)
        for (int b = 0; b < m; ++b)
            s += x[(a * m + b) * 256 + i];
    y[i] = s;
}

// y = xᵀ by tiles of 32 × 32, for blocks of 32 × 8 threads; n is a multiple of 32.
__global__ void tiled(const float* x, float* y, int n) {
    __shared__ float tile[32][33];
    const int row = blockIdx.y * 32, column = blockIdx.x * 32;
    for (int r = threadIdx.y; r < 32; r += 8)
        tile[r][threadIdx.x] = x[(row + r) * n + column + threadIdx.x];
    __syncthreads();
    for (int r = threadIdx.y; r < 32; r += 8)
        y[(column + r) * n + row + threadIdx.x] = tile[threadIdx.x][r];
}
