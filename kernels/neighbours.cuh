// N neighbours in memory as floats in registers: moved 16 bytes at a time, or N·sizeof(T) where that is less.
//
// A kernel's threads take as many neighbours as fill 16 bytes, where these are all there and their arrays begin on 16
// bytes; otherwise (at the end, and in views that begin anywhere) one neighbour after the other.
#pragma once
#include "common.cuh"

__device__ __forceinline__ bool on_16_bytes(const void* p) { return reinterpret_cast<unsigned long long>(p) % 16 == 0; }

template <int N, typename T> __device__ __forceinline__ void read_neighbours(float (&to)[N], const T* x) {
    constexpr int WIDTH = N < VECTOR<T> ? N : VECTOR<T>;
#pragma unroll
    for (int i = 0; i < N; i += WIDTH) to_floats(to + i, load<WIDTH>(x + i));
}

// `store`, as words: of 16-bit numbers the compiler at times makes several accesses.
template <typename T, int N> __device__ __forceinline__ void store_at_once(T* to, const Vec<T, N>& v) {
    if constexpr (sizeof(v) > 4) {
        Vec<uint32_t, sizeof(v) / 4> words;
        memcpy(&words, &v, sizeof(v));
        store(reinterpret_cast<uint32_t*>(to), words);
    } else store(to, v);
}

template <int N, typename T> __device__ __forceinline__ void write_neighbours(T* y, const float (&from)[N]) {
    constexpr int WIDTH = N < VECTOR<T> ? N : VECTOR<T>;
#pragma unroll
    for (int i = 0; i < N; i += WIDTH) {
        Vec<T, WIDTH> v;
#pragma unroll
        for (int k = 0; k < WIDTH; ++k) v.at[k] = from_float<T>(from[i + k]);
        store_at_once(y + i, v);
    }
}

// Each lane of a warp holds N neighbours, the next lane the next N. They are dealt anew: neighbours 32·i + W·lane + (0 … W − 1) of
// the warp's are now v[i … i + W − 1], so that what the lanes move at a time, W = 16 bytes each, lies together. `tile` has
// room for all 32·N. Every other eight of its pieces change places in pairs: then eight lanes that write every second piece
// meet in no bank.
template <int N, int W, typename V> __device__ __forceinline__ void deal(V (&v)[N], Vec<V, W>* tile) {
    static_assert(N == 2 * W, "two pieces to a lane");
    const auto place = [tile](int piece) { return tile[piece ^ (piece >> 3 & 1)].at; };
    Vec<V, W> moved;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        memcpy(&moved, v + W * i, sizeof(moved));
        store(place(2 * LANE + i), moved);
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        moved = load<W>(place(32 * i + LANE));
        memcpy(v + W * i, &moved, sizeof(moved));
    }
    __syncwarp();
}

// Eight neighbouring lanes each have a part of four sums; lanes 2 r and 2 r + 1 get the r-th. Half of what twelve shuffles
// would bring nobody keeps: four do.
__device__ __forceinline__ float four_sums(const float (&part)[4]) {
    const bool upper = LANE & 4, odd = LANE & 2;
    const float low = (upper ? part[2] : part[0]) + __shfl_xor_sync(FULL, upper ? part[0] : part[2], 4);
    const float high = (upper ? part[3] : part[1]) + __shfl_xor_sync(FULL, upper ? part[1] : part[3], 4);
    const float sum = (odd ? high : low) + __shfl_xor_sync(FULL, odd ? low : high, 2);
    return sum + __shfl_xor_sync(FULL, sum, 1);
}

// Of four neighbouring lanes, each with four words, lane m gets the m-th of all, in the lanes' order.
__device__ __forceinline__ void turn(uint32_t (&words)[4]) {
#pragma unroll
    for (int apart = 1; apart < 4; apart *= 2)
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            if (k & apart) continue;
            const bool upper = LANE & apart;
            const uint32_t got = __shfl_xor_sync(FULL, upper ? words[k] : words[k + apart], apart);
            (upper ? words[k] : words[k + apart]) = got;
        }
}
