// Softmax cross-entropy of class indices: the loss of every row, and the gradient of its logits in the same launch.
//
//     lse = ln Σ_c exp(x_c)        ℓ = (1 − ε) w_y (lse − x_y) + (ε/C) Σ_c w_c (lse − x_c)
//     grad_x_c = s (p_c (hot + even Σ_c w_c) − hot [c = y] − even w_c)
//     p_c = exp(x_c − lse),  hot = (1 − ε) w_y,  even = ε/C,  s = g / (Σ over the rows of w_y: for a mean)
//
// x is (N, C) row by row (`cross_entropy_rows`, `cross_entropy_few`), or (N, C, D) with C in the middle (`cross_entropy_columns`). A row whose
// target is `ignore_index` has loss and gradient 0 and is not read; one whose target is no class has loss and gradient NaN.
// Logits and their gradient are float, half or bfloat16, and may share memory; weights, losses, their gradient, sums and the
// divisor are float.
//
// One pass finds the largest logit and Σ exp(x − largest) together: each thread rescales its own sum when its maximum
// grows, and the threads of a row meet once at the end. Exponentials are powers of two, 2^(x log₂e − top), which take one
// instruction before them. The row is copied to shared memory, as much as the launcher has given
// for it, by asynchronous copies that are all under way at once; the second pass finds it there, and the rest in the L2 cache.
// x log₂e is not rounded before `top` is subtracted, and all that is made of a row subtracts the same: so logits of ±10⁴
// lose no digits.
//
// Geometry: rows: one warp (THREADS = 32, eight to a block), or a block of 256 or 512 threads, for each row; where a row does
// not start on 16 bytes, its first and last few logits are kept apart from its 16-byte windows. Columns: one thread for each
// (n, d), neighbours in d. Rows of a few words (`cross_entropy_few`): one thread each, 256 to a block. Limits: C < 2³¹ − 8, N·C·D < 2⁶³.
//
// Memory: each logit is read once and its gradient written once, which is the least possible: 2·N·C·sizeof(T) bytes. Of rows
// above 112 KiB the rest is read again, from L2. 8192 × 50257 in bfloat16 are 1.65 GB: 0.38 ms on an H200 at 4.3 TB/s. In
// that time the two exponentials of each logit take the special function units 60 % of their time, and its 15 instructions
// the schedulers 60 % of theirs.
#include "ptx.cuh"

constexpr int BLOCK = 256;  // threads of a block, where a row has none of its own

// w_y of a row: 0 if it does not count, NaN if its target is no class.
__device__ __forceinline__ float weight_of(long long y, const float* weight, int classes, long long ignore_index) {
    if (y == ignore_index) return 0;
    if (y < 0 || y >= classes) return NAN;
    return weight ? weight[y] : 1;
}

// s: the incoming gradient of the row's loss, over the divisor of the mean (1 where that is 0: then nothing counts).
__device__ __forceinline__ float scale_of(const float* count, const float* grad_loss, bool each, long long row) {
    const float g = grad_loss ? grad_loss[each ? row : 0] : 1;
    return count && *count != 0 ? g / *count : g;
}

constexpr float LOG2_E = 1.4426950408889634f;

// What exponents are taken relative to: the maximum times log₂e, or 0 while there has been nothing but −∞.
__device__ __forceinline__ float top_of(float largest) { return largest == -INFINITY ? 0 : largest * LOG2_E; }

// exp(x) over 2^top
__device__ __forceinline__ float power(float x, float top) { return exp2f(fmaf(x, LOG2_E, -top)); }

// What one pass over a row finds: the sum of the exponentials relative to `top_of(largest)` and, for label smoothing alone,
// Σ w and Σ w (x − origin).
struct Sums {
    float largest, exponentials, weights, weighted;

