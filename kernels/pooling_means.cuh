// What means of windows share, forward and backward: how a row lies in threads.
//
// Planes (H, W) of x and (Ho, Wo) of y; T is float, half or bfloat16, sums are float. An access of an image's row is V numbers, 4
// where rows are whole accesses, else 1; a thread has several. FLAT: a row of windows has one of pixels (sequences), so that
// nothing is added down.
#pragma once
#include "neighbours.cuh"
#include "windows.cuh"

constexpr int LINES = 256;  // rows of windows, or of pixels, that a block has at a time
constexpr int EACH = 8;     // of which a thread does so many together, when it adds along a row

template <int N> struct Constant {
    __device__ constexpr operator int() const { return N; }
};

// How many accesses a thread has in a row; each is `apart` numbers from the one before, and not there behind the row's end.
template <int V, bool FLAT> constexpr int ACCESSES = V == 1 || FLAT ? 4 : 2;

// Which of `width` ≤ THREADS neighbours a thread has, in the first of its rows, and how many rows of them there are threads for.
// `by_width` is ⌈2¹⁶ / width⌉; a thread without a place has a row behind all.
template <int THREADS> struct Lane {
    int row, column, rows;
    __device__ __forceinline__ Lane(int width, int by_width)
        : row(static_cast<int>(threadIdx.x) * by_width >> 16), rows(THREADS * by_width >> 16) {
        column = static_cast<int>(threadIdx.x) - row * width;
        if (row >= rows) row = LINES;
    }
};
