// The first index that is none of a table's rows, or of a loss's classes: what the host is told when it waits anyway.
//
//     *first ← min(*first, key(i)) over all i with indices[i] ∉ [0, count) and indices[i] ≠ ignored
//     key(i) = min(i, 2³¹ − 1) · 2³² + the 32 bits of indices[i], clipped to ±(2³¹ − 1)
//
// Integers of any width. The minimum does not depend on the order, so the atomics leave the same bits every time; while all
// indices are right, nothing is written. Geometry: 256 threads to a block, at most 1024 blocks, which go on by grid strides.
//
// Memory: sizeof(T) bytes an index, read once more: 8192 targets of 8 bytes are 64 KiB, from L2. It is the launch that costs.
#include "common.cuh"

constexpr int THREADS = 256;

template <typename T>
__global__ void __launch_bounds__(THREADS)
    first_outside(const T* indices, unsigned long long* first, long long n, long long count, long long ignored) {
    constexpr long long MOST = 0x7fffffff;
    const long long step = static_cast<long long>(gridDim.x) * THREADS;
    for (long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x; i < n; i += step) {
        const long long v = static_cast<long long>(indices[i]);
        if (v == ignored || (v >= 0 && v < count)) continue;
        const long long value = v > MOST ? MOST : v < -MOST ? -MOST : v;
        const unsigned long long place = static_cast<unsigned long long>(i > MOST ? MOST : i);
        atomicMin(first, (place << 32) | (static_cast<unsigned long long>(value) & 0xffffffffull));
    }
}