    // The exponentials of a few more logits.
    template <int N> __device__ __forceinline__ void add(const float (&x)[N]) {
        const float previous = largest * LOG2_E;  // −∞ before the first
#pragma unroll
        for (int i = 0; i < N; ++i) largest = fmaxf(largest, x[i]);
        const float top = top_of(largest);
        exponentials *= exp2f(previous - top);
#pragma unroll
        for (int i = 0; i < N; ++i) exponentials += power(x[i], top);
    }
    // lse − x. What rounding has left in the exponent of the largest logit is taken out of the sum, whose term it then is 1:
    // where it is the only one, lse = x to the last bit.
    __device__ __forceinline__ float lse_less(float x) const {
        const float from = largest == -INFINITY ? 0 : largest, sum = exponentials / power(from, top_of(largest));
        return logf(0.5f < sum && sum < 1 ? 1 : sum) + (from - x);
    }
};

// Σ w x is formed relative to x_y where that is finite: of large logits little would be left in the difference from lse.
__device__ __forceinline__ float origin_of(float x_y) { return isinf(x_y) ? 0 : x_y; }

__device__ __forceinline__ float loss_of(const Sums& s, float x_y, float hot, float even) {
    const float loss = hot * s.lse_less(x_y);
    return even != 0 ? loss + even * (s.weights * s.lse_less(origin_of(x_y)) - s.weighted) : loss;
}

// --- a row, and the threads that share it ----------------------------------------------------------------------------
constexpr int BATCH = 2;  // 16-byte windows on their way to a thread at a time

// A row of `classes` logits: `windows` of 16 bytes from x[head] on, and fewer than VECTOR<T> logits before and behind them,
// which go one to a thread: `edge` is this thread's class there, or −1. The first `kept` windows stay in `cache`, where
// each thread finds those that it has put there itself.
template <typename T, int THREADS> struct Row {
    static constexpr int N = VECTOR<T>;
    const T* x;
    const float* weight;
    T* cache;
    int classes, head, windows, kept, thread, edge;

    __device__ __forceinline__ Row(const T* x, const float* weight, T* cache, int classes, int kept)
        : x(x), weight(weight), cache(cache), classes(classes), thread(threadIdx.x % THREADS) {
        const int before = static_cast<int>(reinterpret_cast<unsigned long long>(x) / sizeof(T) % N);
        head = min(classes, (N - before) % N);
        windows = (classes - head) / N;
        this->kept = min(kept, windows);
        const int tail = thread + windows * N;  // counted on behind the windows
        edge = thread < head ? thread : tail < classes ? tail : -1;
    }
    __device__ __forceinline__ int column(int window) const { return head + window * N; }
    __device__ __forceinline__ float weight_at(int c) const { return weight ? weight[c] : 1; }
    // Of the windows of a batch those before `end` are the thread's; for the others the first stands in, unused.
    __device__ __forceinline__ int window(int first, int b, int end) const {
        return first + b * THREADS < end ? first + b * THREADS : first;
    }
};

// Sum and maximum over the threads of a row, which also wait for each other.
template <int THREADS> __device__ __forceinline__ float row_sum(float v) {
    if constexpr (THREADS == 32) return warp_sum(v);
    else return block_sum<THREADS>(v);
}

template <int THREADS> __device__ __forceinline__ float row_max(float v) {
    __syncwarp();  // shuffles alone do not order memory: the target's logit is read before any gradient replaces it
    if constexpr (THREADS == 32) return warp_max(v);
    else return block_max<THREADS>(v);
}

// Start to copy this thread's windows from `begin` to `end` to the cache: one group of copies, all under way at once.
template <typename T, int THREADS> __device__ __forceinline__ void fetch(const Row<T, THREADS>& row, int begin, int end) {
    constexpr int N = VECTOR<T>;
    for (int w = begin + row.thread; w < end; w += THREADS) cp_async_16(row.cache + w * N, row.x + row.column(w));
    cp_async_commit();
}

