// The gradient of maxima by windows 1 apart and few columns wide (5), in half precision, with as many windows in a row as pixels:
// what `pooling_maxima_backward.cu` is for at other sizes.
//
//     grad_x[y, x] = Σ g of the windows that have it as their maximum: over each column of windows from above, then over columns
//                    from the right
//
// Sums down columns are those of `pooling_sums.cuh`. Of a row of pixels a thread has four neighbours at a time, and reads what the K + 3
// columns have that may have their maximum among them: a sum is added to each of K pixels on condition, which one
// instruction makes of its step.
//
// Planes (H, W) of grad_x, W a multiple of 4, and (Ho, W) of g; T is half or bfloat16; arrays begin on 16 bytes. Launch: `tiles`, less than
// 2³¹, `together` of them to a block of 256 threads, each of `rows` × `columns` pixels (a multiple of 4) and `span` words of a row,
// 4 before the first pixel's and 4 behind the last, which may be the next one's, with room for `slack` rows of neighbours on either side.
//
// Cost: bytes, 2·sizeof(T) + 1 a pixel, and by 5 columns 39 instructions: 17 for a column's sums and 16 for a row's, whose adding is
// 5, of each. 32 are hidden; shared memory takes 1.07 times as long as the bytes.
#include "pooling_sums.cuh"

constexpr int LINE = 292;  // words between the rows of a block's tiles: rows begin in other banks, as far as 16 bytes can
constexpr int PAD = 4;     // words before the first pixel's
constexpr int DOWN = 8;    // rows of pixels to a thread

// What the sum of a column of windows, U columns from the first of four pixels, is to each of these: its step is one of `bits`.
template <int K, int U, int J = 0> __device__ __forceinline__ void spread(float (&sums)[4], unsigned bits, float v) {
    if constexpr (J < K) {
        constexpr int k = U - K / 2 + J;
        if constexpr (k >= 0 && k < 4) add_where<J>(bits, sums[k], v);
        spread<K, U, J + 1>(sums, bits, v);
    }
}

// Of words before the first of four pixels, theirs, and behind: from the right.
template <int K, int U = 3 + K / 2> __device__ __forceinline__ void gather(float (&sums)[4], const unsigned (&words)[PAD + 4 + PAD]) {
    if constexpr (U >= -(K / 2)) {
        const unsigned word = words[PAD + U];
        spread<K, U>(sums, 1u << (word & 31), __uint_as_float(word & ~31u));
        gather<K, U - 1>(sums, words);
    }
}

template <typename T, int K>
__global__ void __launch_bounds__(SUMMING, 4)
narrow_maxima_gradient(const T* __restrict__ g, const unsigned char* __restrict__ taps, T* __restrict__ grad_x, int tiles, int together,
                       int rows, int columns, int span, int down, int across, int height, int width, int output_h, int output_w,
                       int kernel_h, int top, int windows, int slack, unsigned long long by_down, unsigned long long by_across,
                       unsigned by_windows, unsigned by_all_quads, unsigned by_quads) {
    constexpr int V = 2, left = K / 2, EDGE = 2;  // words of neighbours on either side
    static_assert(left <= EDGE, "windows are as narrow");
    extern __shared__ __align__(16) unsigned char memory[];
    __shared__ Region places[LINE];
    const int size = (rows + 2 * slack) * LINE, first = blockIdx.x * together, here = min(together, tiles - first);
    float* const sums = reinterpret_cast<float*>(memory);
    const Parts<T> parts(sums, sums + size);
    find_regions<V>(places, first, here, sums, size, rows, columns, down, across, kernel_h, K, 1, 1, top, left, by_down, by_across);
    sum_columns<LINE, T, V>(
        g, taps, memory, parts, places, here, rows, columns, output_h, output_w, 1, 1, top, left, windows, -K, 65536 / K + 1, by_windows,
        [&](int tile, const Region& mine, int w) {
            return tile * span + PAD + mine.w + w - mine.column + (slack + mine.h - top - mine.row) * LINE;
        });
    __syncthreads();
    // Of four neighbours all windows that may have one of them as their maximum.
    const int quads = columns / 4;
#pragma unroll 1
    for (int item = threadIdx.x; item < (rows + DOWN - 1) / DOWN * together * quads; item += SUMMING) {
        const int piece = short_quotient(item, by_all_quads), rest = item - piece * together * quads, tile = short_quotient(rest, by_quads);
        if (tile >= here) continue;
        const Region mine = places[tile];
        const int x = (rest - tile * quads) * 4, y = piece * DOWN, end = min(min(y + DOWN, rows), height - mine.row);
        if (mine.column + x >= width) continue;
        T* to = grad_x + static_cast<long long>(mine.plane) * (height * width) + ((mine.row + y) * width + mine.column + x);
        const unsigned* from = reinterpret_cast<const unsigned*>(sums) + (slack + y) * LINE + tile * span + x;
#pragma unroll 1
        for (int r = y; r < end; ++r, from += LINE, to += width) {
            unsigned words[PAD + 4 + PAD];
            const Vec<unsigned, EDGE> before = load<EDGE>(from + PAD - EDGE);
            const Vec<unsigned, 4> own = load<4>(from + PAD);
            const Vec<unsigned, EDGE> behind = load<EDGE>(from + PAD + 4);
            memcpy(words + PAD - EDGE, &before, sizeof(before));
            memcpy(words + PAD, &own, sizeof(own));
            memcpy(words + PAD + 4, &behind, sizeof(behind));
            float all[4] = {};
            gather<K>(all, words);
            Vec<T, 4> out;
#pragma unroll
            for (int k = 0; k < 4; ++k) out.at[k] = from_float<T>(all[k]);
            store(to, out);
        }
    }
}
