// Rows of a table by index, and the table's gradient: without atomics, the same bits every time; or with them.
//
//     y[i] = weight[indices[i]]          grad_weight[v] = Σ g[i] over the i with indices[i] = v
//
// weight, grad_weight (rows, width), indices (count), y, g (count, width); float, half or bfloat16, sums in float. An index
// outside [0, rows) gives a row of NaN and no gradient; `padding` gets no gradient either, and its rows of g are not read.
//
// Backward: `order` sorts the indices, equal ones staying in order, so each index is a *segment* of positions. The
// positions are cut into chunks of 32, one for a warp, whatever the segments are: the shape of the launch does not depend
// on the indices, which the host never sees. `embedding_chunks` adds up each segment's rows within the chunk. One that
// lies within goes straight to its row of grad_weight; of one that does not, the chunk that it begins in writes `tails`,
// the others `heads`. `embedding_join`, one block for each chunk, adds the tail that may be there and the heads that follow:
// eight warps take 32 chunks in turn. grad_weight holds zeros before. So sums are formed in a fixed order, but not one by one.
//
// `embedding_scatter` is for those who do not ask for the same bits (weft.use_deterministic_algorithms(False)): it needs no
// order, and adds every row to float sums, which hold zeros before, as it comes: a warp for a row of g.
//
// Geometry: embedding_forward: a thread for N neighbours of y. Backward: a warp has 32·N columns, blockIdx.y counts those.
// N is VECTOR<T> (16 bytes) where width and pointers allow, 1 elsewhere. Limits: width ≤ 65535·32·N, rows < 2⁶³.
//
// Memory: forward (2·width·sizeof(T) + 8) bytes an index; backward width·(sizeof(T) read, and written for each index that
// occurs), zeros for the rest, and at most width/4 bytes an index for segments that are cut. 16384 indices, width 768,
// bfloat16, table of 50257: 50 MB forward, 12 µs at 4.3 TB/s; backward 25 MB read and at most 102 MB written, 30 µs, after
// the sort. embedding_scatter writes 4 bytes where it reads sizeof(T), in L2 where the sums fit there; a table of half
// precision also needs the float one (zeroed, read, rounded: 10 bytes an element, 90 µs here), so it pays for small ones.
#include "common.cuh"

constexpr int CHUNK = 32, WARPS = 8, THREADS = 32 * WARPS, BATCH = 4;

template <typename T, int N>
__global__ void __launch_bounds__(THREADS)
    embedding_forward(const long long* indices, const T* weight, T* y, long long count, int width, long long rows) {
    const long long at = (static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x) * N;
    if (at >= count * width) return;
    const long long i = at / width, index = indices[i];
    Vec<T, N> v;
    if (index >= 0 && index < rows) {
        v = load<N>(weight + index * width + (at - i * width));
    } else {
#pragma unroll
        for (int j = 0; j < N; ++j) v.at[j] = from_float<T>(NAN);
    }
    store(y + at, v);
}

// A sum of N columns, to where it belongs.
template <typename T, int N> __device__ __forceinline__ void write_sum(T* to, const float (&sum)[N]) {
    Vec<T, N> v;
#pragma unroll
    for (int j = 0; j < N; ++j) v.at[j] = from_float<T>(sum[j]);
    store(to, v);
}

// floats of `heads` and `tails`, 16 bytes at a time where there are as many
template <int N> __device__ __forceinline__ void write_partial(float* to, const float (&sum)[N]) {
    constexpr int W = N < 4 ? N : 4;
#pragma unroll
    for (int j = 0; j < N; j += W) {
        Vec<float, W> v;
#pragma unroll
        for (int k = 0; k < W; ++k) v.at[k] = sum[j + k];
        store(to + j, v);
    }
}

// and from there, added
template <int N> __device__ __forceinline__ void add_partial(float (&sum)[N], const float* from) {
    constexpr int W = N < 4 ? N : 4;
#pragma unroll
    for (int j = 0; j < N; j += W) {
        const Vec<float, W> v = load<W>(from + j);
#pragma unroll
        for (int k = 0; k < W; ++k) sum[j + k] += v.at[k];
    }
}