// Windows of one batch: from the cache, or from memory.
template <bool CACHED, typename T, int THREADS>
__device__ __forceinline__ void load_batch(float (&x)[BATCH][VECTOR<T>], const Row<T, THREADS>& row, int first, int end) {
    constexpr int N = VECTOR<T>;
    Vec<T, N> v[BATCH];
#pragma unroll
    for (int b = 0; b < BATCH; ++b) {
        const int w = row.window(first, b, end);
        v[b] = CACHED ? load<N>(row.cache + w * N) : load<N>(row.x + row.column(w));
    }
#pragma unroll
    for (int b = 0; b < BATCH; ++b) to_floats(x[b], v[b]);
}

// Add this thread's windows from `begin` to `end` to its sums of exponentials.
template <bool CACHED, typename T, int THREADS>
__device__ __forceinline__ void scan_windows(Sums& s, const Row<T, THREADS>& row, int begin, int end) {
#pragma unroll 1
    for (int first = begin + row.thread; first < end; first += BATCH * THREADS) {
        float x[BATCH][VECTOR<T>];
        load_batch<CACHED>(x, row, first, end);
#pragma unroll
        for (int b = 0; b < BATCH; ++b) {
            if (first + b * THREADS >= end) break;
            s.add(x[b]);
        }
    }
}

// Σ w and Σ w (x − origin) of this thread's share, for label smoothing: a pass of its own over the row, from L2.
template <typename T, int THREADS>
__device__ __forceinline__ void scan_weights(Sums& s, const Row<T, THREADS>& row, float edge, float origin) {
    if (row.edge >= 0) {
        s.weights = row.weight_at(row.edge);
        s.weighted = s.weights * (edge - origin);
    }
    for (int w = row.thread; w < row.windows; w += THREADS) {
        float x[VECTOR<T>];
        to_floats(x, load<VECTOR<T>>(row.x + row.column(w)));
#pragma unroll
        for (int i = 0; i < VECTOR<T>; ++i) {
            const float weight = row.weight_at(row.column(w) + i);
            s.weights += weight;
            s.weighted += weight * (x[i] - origin);
        }
    }
}

// The sums of this thread's share of a row. The windows that stay are asked for at once and added up as their halves arrive.
template <typename T, int THREADS> __device__ __forceinline__ Sums scan(const Row<T, THREADS>& row, float edge) {
    const int half = row.kept / 2 / THREADS * THREADS;
    fetch(row, 0, half);
    fetch(row, half, row.kept);
    Sums s{edge, power(edge, top_of(edge)), 0, 0};
    cp_async_wait<1>();
    scan_windows<true>(s, row, 0, half);
    cp_async_wait<0>();
    scan_windows<true>(s, row, half, row.kept);
    scan_windows<false>(s, row, row.kept, row.windows);
    return s;
}

// What the gradient of a row is made of: grad_x_c = exp(x_c) total / 2^top − even w_c, less `hot` for the target.
struct Gradient {
    float top, total, hot, even;
    __device__ __forceinline__ float at(float x_c, float w_c) const { return power(x_c, top) * total - even * w_c; }
};

// The windows from `begin` to `end`, which are in the cache or are not, as if none had the target.
template <bool CACHED, bool SMOOTH, typename T, int THREADS>
__device__ __forceinline__ void write_windows(T* grad_x, const Row<T, THREADS>& row, const Gradient& g, int begin, int end) {
    constexpr int N = VECTOR<T>;
#pragma unroll 1
    for (int first = begin + row.thread; first < end; first += BATCH * THREADS) {
        float x[BATCH][N];
        load_batch<CACHED>(x, row, first, end);
#pragma unroll
        for (int b = 0; b < BATCH; ++b) {
            if (first + b * THREADS >= end) break;
            const int c = row.column(first + b * THREADS);
#pragma unroll
            for (int i = 0; i < N; ++i) x[b][i] = power(x[b][i], g.top) * g.total;
            if constexpr (SMOOTH) {
#pragma unroll
                for (int i = 0; i < N; ++i) x[b][i] -= g.even * row.weight_at(c + i);
            }
            Vec<T, N> out;
#pragma unroll
            for (int i = 0; i < N; ++i) out.at[i] = from_float<T>(x[b][i]);
            store(grad_x + c, out);
        }
    }
}

