// Windows that slide over an axis, for convolution and pooling: window o covers o·stride + i·dilation − before, i < taps.
//
// The windows that read one place are found in order. Where window o reads it with tap i, the next one that does is
// `apart` = dilation / gcd windows on and reads it with the tap `skip` = stride / gcd before, gcd being that of the two.
#pragma once
#include "common.cuh"

// n / d for 0 ≤ n < 2³¹ and 1 ≤ d ≤ 2³¹ in three instructions: the lower half of `reciprocal` is m = ⌈2^(31 + l) / d⌉, its upper
// half l = ⌈log₂ d⌉, so that 2³¹ ≤ m < 2³². Exact: m is too great by e/d with e < d ≤ 2^l, so that n·m / 2^(31 + l) is too great
// by n·e / (d·2^(31 + l)) < 1/d, and no whole number lies between n/d and that.
__device__ __forceinline__ int quotient(int n, unsigned long long reciprocal) {
    return static_cast<int>(__umulhi(2u * n, static_cast<unsigned>(reciprocal)) >> static_cast<unsigned>(reciprocal >> 32));
}

// The same for n·d < 2³² in two, with reciprocal = ⌊(2³² − 1) / d⌋.
__device__ __forceinline__ int short_quotient(int n, unsigned reciprocal) {
    return static_cast<int>(__umulhi(static_cast<unsigned>(n) + 1, reciprocal));
}

// sum / count for a whole number of up to 24 bits and its inverse, rounded as a division is (but where what is left of the
// sum is below 2⁻¹²⁶), in a quarter of its instructions: the first product's error comes from one exact step.
__device__ __forceinline__ float divided(float sum, float count, float inverse) {
    const float product = sum * inverse, better = fmaf(fmaf(-product, count, sum), inverse, product);
    return fabsf(product) < INFINITY ? better : product;
}

// 1 / count for a whole number, without a division's branches: an approximation and one step, which rounds as that does but for rare
// counts.
__device__ __forceinline__ float inverse_of(float count) {
#ifdef WEFT_EMULATOR
    return 1 / count;
#else
    float first;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(first) : "f"(count));
    return fmaf(fmaf(-first, count, 1.0f), first, first);
#endif
}

// For the place `at` (index + before): the first window that reads it, by which tap, and how far from that window the last
// one may be (less than 0: no window reads it).
__device__ __forceinline__ void find_windows(int at, int taps, int stride, int dilation, int windows,
                                             unsigned long long by_stride, int& window, int& tap, int& room) {
    const int reach = dilation * (taps - 1), last = min(quotient(at, by_stride), windows - 1);
    window = at > reach ? quotient(at - reach - 1, by_stride) + 1 : 0;  // with + stride − 1 it might be beyond 31 bits
    tap = at - window * stride;
    if (dilation > 1) {
        while (window <= last && tap % dilation != 0) ++window, tap -= stride;  // fewer than `dilation` steps
        tap /= dilation;
    }
    room = last - window;
}

// What of an axis of `size` each place of another has: those from ⌊(step i + first)/d⌋ − shift to ⌊(step i + last)/d⌋ − shift that
// are there. Windows have their elements so, and elements the windows that have them; windows.py tells the numbers.
struct Ranges {
    int step, first, last, shift, size;
    unsigned long long by;  // reciprocal of d
    __device__ __forceinline__ int at(int i, int offset) const { return quotient(max(i * step + offset, 0), by) - shift; }
    __device__ __forceinline__ int begin(int i) const { return max(at(i, first), 0); }
    __device__ __forceinline__ int end(int i) const { return min(at(i, last), size); }
    // How many elements of window i count: those of the padding, too, if `padded`, but never what a window has beyond it.
    __device__ __forceinline__ float counted(int i, bool padded) const {
        return static_cast<float>(padded ? min(at(i, last), size + shift) - at(i, first) : end(i) - begin(i));
    }
};

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

// For gradients: the sum with another number where the bits have this one. So written, the compiler moves all bits that are asked for
// to predicates by one instruction.
template <int BIT> __device__ __forceinline__ void add_where(unsigned bits, float& sum, float v) {
#ifdef WEFT_EMULATOR
    if (bits >> BIT & 1) sum += v;
#else
    asm("{ .reg .pred is_set; .reg .b32 bit; and.b32 bit, %1, %3; setp.ne.u32 is_set, bit, 0; @is_set add.f32 %0, %0, %2; }"
        : "+f"(sum)
        : "r"(bits), "f"(v), "n"(1 << BIT));
#endif
}
