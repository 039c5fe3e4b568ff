// Maxima of K × K windows, 1 apart, in registers: along a row by shuffles, down a column from one row to the next.
#pragma once
#include "pooling_places.cuh"

constexpr int V = 4;  // pixels across

// How many rows apart the maxima are that step s joins, and how many steps there are: 1 + Σ apart = K. TURN rows later, everything
// is in the same registers again.
__host__ __device__ constexpr int steps(int kernel) { return kernel == 3 ? 2 : kernel == 5 ? 3 : kernel == 13 ? 5 : 4; }
__host__ __device__ constexpr int apart(int kernel, int step) {
    constexpr int of_5[] = {1, 2, 1}, of_7[] = {1, 2, 1, 2}, of_9[] = {1, 2, 4, 1}, of_13[] = {1, 2, 4, 4, 1};
    return kernel <= 5 ? of_5[kernel == 3 ? 2 * step : step] : kernel == 7 ? of_7[step] : kernel == 9 ? of_9[step] : of_13[step];
}
constexpr int TURN = 4;  // rows that are read together
__host__ __device__ constexpr int joined(int kernel) {
    int rows = 1;
    for (int s = 0; s < steps(kernel); ++s) rows += apart(kernel, s);
    return rows;
}

// --- four pixels of a row -----------------------------------------------------------------------------------------------
template <typename T> struct Pixels {
    using Found = Key;
    static constexpr bool ANY_ORDER = true;  // of what is joined: the greatest is the same, and so it is if some are joined twice
    unsigned words[2];
    static __device__ __forceinline__ Key nothing() { return {NOTHING}; }
    // What is less than any pixel.
    __device__ __forceinline__ void pad() { words[0] = words[1] = ~0u; }
    __device__ __forceinline__ void read(const T* from) {
        const Vec<T, V> pixels = load<V>(from);
        memcpy(words, &pixels, 8);
    }
    __device__ __forceinline__ void put(Key (&to)[V], int place) const {
        const int mark = LAST - 2 * place;
#pragma unroll
        for (int k = 0; k < V; ++k) to[k] = Key::of(k % 2 ? words[k / 2] : words[k / 2] << 16, mark - 2 * k);
    }
    static __device__ __forceinline__ Key shuffle(Key v, int lane) { return {__shfl_sync(FULL, v.bits, lane)}; }
    // Of both halves of words the greater, or NaN if one is.
    static __device__ __forceinline__ unsigned greater(unsigned a, unsigned b) {
#ifdef WEFT_EMULATOR
        unsigned both = 0;
        for (int shift = 0; shift < 32; shift += 16) {
            const bool keep = (a >> shift & 0x7fff) > INFINITE<T>;  // the only thing that is asked for
            both |= ((keep ? a : b) >> shift & 0xffff) << shift;
        }
        return both;
#else
        if constexpr (INFINITE<T> == INFINITE<__half>) asm("max.NaN.f16x2 %0, %0, %1;" : "+r"(a) : "r"(b));
        else asm("max.NaN.bf16x2 %0, %0, %1;" : "+r"(a) : "r"(b));
        return a;
#endif
    }
};

template <> struct Pixels<float> {
    using Found = Best;
    static constexpr bool ANY_ORDER = false;  // of equals the first that is joined stays
    static __device__ __forceinline__ Best nothing() { return {-INFINITY, 0}; }
    Vec<float, V> pixels;
    __device__ __forceinline__ void pad() { pixels = {{-INFINITY, -INFINITY, -INFINITY, -INFINITY}}; }
    __device__ __forceinline__ void read(const float* from) { pixels = load<V>(from); }
    __device__ __forceinline__ void put(Best (&to)[V], int place) const {
#pragma unroll
        for (int k = 0; k < V; ++k) to[k] = {pixels.at[k], place + k};
    }
    static __device__ __forceinline__ Best shuffle(Best v, int lane) {
        return {__shfl_sync(FULL, v.value, lane), __shfl_sync(FULL, v.tap, lane)};
    }
};