template <typename T, int THREADS> __device__ __forceinline__ void write_zeros(T* grad_x, const Row<T, THREADS>& row) {
    constexpr int N = VECTOR<T>;
    Vec<T, N> zero;
#pragma unroll
    for (int i = 0; i < N; ++i) zero.at[i] = from_float<T>(0);
    for (int w = row.thread; w < row.windows; w += THREADS) store(grad_x + row.column(w), zero);
    if (row.edge >= 0) grad_x[row.edge] = zero.at[0];
}

// logits, grad (rows, classes), grad null if not wanted; target, losses (rows), the losses before division; weight
// (classes) or null; grad_loss (rows) if `each`, else (1), or null for 1; count (1), or null for 1. Dynamic shared memory:
// 16·kept bytes for each row of the block, for its first `kept` windows.
template <typename T, int THREADS>
__global__ void __launch_bounds__(THREADS == 32 ? BLOCK : THREADS, THREADS == 512 ? 2 : 4)
    cross_entropy_rows(const T* logits, const long long* target, const float* weight, const float* count,
                       const float* grad_loss, float* losses, T* grad, long long rows, int classes, int kept,
                       long long ignore_index, float smoothing, bool each) {
    extern __shared__ __align__(16) unsigned char memory[];
    const int team = threadIdx.x / THREADS;
    const long long i = blockIdx.x * static_cast<long long>(blockDim.x / THREADS) + team;
    if (i >= rows) return;  // with all threads of its row: the rows of a block share no barrier
    const Row<T, THREADS> row(logits + i * classes, weight, reinterpret_cast<T*>(memory + team * kept * 16), classes, kept);
    T* const grad_x = grad ? grad + i * classes : nullptr;
    const long long y = target[i];
    if (y == ignore_index) {
        if (row.thread == 0) losses[i] = 0;
        if (grad_x) write_zeros(grad_x, row);
        return;
    }
    const float own = weight_of(y, weight, classes, ignore_index), x_y = isnan(own) ? 0 : to_float(row.x[y]);
    const float hot = (1 - smoothing) * own, even = smoothing / classes;
    const float edge = row.edge >= 0 ? to_float(row.x[row.edge]) : -INFINITY;

    Sums s = scan(row, edge);
    const float mine = s.largest * LOG2_E;  // −∞ if this thread has seen nothing: its sum, 0, then stays 0
    s.largest = row_max<THREADS>(s.largest);
    s.exponentials = row_sum<THREADS>(s.exponentials * exp2f(mine - top_of(s.largest)));
    if (even != 0) {
        scan_weights(s, row, edge, origin_of(x_y));
        s.weights = row_sum<THREADS>(s.weights);
        s.weighted = row_sum<THREADS>(s.weighted);
    }
    if (row.thread == 0) losses[i] = loss_of(s, x_y, hot, even);
    if (!grad_x) return;
    const float scale = scale_of(count, grad_loss, each, i), total = scale * (hot + even * s.weights) / s.exponentials;
    const Gradient g{top_of(s.largest), total, scale * hot, scale * even};
    if (even == 0) {
        write_windows<true, false>(grad_x, row, g, 0, row.kept);
        write_windows<false, false>(grad_x, row, g, row.kept, row.windows);
    } else {
        write_windows<true, true>(grad_x, row, g, 0, row.kept);
        write_windows<false, true>(grad_x, row, g, row.kept, row.windows);
    }
    if (row.edge >= 0) grad_x[row.edge] = from_float<T>(g.at(edge, row.weight_at(row.edge)));
    if constexpr (THREADS == 32) __syncwarp();
    else __syncthreads();
    if (row.thread == 0 && !isnan(own)) grad_x[y] = from_float<T>(g.at(x_y, row.weight_at(y)) - g.hot);
}

