// Pixels with their places in a window, for maxima: which is the greatest of two, and what a window's maximum says.
//
// In half precision a pixel and its place are one whole number (`Key`): the greatest is the maximum, and the first of equals. NaN do
// not fit in: whoever makes keys finds out whether there are any, and looks for them when all else is done. Of float, a pixel and its
// place are apart (`Best`).
#pragma once
#include "columns.cuh"

constexpr int LAST = 0xffff;  // the mark of the first place: the next has 2 less
constexpr int NOTHING = -2147483647 - 1;

// The upper halves of both: one instruction, of which the compiler makes two.
__device__ __forceinline__ unsigned upper(unsigned a, unsigned b) {
#ifdef WEFT_EMULATOR
    return a >> 16 | (b & 0xffff0000);
#else
    return __byte_perm(a, b, 0x7632);
#endif
}

template <typename T> constexpr int INFINITE = 0x7c00;  // as bits
template <> constexpr int INFINITE<__nv_bfloat16> = 0x7f80;

// 16 bits of value and their place as a number that is greater where the value is, or where it is the same and comes first.
struct Key {
    int bits;
    // Of the value that is the upper half of a word, whatever the lower half.
    static __device__ __forceinline__ Key of(int word, int mark) { return {((word & 0x7fff0000) ^ word >> 31) + mark}; }
    // The value, as the upper half of a word.
    __device__ __forceinline__ unsigned word() const {
        int word = bits;
#ifdef WEFT_EMULATOR
        if (word % 2 == 0) word = 0x8000ffff - word;
#else  // two instructions, of which the compiler makes four
        asm("{ .reg .b32 odd; .reg .pred is_even; and.b32 odd, %0, 1; setp.eq.s32 is_even, odd, 0; @is_even sub.s32 %0, 0x8000ffff, %0; }"
            : "+r"(word));
#endif
        return word;
    }
};
__device__ __forceinline__ void take(Key& best, const Key& next) { best.bits = max(best.bits, next.bits); }
__device__ __forceinline__ void take(Best& best, const Best& next) { best.take(next.value, next.tap); }

template <typename Found> __device__ __forceinline__ void take(Found (&best)[4], const Found (&next)[4]) {
#pragma unroll
    for (int k = 0; k < 4; ++k) take(best[k], next[k]);
}

// Of four windows the maxima, and which they were: `first` is the first place of the first window, and `inside` of each the
// first tap in the image, when `above` is added.
template <typename T>
__device__ __forceinline__ void tell(const Key (&best)[4], int first, int, const int (&)[4], Vec<T, 4>& values, Vec<unsigned char, 4>& taps) {
    unsigned bits[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        bits[k] = best[k].word();
        taps.at[k] = static_cast<unsigned char>(LAST / 2 - first - k - (best[k].bits >> 1));
    }
    const unsigned words[2] = {upper(bits[0], bits[1]), upper(bits[2], bits[3])};
    memcpy(&values, words, 8);
}

__device__ __forceinline__ void tell(const Best (&best)[4], int first, int above, const int (&inside)[4], Vec<float, 4>& values,
                                     Vec<unsigned char, 4>& taps) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        values.at[k] = best[k].value;
        taps.at[k] = static_cast<unsigned char>(best[k].value == -INFINITY ? above + inside[k] : best[k].tap - first - k);
    }
}

// The last NaN of the window whose first pixel has this row and column; less than 0: there is none.
template <typename T>
__device__ __forceinline__ int last_nan(const T* plane, int row, int column, int height, int width, int kernel_h, int kernel_w) {
    int last = -1;
    for (int t = 0; t < kernel_h * kernel_w; ++t) {
        const int h = row + t / kernel_w, w = column + t % kernel_w;
        if (within(h, height) && within(w, width) && isnan(to_float(plane[h * width + w]))) last = t;
    }
    return last;
}
