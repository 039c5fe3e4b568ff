// Pooling by 3 × 3 windows, 1 apart, behind one row and column of padding: the case of `pooling.cu` that Inceptions have,
// whose outputs are as large as their images.
//
//     max_pool_same_gradient  grad_x[y, x] = Σ g[y − i + 1, x − j + 1] where that window's tap is t = 3 i + j, i, j < 3
//     avg_pool_same           y[h, w] = Σ x[h + i − 1, w + j − 1] / count(h, w), and its adjoint Σ g[h + i − 1, w + j − 1] / count there
//
// Sums are in the order of a window's pixels, and of a pixel's windows, as in `pooling.cu`. Maxima: `pooling_running.cu`. A thread
// has V pixels across, in one access (`strip.cuh`), and of each row needs one pixel more on either side, which are the
// neighbouring threads' and come by shuffles. It goes down ROWS rows, and keeps the last two for the next window.
//
// Planes (H, W), W a multiple of V; T is float, half or bfloat16; arrays begin on 16 bytes. Launch: as strips have it.
//
// Cost: bytes, 2·sizeof(T) a pixel, and one for the taps of maxima; at most 40 instructions a pixel.
#include "strip.cuh"

// Of one row the pixels from column − 1 to column + V, given those of the thread: `outside` beyond the row's ends. `from` is the
// thread's first pixel; where the row is not there, nothing is read. All threads call it.
template <int V, typename Number, typename T>
__device__ __forceinline__ void widen(Number (&v)[V + 2], const T* from, const Strip<V>& mine, bool is_there, Number outside) {
    v[0] = __shfl_up_sync(FULL, v[V], 1);
    v[V + 1] = __shfl_down_sync(FULL, v[1], 1);
    const bool is_first = mine.chunk == 0, is_last = mine.chunk + 1 == mine.chunks;
    if (LANE == 0 && !is_first && is_there) v[0] = Number(to_float(from[-1]));
    if (LANE == 31 && !is_last && is_there) v[V + 1] = Number(to_float(from[V]));
    if (is_first) v[0] = outside;
    if (is_last) v[V + 1] = outside;
}

// A row of floats, zeros where it is not there.
template <int V, typename T>
__device__ __forceinline__ void read_row(float (&v)[V + 2], const T* from, bool is_there, const Strip<V>& mine, float outside) {
    Vec<T, V> own = {};
    if (is_there) own = load<V>(from);
    to_floats(v + 1, own);
    widen<V>(v, from, mine, is_there, outside);
}

// --- the gradient of maxima --------------------------------------------------------------------------------------------
// One row of windows: those of the thread and one on either side. Of each, the bit of its tap is set, and none of these nine where it
// is not there: one instruction moves seven to predicates, for which there were as many comparisons.
template <int V> struct Row {
    float g[V + 2];
    unsigned bits[V + 2];

    template <typename T>
    __device__ __forceinline__ void read(const T* from, const unsigned char* taps, int h, int height, int width, const Strip<V>& mine) {
        const bool is_there = h >= 0 && h < height, is_first = mine.chunk == 0, is_last = mine.chunk + 1 == mine.chunks;
        from += static_cast<long long>(h) * width;
        taps += static_cast<long long>(h) * width;
        Vec<T, V> own = {};
        Vec<unsigned char, V> which;
        memset(&which, NOBODY, sizeof(which));
        if (is_there) own = load<V>(from), which = load<V>(taps);
        to_floats(g + 1, own);
        g[0] = __shfl_up_sync(FULL, g[V], 1);
        g[V + 1] = __shfl_down_sync(FULL, g[1], 1);
        unsigned before = __shfl_up_sync(FULL, which.at[V - 1], 1), behind = __shfl_down_sync(FULL, which.at[0], 1);
        if (LANE == 0 && !is_first && is_there) g[0] = to_float(from[-1]), before = taps[-1];
        if (LANE == 31 && !is_last && is_there) g[V + 1] = to_float(from[V]), behind = taps[V];
        bits[0] = is_first ? 0 : 1u << (before & 31);
        bits[V + 1] = is_last ? 0 : 1u << (behind & 31);
#pragma unroll
        for (int k = 0; k < V; ++k) bits[k + 1] = 1u << (which.at[k] & 31);
    }
};

// What row r of a thread's windows gives to its pixels, from window K on and of that from tap TAP on.
template <int V, int K = 0, int TAP = 0> __device__ __forceinline__ void give(const Row<V>& row, int r, float (&sums)[ROWS][V]) {
    if constexpr (K < V + 2) {
        constexpr int x = K - 2 + TAP % 3;
        const int y = r - 2 + TAP / 3;
        if constexpr (x >= 0 && x < V) {
            if (y >= 0 && y < ROWS) add_where<TAP>(row.bits[K], sums[y][x], row.g[K]);
        }
        if constexpr (TAP < 8) give<V, K, TAP + 1>(row, r, sums);
        else give<V, K + 1>(row, r, sums);
    }
}