// --- a row to a thread -----------------------------------------------------------------------------------------------
constexpr int CLASSES = 4;  // logits on their way to a thread at a time

// The loss of a row, and its gradient if it is wanted: x(c) is the logit of class c, grad_x(c, g) takes its gradient.
template <typename Read, typename Write>
__device__ __forceinline__ void by_one_thread(Read x, Write grad_x, bool wanted, long long row, const long long* target,
                                              const float* weight, const float* count, const float* grad_loss,
                                              float* losses, int classes, long long ignore_index, float smoothing, bool each) {
    const long long y = target[row];
    if (y == ignore_index) {
        losses[row] = 0;
        for (int c = 0; wanted && c < classes; ++c) grad_x(c, 0);
        return;
    }
    const float own = weight_of(y, weight, classes, ignore_index);
    const int hit = isnan(own) ? -1 : static_cast<int>(y);
    const float x_y = hit < 0 ? 0 : x(hit), hot = (1 - smoothing) * own, even = smoothing / classes;

    Sums s{-INFINITY, 0, 0, 0};
    float v[CLASSES];
    for (int first = 0; first < classes; first += CLASSES) {
#pragma unroll
        for (int i = 0; i < CLASSES; ++i) v[i] = first + i < classes ? x(first + i) : -INFINITY;
        s.add(v);
#pragma unroll
        for (int i = 0; i < CLASSES; ++i) {
            if (even == 0 || first + i >= classes) continue;
            const float w = weight ? weight[first + i] : 1;
            s.weights += w;
            s.weighted += w * (v[i] - origin_of(x_y));
        }
    }
    losses[row] = loss_of(s, x_y, hot, even);
    if (!wanted) return;

    const float scale = scale_of(count, grad_loss, each, row), total = scale * (hot + even * s.weights) / s.exponentials;
    const Gradient g{top_of(s.largest), total, scale * hot, scale * even};
    for (int first = 0; first < classes; first += CLASSES) {
#pragma unroll
        for (int i = 0; i < CLASSES; ++i) v[i] = first + i < classes ? x(first + i) : -INFINITY;
#pragma unroll
        for (int i = 0; i < CLASSES; ++i) {
            if (first + i >= classes) continue;
            const float w = even != 0 && weight ? weight[first + i] : 1;
            grad_x(first + i, g.at(v[i], w) - (first + i == hit ? g.hot : 0));
        }
    }
}

// Classes in the middle: logits, grad (N, classes, inner) with N·inner = rows; all else as above.
template <typename T>
__global__ void __launch_bounds__(BLOCK, 4)
    cross_entropy_columns(const T* logits, const long long* target, const float* weight, const float* count,
                          const float* grad_loss, float* losses, T* grad, long long rows, int classes, long long inner,
                          long long ignore_index, float smoothing, bool each) {
    const long long row = static_cast<long long>(blockIdx.x) * BLOCK + threadIdx.x;
    if (row >= rows) return;
    const long long start = row / inner * inner * classes + row % inner;
    by_one_thread([&](int c) { return to_float(logits[start + c * inner]); },
                  [&](int c, float g) { grad[start + c * inner] = from_float<T>(g); }, grad != nullptr, row, target, weight,
                  count, grad_loss, losses, classes, ignore_index, smoothing, each);
}

