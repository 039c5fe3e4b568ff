// The terms of a convolution whose neighbouring taps read neighbouring pixels, and where along an axis taps are read.
#pragma once
#include "implicit_gemm.cuh"

constexpr int NOWHERE = -(1 << 30);  // a row that no tap brings inside an image

// Along one axis: which taps a phase has, tap + k·skip for k < taps, and where the first position reads with k, from
// place + k·apart on, further ones in steps of `stride`. Positions lie in the target at phase + u·spread.
struct Axis {
    int taps, tap, skip, place, apart, stride, phase, spread;
};

__device__ __forceinline__ Axis axis_of(bool adjoint, int phase, int kernel, int stride, int before, int dilation, int apart,
                                        int skip) {
    if (!adjoint) return {kernel, 0, 1, -before, dilation, stride, 0, 1};
    int tap = 0;
    while (tap < kernel && (phase + before - tap * dilation) % stride != 0) ++tap;
    return {static_cast<int>(ceil_div(kernel - tap, skip)), tap, skip, (phase + before - tap * dilation) / stride, -apart, 1,
            phase, stride};
}

// Terms (block, tap, channel) where neighbouring taps read neighbouring pixels: stride 1, channels in blocks of DEPTH. For a
// block, all pixels that a tile's positions read with any tap, a band of the image without gaps, are copied once, and each tap
// finds its own `shift` rows further on. What is outside the image is read from rows of zeros, in the same banks. There are
// two bands: the next block's is under way in the last steps of the one at work, of which there are STAGES − 1 at least.
struct Tap {
    int i = 0, j = 0, block = 0;

    __device__ __forceinline__ void next(int taps_h, int taps_w) {
        if (++j < taps_w) return;
        j = 0;
        if (++i < taps_h) return;
        i = 0, ++block;
    }
};

template <typename T, int M, int N> struct Band {
    using Part = Tile<M, N, false>;
    static constexpr int EVERY = Part::THREADS / (DEPTH / 8), STAGE = M * DEPTH, PARTS = Part::SIDE / 16;
    const T *weight, *image;
    T* rows;                                // zeros, then the bands
    Axis down, across;
    int chunks, height, width, pixels;      // chunks of a tap; pixels of the batch
    int band, start;                        // how many rows, and which pixel the first one is; there may be none
    int own, pitch;                         // the thread's row of weights, from there to its next, in chunks
    unsigned features = 0;                  // bit m: whether there is one in row m
    Tap copied, multiplied;                 // the next of each
    int y[PARTS], x[PARTS], row[PARTS];     // what the lane's positions read with the first tap; its row in a band

    __device__ __forceinline__ void load(T* stage) {
        const int first = threadIdx.x / (DEPTH / 8), chunk = threadIdx.x % (DEPTH / 8), c = copied.block * (DEPTH / 8) + chunk;
        const int at = own + (copied.i * across.taps + copied.j) * chunks + c;
#pragma unroll
        for (int m = 0; m < M / EVERY; ++m)
            cp_async_16(stage + place<DEPTH>(first, chunk) + m * EVERY * DEPTH, weight + 8ll * (at + m * pitch),
                        features >> m & 1);
        if (copied.i + copied.j == 0)
            for (int r = first; r < band; r += EVERY)
                cp_async_16(rows + place<DEPTH>(begin(copied) + r, chunk), image + 8ll * (start + r) * chunks + 8 * c,
                            static_cast<unsigned>(start + r) < static_cast<unsigned>(pixels));
        copied.next(down.taps, across.taps);
    }

    __device__ __forceinline__ int begin(const Tap& tap) const { return ZEROS + tap.block % 2 * band; }

    __device__ __forceinline__ void multiply_add(Part& part, const T* stage) {
        const int dy = multiplied.i * down.apart, dx = multiplied.j * across.apart, shift = dy * width + dx;
        int at[PARTS];
#pragma unroll
        for (int n = 0; n < PARTS; ++n) {
            const bool inside = static_cast<unsigned>(y[n] + dy) < static_cast<unsigned>(height) &&
                                static_cast<unsigned>(x[n] + dx) < static_cast<unsigned>(width);
            const int r = row[n] + shift;
            at[n] = place<DEPTH>(inside ? begin(multiplied) + r : r & (ZEROS - 1), LANE / 8 % 2);
        }
        part.multiply_add(stage, [&](uint32_t (&y)[4], int n, int k) { ldmatrix_x4(y, rows + (at[n] ^ 16 * k)); });
        multiplied.next(down.taps, across.taps);
    }
};