template <typename T, int V>
__global__ void __launch_bounds__(THREADS, 2)
max_pool_same_gradient(const T* __restrict__ g, const unsigned char* __restrict__ taps, T* __restrict__ grad_x, int items,
                       int height, int width, int groups, unsigned long long by_chunks, unsigned long long by_groups) {
    const Strip<V> mine(items, width, groups, by_chunks, by_groups);
    const long long at = mine.plane * height * width + mine.chunk * V;
    g += at;
    taps += at;
    float sums[ROWS][V] = {};  // each in the order of its windows
#pragma unroll
    for (int r = 0; r < ROWS + 2; ++r) {
        Row<V> row;
        row.read(g, taps, mine.first - 1 + r, height, width, mine);
        give(row, r, sums);
        const int y = mine.first + r - 2;
        if (r < 2 || !mine.there || y >= height) continue;
        Vec<T, V> out;
#pragma unroll
        for (int k = 0; k < V; ++k) out.at[k] = from_float<T>(sums[r - 2][k]);
        store(grad_x + at + static_cast<long long>(y) * width, out);
    }
}

// --- means -------------------------------------------------------------------------------------------------------------
// What windows divide by, and its inverse: FIXED, or what they cover.
template <bool FIXED> struct Count {
    float count, inverse;
    // Of the window at row h and column w.
    __device__ __forceinline__ Count at(int h, int height, bool edge) const {
        if constexpr (FIXED) return *this;
        const int rows = min(h + 2, height) - max(h - 1, 0);
        const float count = static_cast<float>(rows * (edge ? 2 : 3));
        return {count, edge ? rows == 3 ? 1 / 6.0f : rows == 2 ? 1 / 4.0f : 1 / 2.0f
                            : rows == 3 ? 1 / 9.0f : rows == 2 ? 1 / 6.0f : 1 / 3.0f};
    }
};

// y from x, or (`ADJOINT`) grad_x from g. Windows divide by `divisor` (FIXED), or by how many pixels of the image they cover.
template <typename T, int V, bool ADJOINT, bool FIXED>
__global__ void __launch_bounds__(THREADS, V * sizeof(T) == 8 && (FIXED || !ADJOINT) ? 5 : 3)
avg_pool_same(const T* __restrict__ x, T* __restrict__ y, int items, int height, int width, int groups, float divisor,
              float by_divisor, unsigned long long by_chunks, unsigned long long by_groups) {
    const Strip<V> mine(items, width, groups, by_chunks, by_groups);
    const long long at = mine.plane * height * width + mine.chunk * V;
    const bool is_first = mine.chunk == 0, is_last = mine.chunk + 1 == mine.chunks;
    const Count<FIXED> fixed = {divisor, by_divisor};
    x += at + static_cast<long long>(mine.first - 1) * width;
    y += at + static_cast<long long>(mine.first) * width;
    float row[3][V + 2];
    const auto read = [&](float (&v)[V + 2], int h) { read_row<V>(v, x, h >= 0 && h < height, mine, 0), x += width; };
    read(row[0], mine.first - 1);
    read(row[1], mine.first);
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        const int h = mine.first + r;
        read(row[(r + 2) % 3], h + 1);
        float sum[V] = {};
#pragma unroll
        for (int i = 0; i < 3; ++i) {
            const float(&v)[V + 2] = row[(r + i) % 3];
            const Count inner = fixed.at(h + i - 1, height, false), edge = fixed.at(h + i - 1, height, true);
#pragma unroll
            for (int k = 0; k < V; ++k) {
#pragma unroll
                for (int j = 0; j < 3; ++j) {
                    const bool outer = (k + j == 1 && is_first) || (k + j == V && is_last);
                    sum[k] += ADJOINT ? v[k + j] * (outer ? edge : inner).inverse : v[k + j];
                }
            }
        }
        const Count inner = fixed.at(h, height, false), edge = fixed.at(h, height, true);
        Vec<T, V> out;
#pragma unroll
        for (int k = 0; k < V; ++k) {
            const Count<FIXED>& own = (k == 0 && is_first) || (k == V - 1 && is_last) ? edge : inner;
            out.at[k] = from_float<T>(ADJOINT ? sum[k] : divided(sum[k], own.count, own.inverse));
        }
        if (mine.there && h < height) store(y, out);
        y += width;
    }
}