// Whether there was a NaN in what has been read.
template <typename T> struct Seen {
    unsigned greatest = 0;  // of both halves of words; a NaN stays
    __device__ __forceinline__ void add(const Pixels<T>& row) {
#pragma unroll
        for (int i = 0; i < 2; ++i) greatest = Pixels<T>::greater(greatest, row.words[i]);
    }
    __device__ __forceinline__ bool has_nan() const {
        return (greatest & 0x7fff) > INFINITE<T> || (greatest >> 16 & 0x7fff) > INFINITE<T>;
    }
};

template <> struct Seen<float> {  // comparisons do not lose it
    __device__ __forceinline__ void add(const Pixels<float>&) {}
    __device__ __forceinline__ bool has_nan() const { return false; }
};

// Where a thread is in its row of `chunks`.
struct InRow {
    int at, count;
};

// How many of the V pixels of the thread `d` to the left (or to the right: d < 0) are in window k; they are its last (first) ones.
template <int K> __host__ __device__ constexpr int shared_with(int d, int k) {
    const int many = d > 0 ? K / 2 - k - (d - 1) * V : k + K / 2 - V + 1 - (-d - 1) * V;
    return many < 0 ? 0 : many > V ? V : many;
}

// Along a row: of four windows the maxima. All threads call it.
template <int K, typename Row, typename Found = typename Row::Found>
__device__ __forceinline__ void across(Found (&best)[V], const InRow& chunk) {
    constexpr int BESIDE = (K / 2 + V - 1) / V;
    Found first[V + 1], last[V + 1];  // the maxima of so many pixels
    first[1] = best[0];
    last[1] = best[V - 1];
#pragma unroll
    for (int n = 2; n <= V; ++n) {
        first[n] = first[n - 1];
        take(first[n], best[n - 1]);
        last[n] = best[V - n];
        take(last[n], last[n - 1]);
    }
    last[V] = first[V];
    bool begun[V] = {};
    const auto join = [&](const Found (&some)[V + 1], int d) {
        const bool is_there = d > 0 ? chunk.at >= d : chunk.at - d < chunk.count;
        const int lane = is_there ? LANE - d : LANE;  // its own pixels do no harm where the window has them anyway
#pragma unroll
        for (int n = 1; n <= V; ++n) {
            bool is_needed = false, is_inside = Row::ANY_ORDER;
#pragma unroll
            for (int k = 0; k < V; ++k) {
                if (shared_with<K>(d, k) != n) continue;
                is_needed = true;
                is_inside &= d > 0 ? k + K / 2 >= V - 1 : k <= K / 2;
            }
            if (!is_needed) continue;
            Found theirs = Row::shuffle(some[n], lane);
            if (!is_inside && !is_there) theirs = Row::nothing();
#pragma unroll
            for (int k = 0; k < V; ++k) {
                if (shared_with<K>(d, k) != n) continue;
                if (begun[k]) take(best[k], theirs);
                else best[k] = theirs;
                begun[k] = true;
            }
        }
    };
#pragma unroll
    for (int d = BESIDE; d > 0; --d) join(last, d);
#pragma unroll
    for (int k = 0; k < V; ++k) {
        const Found own = k > K / 2 ? last[V - k + K / 2] : k + K / 2 < V - 1 ? first[k + K / 2 + 1] : first[V];
        if (begun[k]) take(best[k], own);
        else best[k] = own;
        begun[k] = true;
    }
#pragma unroll
    for (int d = 1; d <= BESIDE; ++d) join(first, -d);
}

// A maximum that the compiler is to keep, and not to make once more of what it is the maximum of.
__device__ __forceinline__ void keep(Key& a) {
#ifndef WEFT_EMULATOR
    asm("" : "+r"(a.bits));
#endif
}
__device__ __forceinline__ void keep(Best&) {}

// Down a column: of K rows the maxima, given those of the i-th row of a turn.
template <int K, typename Found> __device__ __forceinline__ void down(Found (&best)[V], Found (&kept)[K - 1][V], int i) {
    int begin = 0;
#pragma unroll
    for (int s = 0; s < steps(K); ++s) {
        Found(&before)[V] = kept[begin + i % apart(K, s)];
        begin += apart(K, s);
#pragma unroll
        for (int k = 0; k < V; ++k) {
            Found joined = before[k];
            take(joined, best[k]);
            before[k] = best[k];
            best[k] = joined;
            if (s + 1 < steps(K)) keep(best[k]);
        }
    }
}