// heads, tails (chunks, width): what is written of them is what embedding_join reads.
template <typename T, int N>
__global__ void __launch_bounds__(THREADS)
    embedding_chunks(const T* g, const long long* indices, const long long* order, T* grad_weight, float* heads,
                     float* tails, long long count, int width, long long rows, long long padding) {
    const long long chunk = blockIdx.x * static_cast<long long>(WARPS) + threadIdx.x / 32, first = chunk * CHUNK;
    if (first >= count) return;  // the warp as a whole
    const int size = static_cast<int>(min(static_cast<long long>(CHUNK), count - first));
    const int column = (blockIdx.y * 32 + LANE) * N;
    const bool inside = column < width;
    const long long mine = LANE < size ? order[first + LANE] : 0, key = LANE < size ? indices[mine] : 0;
    const long long key_first = __shfl_sync(FULL, key, 0), key_last = __shfl_sync(FULL, key, size - 1);
    const bool goes_on = first + size < count && indices[order[first + size]] == key_last;
    bool began_before = first > 0 && indices[order[first - 1]] == key_first;

    float sum[N] = {};
    for (int start = 0; start < size; start += BATCH) {
        Vec<T, N> v[BATCH];
        long long index[BATCH + 1];
        bool counts[BATCH];
#pragma unroll
        for (int b = 0; b <= BATCH; ++b) index[b] = __shfl_sync(FULL, key, min(start + b, size - 1));
#pragma unroll
        for (int b = 0; b < BATCH; ++b) {
            const long long row = __shfl_sync(FULL, mine, min(start + b, size - 1));
            counts[b] = inside && start + b < size && index[b] >= 0 && index[b] < rows && index[b] != padding;
            if (counts[b]) v[b] = load<N>(g + row * width + column);
        }
#pragma unroll
        for (int b = 0; b < BATCH; ++b) {
            if (start + b >= size) break;
            if (counts[b]) {
#pragma unroll
                for (int j = 0; j < N; ++j) sum[j] += to_float(v[b].at[j]);
            }
            const bool last = start + b == size - 1;
            if (!last && index[b + 1] == index[b]) continue;
            if (counts[b]) {
                if (began_before) write_partial<N>(heads + chunk * width + column, sum);
                else if (last && goes_on) write_partial<N>(tails + chunk * width + column, sum);
                else write_sum<T, N>(grad_weight + index[b] * width + column, sum);
            }
            began_before = false;
#pragma unroll
            for (int j = 0; j < N; ++j) sum[j] = 0;
        }
    }
}

template <typename T, int N>
__global__ void __launch_bounds__(THREADS)
    embedding_join(const long long* indices, const long long* order, T* grad_weight, const float* heads, const float* tails,
                   long long count, int width, long long rows, long long padding) {
    const long long chunk = blockIdx.x, first = chunk * CHUNK, next = first + CHUNK;
    if (next >= count) return;
    const long long index = indices[order[next - 1]];
    if (index != indices[order[next]] || index < 0 || index >= rows || index == padding) return;
    if (first > 0 && index == indices[order[first - 1]]) return;  // that began in an earlier chunk
    const int column = (blockIdx.y * 32 + LANE) * N, warp = threadIdx.x / 32;
    const bool inside = column < width;

    float sum[N] = {};
    for (long long start = chunk + 1 + warp * 32;; start += WARPS * 32) {
        const long long position = (start + LANE) * CHUNK;
        const int n = __popc(__ballot_sync(FULL, position < count && indices[order[position]] == index));
#pragma unroll 4
        for (int i = 0; inside && i < n; ++i) add_partial<N>(sum, heads + (start + i) * width + column);
        if (n < 32) break;
    }
    __shared__ float sums[WARPS][32 * N];
#pragma unroll
    for (int j = 0; j < N; ++j) sums[warp][j * 32 + LANE] = sum[j];
    __syncthreads();
    if (warp != 0 || !inside) return;
#pragma unroll
    for (int j = 0; j < N; ++j) sum[j] = 0;
    add_partial<N>(sum, tails + chunk * width + column);
#pragma unroll
    for (int j = 0; j < N; ++j)
        for (int w = 0; w < WARPS; ++w) sum[j] += sums[w][j * 32 + LANE];
    write_sum<T, N>(grad_weight + index * width + column, sum);
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    embedding_scatter(const T* g, const long long* indices, float* sums, long long count, int width, long long rows,
                      long long padding) {
    const long long i = blockIdx.x * static_cast<long long>(WARPS) + threadIdx.x / 32;
    if (i >= count) return;
    const long long index = indices[i];
    if (index < 0 || index >= rows || index == padding) return;
#pragma unroll 4
    for (int column = LANE; column < width; column += 32)
        atomicAdd(sums + index * width + column, to_float(g[i * width + column]));
}
