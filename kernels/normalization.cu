// Layer and RMS normalisation over the last axis of x (rows, cols), forward and backward.
//
//     x̂ = (x − mean) · rstd,  rstd = 1/√(var + eps),  y = weight x̂ + bias         CENTRED: layer norm, biased variance
//     x̂ = x · rstd,           rstd = 1/√(mean(x²) + eps),  y = weight x̂           otherwise: RMS norm
//
//     grad_x = rstd (ĝ − mean(ĝ) − x̂ mean(ĝ x̂)),  ĝ = weight g                    mean(ĝ) for layer norm only
//     grad_weight = Σ g x̂,  grad_bias = Σ g                                        over rows
//
// Data and parameters are float, half or bfloat16 (T), statistics (rows,) and all sums float. The variance is that of
// differences from the mean, summed in registers; parts of a row longer than registers are joined by the formula of Chan,
// Golub & LeVeque (1979).
//
// Layout. A row belongs to `lanes` threads: a power of two up to 32, or whole warps. They take turns at chunks of V
// elements, one access each: V = 16 / sizeof(T) where cols is a multiple of it, and then every pointer is 16-byte aligned;
// otherwise V = 1. A block holds blockDim.x / lanes rows at a time.
//
// Forward: a block per few rows. A thread holds 4 chunks (16 of V = 1), a block has up to 1024 threads, 768 for layer norm:
// rows of up to 32768 or 24576 half-precision elements are read once. Longer ones are read again, from L2, to be written.
//
// Backward: block b of gridDim.x takes rows b, b + gridDim.x, … (times the rows it holds) and adds up its part of the
// parameters' gradients in registers, for `add_partials` to add over blocks: x and g are read once for all three gradients.
// While a row is being worked on, the next is on its way to shared memory, where each thread has slots of its own. A thread
// has 2 chunks (8 of V = 1), rows half as many elements as above. Longer ones are split into gridDim.y tiles, and there are
// two launches, of which the first finds the row sums of each tile, `tile_sums`, that the second begins with. Partial sums
// are as many as blocks, a number that depends on the shape alone: same shape, same bits.
//
// Bytes, of n = rows · cols elements: forward 2 n, backward 3 n, times sizeof(T). RMS norm of 16384 × 4096 bfloat16 moves
// 268 MB forward and 403 MB backward, 62 µs and 94 µs at 4.3 TB/s; partial sums of 528 blocks add 17 MB, mostly in L2.
// Some 10 and 25 instructions per element are half of what there is time for.
#include "ptx.cuh"

// Chunks that a thread holds, and the most threads of a block.
template <int V> constexpr int FORWARD_CHUNKS = V > 1 ? 4 : 16;
template <int V> constexpr int BACKWARD_CHUNKS = V > 1 ? 2 : 8;
template <bool CENTRED> constexpr int MOST = CENTRED ? 768 : 1024;
constexpr int ADDERS = 1024;  // threads of `add_partials`

// v[k] summed over the threads of a row, for all of them. Contains barriers: all threads of the block call it.
template <int K> __device__ __forceinline__ void row_sum(float (&v)[K], int lanes) {
    for (int step = min(lanes, 32) / 2; step > 0; step /= 2) {
#pragma unroll
        for (int k = 0; k < K; ++k) v[k] += __shfl_xor_sync(FULL, v[k], step);
    }
    if (lanes <= 32) return;
    __shared__ float partial[K][32];
    __syncthreads();
    if (LANE == 0) {
#pragma unroll
        for (int k = 0; k < K; ++k) partial[k][threadIdx.x / 32] = v[k];
    }
    __syncthreads();
    const int warps = lanes / 32, first = threadIdx.x / lanes * warps;
#pragma unroll
    for (int k = 0; k < K; ++k) {
        v[k] = 0;
        for (int w = first; w < first + warps; ++w) v[k] += partial[k][w];
    }
}

// This thread's chunks of a row, from `col` on in steps. Where the row has ended that is its beginning once more, for nobody
// to use: a choice of values instead of addresses would cost registers.
template <int CHUNKS, int V, typename T>
__device__ __forceinline__ void read_chunks(Vec<T, V> (&v)[CHUNKS], const T* x, int col, int step, int end) {
#pragma unroll
    for (int i = 0; i < CHUNKS; ++i, col += step) v[i] = load<V>(x + (col < end ? col : 0));
}

// y = weight (v − centre) scale + bias
template <int CHUNKS, int V, typename T>
__device__ __forceinline__ void write_chunks(Vec<T, V> (&v)[CHUNKS], T* y, const T* weight, const T* bias, float centre,
                                             float scale, int col, int step, int end) {
#pragma unroll
    for (int i = 0; i < CHUNKS; ++i, col += step) {
        if (col >= end) break;
        Vec<T, V> w, b;
        if (weight) w = load<V>(weight + col);
        if (bias) b = load<V>(bias + col);
#pragma unroll
        for (int j = 0; j < V; ++j) {
            float value = (to_float(v[i].at[j]) - centre) * scale;
            if (weight) value *= to_float(w.at[j]);
            if (bias) value += to_float(b.at[j]);
            v[i].at[j] = from_float<T>(value);
        }
        store(y + col, v[i]);
    }
}

