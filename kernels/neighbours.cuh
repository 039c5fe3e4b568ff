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

template <int N, typename T> __device__ __forceinline__ void write_neighbours(T* y, const float (&from)[N]) {
    constexpr int WIDTH = N < VECTOR<T> ? N : VECTOR<T>;
#pragma unroll
    for (int i = 0; i < N; i += WIDTH) {
        Vec<T, WIDTH> v;
#pragma unroll
        for (int k = 0; k < WIDTH; ++k) v.at[k] = from_float<T>(from[i + k]);
        store(y + i, v);
    }
}