// A block's rows to shared memory (IN) or from there, `size` numbers, 16 bytes at a time and then one by one; or, PADDED, word by
// word, of which one is left out behind each row. by_row: ⌈2³² / words of a row⌉.
template <bool IN, bool PADDED, typename T>
__device__ __forceinline__ void move_rows(T* to, const T* from, int size, unsigned by_row) {
    constexpr int N = PADDED ? 4 / sizeof(T) : VECTOR<T>;  // neighbours that move at a time
    const int pieces = size / N;
#pragma unroll 1
    for (int first = threadIdx.x; first < pieces; first += 2 * BLOCK) {
        Vec<T, N> some[2];
        const bool more = first + BLOCK < pieces;
        const auto place = [=](int at) { return PADDED ? at + static_cast<int>(__umulhi(at, by_row)) : at; };
        some[0] = load<N>(from + (IN ? first : place(first)) * N);
        if (more) some[1] = load<N>(from + (IN ? first + BLOCK : place(first + BLOCK)) * N);
        store(to + (IN ? place(first) : first) * N, some[0]);
        if (more) store(to + (IN ? place(first + BLOCK) : first + BLOCK) * N, some[1]);
    }
    const int left = pieces * N + threadIdx.x;
    if (!PADDED && left < size) to[left] = from[left];
}

// Few classes, which come last. What together a block reads in whole pieces goes through shared memory, where a row has `pitch`
// elements: PADDED, an odd number of words, so that the same class of neighbouring rows lies in different banks.
template <typename T, bool PADDED>
__global__ void __launch_bounds__(BLOCK, 4)
    cross_entropy_few(const T* logits, const long long* target, const float* weight, const float* count,
                      const float* grad_loss, float* losses, T* grad, long long rows, int classes, int pitch,
                      unsigned by_row, long long ignore_index, float smoothing, bool each) {
    extern __shared__ __align__(16) unsigned char memory[];
    T* const tile = reinterpret_cast<T*>(memory);
    const long long first = static_cast<long long>(blockIdx.x) * BLOCK;
    const int here = static_cast<int>(min(rows - first, static_cast<long long>(BLOCK)));
    move_rows<true, PADDED>(tile, logits + first * classes, here * classes, by_row);
    __syncthreads();
    if (threadIdx.x < here) {
        T* const row = tile + threadIdx.x * pitch;
        by_one_thread([&](int c) { return to_float(row[c]); }, [&](int c, float g) { row[c] = from_float<T>(g); }, grad != nullptr,
                      first + threadIdx.x, target, weight, count, grad_loss, losses, classes, ignore_index, smoothing, each);
    }
    if (!grad) return;
    __syncthreads();
    move_rows<false, PADDED>(grad + first * classes, tile, here * classes, by_row);
}

// --- sums over the rows ----------------------------------------------------------------------------------------------
// partial[block] = Σ w_y over the rows that are the block's; a target that is no class adds nothing.
__global__ void __launch_bounds__(BLOCK)
    sum_of_weights(const long long* target, const float* weight, float* partial, long long rows, int classes,
                   long long ignore_index) {
    float sum = 0;
    const long long step = static_cast<long long>(gridDim.x) * BLOCK;
    for (long long row = static_cast<long long>(blockIdx.x) * BLOCK + threadIdx.x; row < rows; row += step) {
        const float own = weight_of(target[row], weight, classes, ignore_index);
        sum += isnan(own) ? 0 : own;
    }
    sum = block_sum<BLOCK>(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// out[block] = Σ of the values that are the block's, over *count if there is one (NaN where that is 0).
template <typename T>
__global__ void __launch_bounds__(BLOCK) sum_of_values(const float* values, const float* count, T* out, long long n) {
    float sum = 0;
    const long long step = static_cast<long long>(gridDim.x) * BLOCK;
    for (long long i = static_cast<long long>(blockIdx.x) * BLOCK + threadIdx.x; i < n; i += step) sum += values[i];
    sum = block_sum<BLOCK>(sum);
    if (count) sum = *count != 0 ? sum / *count : NAN;
    if (threadIdx.x == 0) out[blockIdx.x] = from_float<T>(sum);
}
