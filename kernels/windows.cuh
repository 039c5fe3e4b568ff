// Windows that slide over an axis, for convolution and pooling: window o covers o·stride + i·dilation − before, i < taps.
//
// The windows that read one place are found in order. Where window o reads it with tap i, the next one that does is
// `apart` = dilation / gcd windows on and reads it with the tap `skip` = stride / gcd before, gcd being that of the two.
#pragma once
#include "common.cuh"

// n / d for 0 ≤ n < 2³¹ by a multiplication, with reciprocal = ⌊(2⁶⁴ − 1) / d⌋ = (2⁶⁴ − r) / d, 1 ≤ r ≤ d. Exact:
// (n + 1)·reciprocal / 2⁶⁴ is less than (n + 1)/d, but by no more than (n + 1)/2⁶⁴ < 1/d.
__device__ __forceinline__ int quotient(int n, unsigned long long reciprocal) {
    return static_cast<int>(__umul64hi(static_cast<unsigned long long>(n) + 1, reciprocal));
}

// The same for n·d < 2³², with reciprocal = ⌊(2³² − 1) / d⌋.
__device__ __forceinline__ int short_quotient(int n, unsigned reciprocal) {
    return static_cast<int>(__umulhi(static_cast<unsigned>(n) + 1, reciprocal));
}

// sum / count for a whole number of up to 24 bits and its inverse, rounded as a division is (but where what is left of the
// sum is below 2⁻¹²⁶), in a quarter of its instructions: the first product's error comes from one exact step.
__device__ __forceinline__ float divided(float sum, float count, float inverse) {
    const float product = sum * inverse, better = fmaf(fmaf(-product, count, sum), inverse, product);
    return fabsf(product) < INFINITY ? better : product;
}

// For the place `at` (index + before): the first window that reads it, by which tap, and how far from that window the last
// one may be (less than 0: no window reads it).
__device__ __forceinline__ void find_windows(int at, int taps, int stride, int dilation, int windows,
                                             unsigned long long by_stride, int& window, int& tap, int& room) {
    const int reach = dilation * (taps - 1), last = min(quotient(at, by_stride), windows - 1);
    window = at > reach ? quotient(at - reach + stride - 1, by_stride) : 0;
    tap = at - window * stride;
    if (dilation > 1) {
        while (window <= last && tap % dilation != 0) ++window, tap -= stride;  // fewer than `dilation` steps
        tap /= dilation;
    }
    room = last - window;
}

// --- maxima -----------------------------------------------------------------------------------------------------------
constexpr int NOBODY = 255;  // no pixel's tap

// What of a window has been read: the greatest, and which it was (the first, or the last NaN).
struct Best {
    float value;
    int tap;
    // v comes behind; `always`: there has been nothing yet.
    __device__ __forceinline__ void take(float v, int t, bool always = false) {
        const bool wins = always | (v > value) | isnan(v);  // no branches: neighbouring threads take different ones
        value = wins ? v : value;
        tap = wins ? t : tap;
    }
};
