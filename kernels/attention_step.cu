// Attention of one query for each head against many keys: a step of generation, O = softmax(scale · q Kᵀ + mask) V.
//
// One query gives no tile enough work, so the keys are split: a block takes CHUNK keys of one head and leaves the maximum m of its
// scores, l = Σ exp(s − m) and o = Σ exp(s − m) v; `attention_join` adds up the parts in order, each times exp(m − max m). Heads
// that share keys (members) are taken one after the other by the same block, whose keys are then in cache. A query for which no
// key takes part gets 0.
//
// query (B, H, 1, E), key (B, G, S, E), value (B, G, S, Eᵥ) with any strides but the last, which is 1; rows start on 16 bytes, E and
// Eᵥ are multiples of 8, at most WIDEST. allowed or bias (B, H, 1, S) with strides, 0 for what is broadcast. The parts are
// float: totals (B·H·splits, 2) = (m, l), sums (B·H·splits, Eᵥ). out (B·H, Eᵥ).
// Geometry: B·G·splits blocks of 128 threads; eight lanes share a key's row, of which each has four under way. Fixed order:
// deterministic.
//
// Memory: keys and values once, 2 sizeof(T) · B·G·S·E bytes. B = 8, G = 32, S = 4096, E = 128 in bfloat16: 537 MB, 0.12 ms at
// 4.3 TB/s, in 4096 blocks.
#include "neighbours.cuh"

constexpr int THREADS = 128, CHUNK = 256, WIDEST = 256, SHARE = 8;  // lanes that share a row
constexpr int ROWS = 4;  // neighbours, that a thread has under way

template <typename T>
__global__ void __launch_bounds__(THREADS, 4)  // 4: NVRTC 13.0 spills to have more blocks
    attention_split(const T* query, const T* key, const T* value, const bool* allowed, const T* bias, float* totals,
                    float* sums, long long q_b, long long q_h, long long k_b, long long k_g, long long k_s, long long v_b,
                    long long v_g, long long v_s, long long m_b, long long m_h, long long m_s, int groups, int members,
                    int keys, int splits, int width, int value_width, float scale) {
    constexpr int N = VECTOR<T>, TIMES = WIDEST / (SHARE * N);
    __shared__ float s[CHUNK];
    __shared__ float part[N][THREADS + 32 / N];  // no two rows in the same banks
    const int split = blockIdx.x % splits, g = blockIdx.x / splits % groups, b = blockIdx.x / splits / groups;
    const int first = split * CHUNK, count = min(CHUNK, keys - first);
    key += b * k_b + g * k_g + first * k_s;
    value += b * v_b + g * v_g + first * v_s;
    const int columns = value_width / N, rows = THREADS / columns;  // of the values' product
    const int mine = threadIdx.x % SHARE * N;
    for (int member = 0; member < members; ++member) {
        const int h = g * members + member;
        float q[TIMES][N] = {};  // the lane's elements, of each SHARE · N
#pragma unroll
        for (int t = 0; t < TIMES; ++t) {
            if (mine + t * SHARE * N >= width) break;
            read_neighbours(q[t], query + b * q_b + h * q_h + mine + t * SHARE * N);
#pragma unroll
            for (int i = 0; i < N; ++i) q[t][i] *= scale;
        }
        __syncthreads();  // the member before is done with shared memory
#pragma unroll 1  // unrolled, it runs out of registers
        for (int start = threadIdx.x / SHARE * ROWS; start < CHUNK; start += THREADS / SHARE * ROWS) {
            float scores[ROWS] = {};
#pragma unroll
            for (int t = 0; t < TIMES; ++t) {
                if (mine + t * SHARE * N >= width) break;
                float k[ROWS][N];
#pragma unroll
                for (int r = 0; r < ROWS; ++r)
                    read_neighbours(k[r], key + min(start + r, count - 1) * k_s + mine + t * SHARE * N);
#pragma unroll
                for (int r = 0; r < ROWS; ++r)
#pragma unroll
                    for (int i = 0; i < N; ++i) scores[r] = fmaf(k[r][i], q[t][i], scores[r]);
            }
            float score = four_sums(scores);
            const int j = start + threadIdx.x % SHARE / 2;
            const long long at = b * m_b + h * m_h + (first + j) * m_s;
            if (j >= count)
                score = -INFINITY;
            else if (allowed)
                score += allowed[at] ? 0 : -INFINITY;
            else if (bias)
                score += to_float(bias[at]);
            if (threadIdx.x % 2 == 0) s[j] = score;
        }
        __syncthreads();
        float top = -INFINITY, total = 0;
        for (int j = threadIdx.x; j < CHUNK; j += THREADS) top = fmaxf(top, s[j]);
        top = block_max<THREADS>(top);
        const float base = top == -INFINITY ? 0 : top;
        for (int j = threadIdx.x; j < CHUNK; j += THREADS) total += s[j] = __expf(s[j] - base);
        total = block_sum<THREADS>(total);
        __syncthreads();
        const int column = threadIdx.x % columns, row = threadIdx.x / columns;
        float sum[N] = {};
        if (row < rows)
#pragma unroll 4
            for (int j = row; j < count; j += rows) {
                float v[N];
                read_neighbours(v, value + j * v_s + column * N);
                const float p = s[j];
#pragma unroll
                for (int i = 0; i < N; ++i) sum[i] = fmaf(p, v[i], sum[i]);
            }
#pragma unroll
        for (int i = 0; i < N; ++i) part[i][threadIdx.x] = sum[i];
        __syncthreads();
        const long long to = (static_cast<long long>(b) * groups * members + h) * splits + split;
        for (int e = threadIdx.x; e < value_width; e += THREADS) {
            float all = 0;
            for (int r = 0; r < rows; ++r) all += part[e % N][r * columns + e / N];
            sums[to * value_width + e] = all;
        }
        if (threadIdx.x == 0) {
            totals[2 * to] = top;
            totals[2 * to + 1] = total;
        }
    }
}

template <typename T>
__global__ void __launch_bounds__(THREADS) attention_join(const float* totals, const float* sums, T* out, int splits, int width) {
    totals += 2ll * blockIdx.x * splits;
    sums += static_cast<long long>(blockIdx.x) * splits * width;
    float top = -INFINITY, total = 0;
    for (int k = 0; k < splits; ++k) top = fmaxf(top, totals[2 * k]);
    const float base = top == -INFINITY ? 0 : top;
    for (int k = 0; k < splits; ++k) total += totals[2 * k + 1] * __expf(totals[2 * k] - base);
    for (int e = threadIdx.x; e < width; e += THREADS) {
        float sum = 0;
        for (int k = 0; k < splits; ++k) sum += sums[static_cast<long long>(k) * width + e] * __expf(totals[2 * k] - base);
        out[static_cast<long long>(blockIdx.x) * width + e] = from_float<T>(total == 0 ? 0 : sum / total);
    }
}