template <typename T, bool CENTRED, int V>
__global__ void __launch_bounds__(MOST<CENTRED>, 1)
    norm_forward(const T* x, const T* weight, const T* bias, T* y, float* mean, float* rstd, int rows, int cols, int lanes,
                 float eps) {
    constexpr int CHUNKS = FORWARD_CHUNKS<V>;
    const int row = blockIdx.x * (blockDim.x / lanes) + threadIdx.x / lanes, lane = threadIdx.x % lanes;
    const int step = lanes * V, tile = CHUNKS * step, mine = lane * V, end = row < rows ? cols : 0;
    x += (long long)min(row, rows - 1) * cols;
    y += (long long)row * cols;
    Vec<T, V> v[CHUNKS];
    float centre = 0, spread = 0;
    for (int base = 0; base < cols; base += tile) {
        const float count = min(tile, cols - base), part = count / (base + count);
        float sum[1] = {0}, sums[1 + CENTRED] = {};  // of x; of squared differences, and of differences: not 0, by rounding
        read_chunks(v, x, base + mine, step, end);
        if constexpr (CENTRED) {
#pragma unroll
            for (int i = 0; i < CHUNKS; ++i) {
                if (base + mine + i * step >= end) break;
#pragma unroll
                for (int j = 0; j < V; ++j) sum[0] += to_float(v[i].at[j]);
            }
            row_sum(sum, lanes);
        }
        float mid = CENTRED ? sum[0] / count : 0;
#pragma unroll
        for (int i = 0; i < CHUNKS; ++i) {
            if (base + mine + i * step >= end) break;
#pragma unroll
            for (int j = 0; j < V; ++j) {
                const float d = to_float(v[i].at[j]) - mid;
                sums[0] += d * d;
                if constexpr (CENTRED) sums[1] += d;
            }
        }
        row_sum(sums, lanes);
        const float rest = CENTRED ? sums[CENTRED] / count : 0;
        mid += rest;
        spread += sums[0] - rest * rest * count + (mid - centre) * (mid - centre) * base * part;
        centre += (mid - centre) * part;
    }
    const float scale = 1 / sqrtf(spread / cols + eps);
    if (row < rows && lane == 0) {
        if constexpr (CENTRED) mean[row] = centre;
        rstd[row] = scale;
    }
    const T* const shift = CENTRED ? bias : nullptr;
    if (cols <= tile) {
        write_chunks(v, y, weight, shift, centre, scale, mine, step, end);
    } else {
        for (int col = mine; col < end; col += tile) {
            Vec<T, V> again[CHUNKS];
            read_chunks(again, x, col, step, end);
            write_chunks(again, y, weight, shift, centre, scale, col, step, end);
        }
    }
}

// This thread's chunks of a row of g and one of x, to its slots in shared memory: [g, x][chunk][thread].
template <int CHUNKS, int V, typename T>
__device__ __forceinline__ void fetch(Vec<T, V>* slots, const T* g, const T* x, int col, int step, int end) {
#pragma unroll
    for (int i = 0; i < CHUNKS; ++i, col += step) {
        if (col < end) {
            if constexpr (V > 1) {
                cp_async_16(slots + i * blockDim.x, g + col);
                cp_async_16(slots + (CHUNKS + i) * blockDim.x, x + col);
            } else {
                slots[i * blockDim.x] = load<V>(g + col);
                slots[(CHUNKS + i) * blockDim.x] = load<V>(x + col);
            }
        }
    }
}

