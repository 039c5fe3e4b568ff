// The terms of the weight's gradient of a kernel of 3 × 3 whose taps read neighbouring pixels, and a warp's part of its sums.
#pragma once
#include "implicit_gemm.cuh"

// Positions, each DEPTH behind the one before: which pixel of the batch the first tap reads, and where in its image that is.
struct Walk {
    int y, x, pixel;
};

// What a walk's step adds; where, in each direction, it carries, and what that adds to the pixel.
struct Stride {
    int y, x, pixel, rows, columns, end_y, end_x, next_row, next_image;

    __device__ __forceinline__ void go(Walk& to) const {
        to.y += y, to.x += x, to.pixel += pixel;
        if (to.x >= end_x) to.x -= columns, ++to.y, to.pixel += next_row;
        if (to.y >= end_y) to.y -= rows, to.pixel += next_image;
    }
};

// Terms are positions, DEPTH at a time, of an output that is no larger than the image, with stride 1. A stage holds those of 64
// features of g. What all taps read, DEPTH channels of pixels that follow each other, is copied once, to a ring: pixel p to row
// p & mask of each of four planes of 8 channels. For each tap, a lane finds its position's pixel there, or, outside the image,
// zeros in the same banks.
template <typename T> struct Ring {
    using Whole = Tile<64, 256, true>;
    static constexpr int THREADS = 128, STAGE = 64 * DEPTH, EVERY = THREADS / (64 / 8), PIXELS = THREADS / (DEPTH / 8);
    struct Part {  // 64 features and, of each tap, 8 channels
        float acc[3][3][4][4] = {};
    };
    const T *gradient, *image;
    T* planes;                             // each has rows of pixels, then of zeros, then two that put planes into other banks
    int mask, chunks, pixels;              // rows of pixels but one; chunks of a pixel; pixels of the batch
    int height, width, down, across;       // of an image; from tap to tap
    Stride stride;
    Walk multiplied, copied;               // the lane's next position; the last one of the next stage
    int filled, reach;                     // the first pixel that is not on its way; from a position's first to behind its last
    int left, there;                       // positions: how many are left to copy, and to multiply
    unsigned at, pitch;                    // of g: the thread's next row, from row to row, in chunks
    bool features, channels;               // whether the thread's chunks of g, and of pixels, are some

    __device__ __forceinline__ T* plane(int c) const { return planes + c * plane_size(mask + 1); }
    __device__ __forceinline__ static int plane_size(int rows) { return (rows + ZEROS + 2) * 8; }

    __device__ __forceinline__ void load(T* stage) {
        int c = threadIdx.x % 8, row = threadIdx.x / 8;
        const int to = place<64>(row, c);
#pragma unroll
        for (int k = 0; k < DEPTH; k += EVERY)
            cp_async_16(stage + to + k * 64, gradient + 8ull * (at + k * pitch), features && row + k < left);
        at += DEPTH * pitch, left -= DEPTH;
        c = threadIdx.x % (DEPTH / 8), row = threadIdx.x / (DEPTH / 8);
        const int end = copied.pixel + reach;
        for (int p = filled + row; p < end && channels; p += PIXELS)
            cp_async_16(plane(c) + (p & mask) * 8, image + 8ull * (static_cast<unsigned>(p) * chunks + c),
                        static_cast<unsigned>(p) < static_cast<unsigned>(pixels));
        filled = end;
        stride.go(copied);
    }

    __device__ __forceinline__ void multiply_add(Part& part, const T* stage) {
        uint32_t x[DEPTH / 16][4][4];
        const int corner = Whole::template corner<64, true>(0);
#pragma unroll
        for (int k = 0; k < DEPTH / 16; ++k)
#pragma unroll
            for (int m = 0; m < 4; ++m) Whole::template fragment<64>(x[k][m], stage, corner, m, k);
        const T* own = plane(threadIdx.x / 32);
        const bool any = static_cast<int>(LANE) < there;
#pragma unroll
        for (int i = 0; i < 3; ++i)
#pragma unroll
            for (int j = 0; j < 3; ++j) {
                const bool inside = any && static_cast<unsigned>(multiplied.y + i * down) < static_cast<unsigned>(height) &&
                                    static_cast<unsigned>(multiplied.x + j * across) < static_cast<unsigned>(width);
                const int p = multiplied.pixel + i * down * width + j * across;
                uint32_t y[4];
                ldmatrix_x4_trans(y, own + (inside ? p & mask : mask + 1 + (p & (ZEROS - 1))) * 8);
#pragma unroll
                for (int k = 0; k < DEPTH / 16; ++k) {
                    const uint32_t b[2] = {y[2 * k], y[2 * k + 1]};
#pragma unroll
                    for (int m = 0; m < 4; ++m) mma_m16n8k16<T>(part.acc[i][j][m], x[k][m], b);
                }
            }
        there -= DEPTH;
        stride.go(multiplied);
    }
};
