// The gradient of layer and RMS normalisation (`normalization.cu`) over the last axis of x (rows, cols).
//
//     grad_x = rstd (ĝ − mean(ĝ) − x̂ mean(ĝ x̂)),  ĝ = weight g                    mean(ĝ) for layer norm (CENTRED) only
//     grad_weight = Σ g x̂,  grad_bias = Σ g                                        over rows
//
// Data and parameters are float, half or bfloat16 (T), statistics (rows,) and all sums float.
//
// Launch: block b of gridDim.x takes rows b, b + gridDim.x, … (times the rows it holds, which lie as `normalization.cuh` has them)
// and adds up its part of the parameters' gradients in registers, for `add_partials` to add over blocks: x and g are read once for
// all three gradients. While a row is being worked on, the next is on its way to shared memory, where each thread has slots of its
// own. A thread has 4 chunks (8 of V = 1), a block up to 512 threads: rows of up to 16384 half-precision elements. Longer ones are
// split into gridDim.y tiles, and there are two launches, of which the first finds the row sums of each tile, `tile_sums`, that the
// second begins with. Partial sums are as many as blocks, a number that depends on the shape alone: same shape, same bits.
//
// Bytes, of n = rows · cols elements: 3 n, times sizeof(T). RMS norm of 16384 × 4096 bfloat16 moves 403 MB, 94 µs at 4.3 TB/s;
// partial sums of 528 blocks add 17 MB, mostly in L2. Instructions per element, what a row takes once spread over a thread's 32: 32
// for layer norm in bfloat16, of 39 that there is time for.
#include "normalization.cuh"
#include "ptx.cuh"

template <int V> constexpr int BACKWARD_CHUNKS = V > 1 ? 4 : 8;  // that a thread has
constexpr int ADDERS = 1024;                                     // threads of `add_partials`

// This thread's chunks of a row of g and one of x, to its slots in shared memory: [g, x][chunk][thread].
template <int CHUNKS, int V, typename T>
__device__ __forceinline__ void fetch(Vec<T, V>* slots, const T* g, const T* x, int col, int step, int end) {
    const int threads = blockDim.x * blockDim.y;
#pragma unroll
    for (int i = 0; i < CHUNKS; ++i, col += step) {
        if (col < end) {
            if constexpr (V > 1) {
                cp_async_16(slots + i * threads, g + col);
                cp_async_16(slots + (CHUNKS + i) * threads, x + col);
            } else {
                slots[i * threads] = load<V>(g + col);
                slots[(CHUNKS + i) * threads] = load<V>(x + col);
            }
        }
    }
}

// Of a chunk, g and x from their slots and the weight (1 if there is none).
template <int CHUNKS, int V, typename T>
__device__ __forceinline__ void read_pair(float (&above)[V], float (&at)[V], float (&w)[V], const Vec<T, V>* slot, const T* weight,
                                          int col, int threads) {
    const Vec<T, V> of_g = slot[0], of_x = slot[CHUNKS * threads];
    to_floats(above, of_g);
    to_floats(at, of_x);
#pragma unroll
    for (int j = 0; j < V; ++j) w[j] = 1;
    if (weight) to_floats(w, load<V>(weight + col));
}

// out[col] = Σ of the sums that threads of the block's rows have for the column; `scratch` holds one for each.
template <int CHUNKS, int V>
__device__ __forceinline__ void fold(const float (&sums)[CHUNKS][V], float* scratch, float* out, int cols) {
    const int held = blockDim.y, thread = threadIdx.y * blockDim.x + threadIdx.x;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < CHUNKS; ++i) {
        const int col = (i * blockDim.x + threadIdx.x) * V;
        if (col >= cols) continue;
        float* const to = scratch + threadIdx.y * cols + col;
        if constexpr (V == 1) *to = sums[i][0];
        else {
#pragma unroll
            for (int p = 0; p < V / 4; ++p) {  // of 8 threads, whose accesses go together, 4 begin with their upper half:
                const bool upper = V == 8 && (p ^ (thread / 4 & 1));  // then each has banks of its own
                Vec<float, 4> part;
#pragma unroll
                for (int j = 0; j < 4; ++j) part.at[j] = upper ? sums[i][V - 4 + j] : sums[i][j];
                store(to + 4 * upper, part);
            }
        }
    }
    __syncthreads();
    constexpr int W = V > 1 ? 4 : 1;
    for (int col = thread * W; col < cols; col += blockDim.x * held * W) {
        Vec<float, W> sum = {};
        for (int k = 0; k < held; ++k) {
            const Vec<float, W> part = load<W>(scratch + k * cols + col);
#pragma unroll
            for (int j = 0; j < W; ++j) sum.at[j] += part.at[j];
        }
        store(out + col, sum);
    }
}

// Sums of this block's tile of a row to memory, or, where those of all tiles are `known`, their total from there.
template <int K> __device__ __forceinline__ void exchange(float (&sums)[K], float* of_row, bool known, bool writes) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
        if (known) {
            sums[k] = 0;
            for (int t = 0; t < gridDim.y; ++t) sums[k] += of_row[2 * t + k];
        } else if (writes) {
            of_row[2 * blockIdx.y + k] = sums[k];
        }
    }
}