// out[col] = Σ of the sums that threads of the block's rows have for the column; `scratch` holds one for each.
template <int CHUNKS, int V>
__device__ __forceinline__ void fold(const float (&sums)[CHUNKS][V], float* scratch, float* out, int lanes, int cols) {
    const int lane = threadIdx.x % lanes, group = threadIdx.x / lanes;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < CHUNKS; ++i) {
        const int col = (i * lanes + lane) * V;
        if (col >= cols) continue;
        float* const to = scratch + group * cols + col;
        if constexpr (V == 1) *to = sums[i][0];
        else {
#pragma unroll
            for (int p = 0; p < V / 4; ++p) {  // of 8 threads, whose accesses go together, 4 begin with their upper half:
                const bool upper = V == 8 && (p ^ (threadIdx.x / 4 & 1));  // then each has banks of its own
                Vec<float, 4> part;
#pragma unroll
                for (int j = 0; j < 4; ++j) part.at[j] = upper ? sums[i][V - 4 + j] : sums[i][j];
                store(to + 4 * upper, part);
            }
        }
    }
    __syncthreads();
    constexpr int W = V > 1 ? 4 : 1;
    const int held = blockDim.x / lanes;
    for (int col = threadIdx.x * W; col < cols; col += blockDim.x * W) {
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
__global__ void __launch_bounds__(MOST<CENTRED>, 1)
    norm_backward(const T* g, const T* x, const T* weight, const float* mean, const float* rstd, T* grad_x,
                  float* partial_weight, float* partial_bias, float* tile_sums, bool known, int rows, int cols, int lanes) {
    constexpr int CHUNKS = BACKWARD_CHUNKS<V>;
    extern __shared__ __align__(16) unsigned char shared[];
    Vec<T, V>* const slots = reinterpret_cast<Vec<T, V>*>(shared) + threadIdx.x;
    const int held = blockDim.x / lanes, lane = threadIdx.x % lanes, step = lanes * V, stride = gridDim.x * held;
    const int base = blockIdx.y * CHUNKS * step, end = min(cols, base + CHUNKS * step), mine = base + lane * V;
    float sum_gx[CHUNKS][V] = {}, sum_g[CHUNKS][V] = {};
    int row = blockIdx.x * held + threadIdx.x / lanes, turn = 0;
    float next_centre = 0, next_scale = 0;
    if (row < rows) {
        if constexpr (CENTRED) next_centre = mean[row];
        next_scale = rstd[row];
        fetch<CHUNKS, V>(slots, g + (long long)row * cols, x + (long long)row * cols, mine, step, end);
    }
    cp_async_commit();
    for (int first = blockIdx.x * held; first < rows; first += stride, row += stride, turn ^= 1) {
        const float centre = next_centre, scale = next_scale;
        const int stop = row < rows ? end : 0, next = row + stride;
        if (next < rows) {
            if constexpr (CENTRED) next_centre = mean[next];
            next_scale = rstd[next];
            Vec<T, V>* const to = slots + (turn ^ 1) * 2 * CHUNKS * blockDim.x;
            fetch<CHUNKS, V>(to, g + (long long)next * cols, x + (long long)next * cols, mine, step, end);
        }
        cp_async_commit();
        cp_async_wait<1>();
        const Vec<T, V>* const now = slots + turn * 2 * CHUNKS * blockDim.x;
        float sums[1 + CENTRED] = {};
#pragma unroll
        for (int i = 0; i < CHUNKS; ++i) {
            const int col = mine + i * step;
            if (col >= stop) continue;
            const Vec<T, V> g_chunk = now[i * blockDim.x], x_chunk = now[(CHUNKS + i) * blockDim.x];
            Vec<T, V> w;
            if (weight) w = load<V>(weight + col);
#pragma unroll
            for (int j = 0; j < V; ++j) {
                const float at = to_float(g_chunk.at[j]), x_hat = (to_float(x_chunk.at[j]) - centre) * scale;
                const float weighted = weight ? at * to_float(w.at[j]) : at;
                sum_gx[i][j] += at * x_hat;
                sums[0] += weighted * x_hat;
                if constexpr (CENTRED) sum_g[i][j] += at;
                if constexpr (CENTRED) sums[1] += weighted;
            }
        }
        if (!known) row_sum(sums, lanes);
        if (tile_sums && row < rows) exchange(sums, tile_sums + (long long)row * gridDim.y * 2, known, lane == 0);
        const float mean_gx = sums[0] / cols, mean_g = CENTRED ? sums[CENTRED] / cols : 0;
#pragma unroll 1  // g and x from shared memory once more: the registers are full of sums
        for (int i = 0; i < CHUNKS; ++i) {
            const int col = mine + i * step;
            if (col >= stop || !grad_x) continue;
            const Vec<T, V> g_chunk = now[i * blockDim.x], x_chunk = now[(CHUNKS + i) * blockDim.x];
            Vec<T, V> w, out;
            if (weight) w = load<V>(weight + col);
#pragma unroll
            for (int j = 0; j < V; ++j) {
                const float at = to_float(g_chunk.at[j]), x_hat = (to_float(x_chunk.at[j]) - centre) * scale;
                out.at[j] = from_float<T>(scale * ((weight ? at * to_float(w.at[j]) : at) - mean_g - x_hat * mean_gx));
            }
            store(grad_x + (long long)row * cols + col, out);
        }
    }
    cp_async_wait<0>();
    float* const scratch = reinterpret_cast<float*>(shared);
    const long long to = (long long)blockIdx.x * cols + base;
    if (partial_weight) fold(sum_gx, scratch, partial_weight + to, lanes, end - base);
    if (CENTRED && partial_bias) fold(sum_g, scratch, partial_bias + to, lanes, end - base);
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
