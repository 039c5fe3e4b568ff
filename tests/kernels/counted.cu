// Kernels whose requests are counted by hand (test_counters.py); some waste what they ask for, in lines that say so.
#include "common.cuh"

__global__ void copy(const float* x, float* y) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    y[i] = x[i];
}

__global__ void copy_vectors(const float* x, float* y) {
    const int i = 4 * (blockIdx.x * 256 + threadIdx.x);
    store(y + i, load<4>(x + i));
}

// Every eighth number: each of a warp's threads reads from a sector of its own.
__global__ void copy_strided(const float* x, float* y) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    const float v = x[8 * i];  // wasteful
    y[i] = v;
}

// y = xᵀ for x of n × n, n a multiple of 32; blocks of 32 × 8 threads. Rows of the tile have WIDTH numbers.
template <int WIDTH> __global__ void transpose(const float* x, float* y, int n) {
    __shared__ float tile[32][WIDTH];
    const int row = blockIdx.y * 32, column = blockIdx.x * 32;
    for (int r = threadIdx.y; r < 32; r += 8) tile[r][threadIdx.x] = x[(row + r) * n + column + threadIdx.x];
    __syncthreads();
    for (int r = threadIdx.y; r < 32; r += 8) {
        const float v = tile[threadIdx.x][r];  // wasteful
        y[(column + r) * n + row + threadIdx.x] = v;
    }
}

// c = a b of n × n, n a multiple of 16; blocks of 16 × 16 threads.
__global__ void product(const float* a, const float* b, float* c, int n) {
    __shared__ float tile_a[16][16];
    __shared__ float tile_b[16][16];
    const int tx = threadIdx.x, ty = threadIdx.y, row = blockIdx.y * 16 + ty, column = blockIdx.x * 16 + tx;
    float sum = 0;
    for (int k = 0; k < n; k += 16) {
        tile_a[ty][tx] = a[row * n + k + tx];
        tile_b[ty][tx] = b[(k + ty) * n + column];
        __syncthreads();
        for (int i = 0; i < 16; ++i) {
            const float x = tile_a[ty][i];
            const float y = tile_b[i][tx];
            sum += x * y;
        }
        __syncthreads();
    }
    c[row * n + column] = sum;
}

// Lanes of a warp take different numbers of turns: row r has r numbers.
__global__ void triangle(const float* x, float* y) {
    float sum = 0;
    for (int k = 0; k < static_cast<int>(threadIdx.x); ++k) sum += x[32 * k + threadIdx.x];
    y[threadIdx.x] = sum;
}

__global__ void count_in_shared(const int* x, int* y) {
    __shared__ int bins[32];
    bins[threadIdx.x] = 0;
    __syncthreads();
    atomicAdd(&bins[x[threadIdx.x]], 1);  // wasteful
    __syncthreads();
    y[threadIdx.x] = bins[threadIdx.x];
}