// mean (null for RMS norm), rstd (rows,) and tile_sums (rows, gridDim.y, 2) are float, as are the partial sums (gridDim.x, cols).
// `known`: tile_sums are to be read; otherwise they are written if given. Null outputs are left out.
template <typename T, bool CENTRED, int V>
__global__ void __launch_bounds__(MOST, 1)
    norm_backward(const T* g, const T* x, const T* weight, const float* mean, const float* rstd, T* grad_x,
                  float* partial_weight, float* partial_bias, float* tile_sums, bool known, int rows, int cols) {
    constexpr int CHUNKS = BACKWARD_CHUNKS<V>;
    extern __shared__ __align__(16) unsigned char shared[];
    const int threads = blockDim.x * blockDim.y, step = blockDim.x * V, stride = gridDim.x * blockDim.y;
    Vec<T, V>* const slots = reinterpret_cast<Vec<T, V>*>(shared) + threadIdx.y * blockDim.x + threadIdx.x;
    const int base = blockIdx.y * CHUNKS * step, end = min(cols, base + CHUNKS * step), mine = base + threadIdx.x * V;
    const float each = __fdividef(1, cols);
    float sum_gx[CHUNKS][V] = {}, sum_g[CHUNKS][V] = {};
    int row = blockIdx.x * blockDim.y + threadIdx.y, turn = 0;
    float next_centre = 0, next_scale = 0;
    if (row < rows) {
        if constexpr (CENTRED) next_centre = mean[row];
        next_scale = rstd[row];
        fetch<CHUNKS, V>(slots, g + (long long)row * cols, x + (long long)row * cols, mine, step, end);
    }
    cp_async_commit();
    for (int first = blockIdx.x * blockDim.y; first < rows; first += stride, row += stride, turn ^= 1) {
        const float centre = next_centre, scale = next_scale;
        const int stop = row < rows ? end : 0, next = row + stride;
        if (next < rows) {
            if constexpr (CENTRED) next_centre = mean[next];
            next_scale = rstd[next];
            Vec<T, V>* const to = slots + (turn ^ 1) * 2 * CHUNKS * threads;
            fetch<CHUNKS, V>(to, g + (long long)next * cols, x + (long long)next * cols, mine, step, end);
        }
        cp_async_commit();
        cp_async_wait<1>();
        const Vec<T, V>* const now = slots + turn * 2 * CHUNKS * threads;
        float sums[1 + CENTRED] = {};  // Σ ĝ x̂, Σ ĝ
        const float shift = CENTRED ? -centre * scale : 0;  // x̂ = scale x + shift: no digits are lost that x has
#pragma unroll
        for (int i = 0; i < CHUNKS; ++i) {
            const int col = mine + i * step;
            if (col >= stop) break;
            float above[V], at[V], w[V];
            read_pair<CHUNKS>(above, at, w, now + i * threads, weight, col, threads);
#pragma unroll
            for (int j = 0; j < V; ++j) {
                const float x_hat = at[j] * scale + shift, weighted = above[j] * w[j];
                sum_gx[i][j] += above[j] * x_hat;
                sums[0] += weighted * x_hat;
                if constexpr (CENTRED) sum_g[i][j] += above[j];
                if constexpr (CENTRED) sums[1] += weighted;
            }
        }
        if (!known) row_sum(sums);
        if (tile_sums && row < rows) exchange(sums, tile_sums + (long long)row * gridDim.y * 2, known, threadIdx.x == 0);
        const float slope = -scale * (sums[0] * each), offset = CENTRED ? slope * shift - scale * (sums[CENTRED] * each) : 0;
        if (!grad_x) continue;
#pragma unroll 1  // g and x from shared memory once more: the registers are full of sums
        for (int i = 0; i < CHUNKS; ++i) {
            const int col = mine + i * step;
            if (col >= stop) break;
            float above[V], at[V], w[V];
            read_pair<CHUNKS>(above, at, w, now + i * threads, weight, col, threads);
            Vec<T, V> out;
#pragma unroll
            for (int j = 0; j < V; ++j) {
                out.at[j] = from_float<T>(above[j] * w[j] * scale + (at[j] * (slope * scale) + offset));
            }
            store(grad_x + (long long)row * cols + col, out);
        }
    }
    cp_async_wait<0>();
    float* const scratch = reinterpret_cast<float*>(shared);
    const long long to = (long long)blockIdx.x * cols + base;
    if (partial_weight) fold(sum_gx, scratch, partial_weight + to, end - base);
    if (CENTRED && partial_bias) fold(sum_g, scratch, partial_bias + to, end - base);
}

// weight[col] = Σ partial[0, k, col], bias[col] = Σ partial[1, k, col] over k, of partial (2, count, cols); either may be null.
template <typename T>
__global__ void __launch_bounds__(ADDERS) add_partials(const float* partial, T* weight, T* bias, int count, int cols) {
    T* const out = blockIdx.y ? bias : weight;
    if (!out) return;
    const float sum = column_sum<ADDERS / 32>(partial + static_cast<long long>(blockIdx.y) * count * cols, count, cols);
    const int col = blockIdx.x * 32 + LANE;
    if (threadIdx.x < 32 && col < cols) out[col] = from_float<T>(sum);
}
