// Max pooling by 3 × 3 windows, 2 apart, behind one row and column of padding: the case of `pooling.cu` that ResNets have.
//
//     y[h, w] = max x[2h + i − 1, 2w + j − 1], i, j < 3, and which it was, t = 3 i + j (the first, or the last NaN)
//     grad_x[y, x] = Σ g of the windows that read this pixel and that it has won, in their order
//
// Results and their bits are those of `pooling.cu`. A thread has V pixels across, in one access, which V/2 windows begin with:
// of each row these need one pixel more, which is the neighbouring thread's and comes by a shuffle. It goes down ROWS rows
// of windows, and each third row of pixels (or, backward, each row of windows) is kept for the next.
//
// x (planes, H, W), y (planes, ⌈H/2⌉, W/2), W a multiple of V; T is float, half or bfloat16; arrays begin on 16 bytes. Launch:
// `items` threads, less than 2³¹, 256 to a block: W/V to a row, `groups` = ⌈⌈H/2⌉/ROWS⌉ rows of them to a plane.
//
// Cost: bytes, 1.25·sizeof(T) a pixel and ¼ for the taps; at most 14 instructions a pixel. Rows of windows that are no whole
// sectors are written by several threads, whose parts of a sector meet in L2.
#include "strip.cuh"

// --- forward -----------------------------------------------------------------------------------------------------------
// Of one row of pixels, from x on, the greatest of each window's three and which of them it is. All threads call it.
template <int V, typename T>
__device__ __forceinline__ void across(Best (&best)[V / 2], const T* x, int chunk) {
    float v[V];
    to_floats(v, load<V>(x));
    float left = __shfl_up_sync(FULL, v[V - 1], 1);
    if (LANE == 0 && chunk > 0) left = to_float(x[-1]);
#pragma unroll
    for (int k = 0; k < V / 2; ++k) {
        best[k] = {k == 0 ? left : v[2 * k - 1], 0};
        best[k].take(v[2 * k], 1, k == 0 && chunk == 0);
        best[k].take(v[2 * k + 1], 2);
    }
}

template <typename T, int V>
__global__ void __launch_bounds__(THREADS, 4)
max_pool_3x3(const T* __restrict__ x, T* __restrict__ y, unsigned char* __restrict__ taps, int items, int height, int width,
             int groups, unsigned long long by_chunks, unsigned long long by_groups) {
    const Strip<V> mine(items, width, groups, by_chunks, by_groups);
    const int windows_h = (height + 1) / 2;
    x += mine.plane * height * width + mine.chunk * V;
    const long long to = mine.plane * windows_h * (width / 2) + mine.chunk * (V / 2);
    Best above[V / 2], middle[V / 2], below[V / 2];
    across<V>(above, x + static_cast<long long>(max(2 * mine.first - 1, 0)) * width, mine.chunk);
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        const int h = mine.first + r;
        across<V>(middle, x + static_cast<long long>(min(2 * h, height - 1)) * width, mine.chunk);
        across<V>(below, x + static_cast<long long>(min(2 * h + 1, height - 1)) * width, mine.chunk);
        Vec<T, V / 2> greatest;
        Vec<unsigned char, V / 2> which;
#pragma unroll
        for (int k = 0; k < V / 2; ++k) {
            Best best = above[k];
            best.take(middle[k].value, 3 + middle[k].tap, h == 0);
            best.take(2 * h + 1 < height ? below[k].value : -INFINITY, 6 + below[k].tap);
            greatest.at[k] = from_float<T>(best.value);
            which.at[k] = static_cast<unsigned char>(best.tap);
            above[k] = below[k];
        }
        if (mine.there && h < windows_h) {
            store(y + to + static_cast<long long>(h) * (width / 2), greatest);
            store(taps + to + static_cast<long long>(h) * (width / 2), which);
        }
    }
}

// --- backward ----------------------------------------------------------------------------------------------------------
// One row of windows: those of the thread and the one behind them, whose tap is NOBODY where it is not there.
template <int V> struct Row {
    float g[V / 2 + 1];
    int tap[V / 2 + 1];

    template <typename T>
    __device__ __forceinline__ void read(const T* from, const unsigned char* taps, bool is_there, bool is_last) {
        to_floats(g, load<V / 2>(from));
        const Vec<unsigned char, V / 2> which = load<V / 2>(taps);
#pragma unroll
        for (int k = 0; k < V / 2; ++k) tap[k] = is_there ? which.at[k] : NOBODY;
        g[V / 2] = __shfl_down_sync(FULL, g[0], 1);
        tap[V / 2] = __shfl_down_sync(FULL, tap[0], 1);
        if (LANE == 31 && !is_last && is_there) g[V / 2] = to_float(from[V / 2]), tap[V / 2] = taps[V / 2];
        if (is_last) tap[V / 2] = NOBODY;
    }
    __device__ __forceinline__ float of(int k, int t) const { return tap[k] == t ? g[k] : 0; }
};

template <typename T, int V>
__global__ void __launch_bounds__(THREADS)
max_pool_3x3_gradient(const T* __restrict__ g, const unsigned char* __restrict__ taps, T* __restrict__ grad_x, int items,
                      int height, int width, int groups, unsigned long long by_chunks, unsigned long long by_groups) {
    const Strip<V> mine(items, width, groups, by_chunks, by_groups);
    const int windows_h = (height + 1) / 2, windows_w = width / 2;
    const bool is_last = mine.chunk + 1 == mine.chunks;
    const long long from = mine.plane * windows_h * windows_w + mine.chunk * (V / 2);
    grad_x += mine.plane * height * width + mine.chunk * V;
    Row<V> above, below;
    const auto read = [&](Row<V>& row, int h) {
        const long long at = from + static_cast<long long>(min(h, windows_h - 1)) * windows_w;
        row.read(g + at, taps + at, h < windows_h, is_last);
    };
    read(above, mine.first);
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        const int h = mine.first + r;
        read(below, h + 1);
        Vec<T, V> rows[2];
#pragma unroll
        for (int k = 0; k < V / 2; ++k) {  // each sum in the order of its windows
            rows[0].at[2 * k] = from_float<T>(0.0f + above.of(k, 4));
            rows[0].at[2 * k + 1] = from_float<T>(0.0f + above.of(k, 5) + above.of(k + 1, 3));
            rows[1].at[2 * k] = from_float<T>(0.0f + above.of(k, 7) + below.of(k, 1));
            rows[1].at[2 * k + 1] =
                from_float<T>(0.0f + above.of(k, 8) + above.of(k + 1, 6) + below.of(k, 2) + below.of(k + 1, 0));
        }
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            if (mine.there && 2 * h + i < height) store(grad_x + static_cast<long long>(2 * h + i) * width, rows[i]);
        }
        above = below;
    }
}
