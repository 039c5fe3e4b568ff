// Tiles of images side by side in shared memory, for maxima: pixels with their places, and what takes their place, row by row.
//
// Four windows of a row that follow each other have K − 3 pixels in common, which are compared once, and three more on either side:
// K + 3 are read for four, not 4 K.
#pragma once
#include "pooling_places.cuh"

constexpr int PITCH = 292;  // words between the rows of a block's tiles: rows begin in other banks, as far as 16 bytes can

// What a block has of its tiles: pixels, then for each row of these the maxima of its windows, in the same place. Padding is less
// than any pixel, or (float) −∞, whose windows have no other.
template <typename T> struct Shared {
    using Found = Key;
    int* keys;
    int greatest, least;  // of the pixels

    __device__ __forceinline__ Shared(void* memory, int) : keys(static_cast<int*>(memory)), greatest(NOTHING), least(~NOTHING) {}
    __device__ __forceinline__ void clear(int at) { store(keys + at, Vec<int, 4>{{NOTHING, NOTHING, NOTHING, NOTHING}}); }
    // V pixels of a row, and the marks of their places.
    template <int V> __device__ __forceinline__ void put(int at, const Vec<T, V>& pixels, const int (&marks)[V], int row) {
        Vec<int, V> key;
        unsigned word = 0;
        memcpy(&word, &pixels, sizeof(pixels));
#pragma unroll
        for (int k = 0; k < V; ++k) {
            const int bits = k + 1 < V || V == 1 ? word << 16 : word;
            key.at[k] = Key::of(bits, marks[k] - row).bits;
        }
        greatest = max(greatest, max(key.at[0], key.at[V - 1]));
        least = min(least, min(key.at[0], key.at[V - 1]));
        store(keys + at, key);
    }
    __device__ __forceinline__ bool has_nan() const {
        constexpr int infinity = INFINITE<T> << 16;
        return greatest >= infinity + 0x10000 || least < -infinity;
    }
    static __device__ __forceinline__ Key nothing() { return {NOTHING}; }
    // Four neighbours.
    __device__ __forceinline__ void read_row(Key (&to)[4], int at, int) const {
        const Vec<int, 4> v = load<4>(keys + at);
#pragma unroll
        for (int i = 0; i < 4; ++i) to[i].bits = v.at[i];
    }
    __device__ __forceinline__ void read_column(Key (&to)[4], int at, int) const {
        const Vec<int, 4> v = load<4>(keys + at);
#pragma unroll
        for (int i = 0; i < 4; ++i) to[i].bits = v.at[i];
    }
    __device__ __forceinline__ void write_row(int at, const Key (&best)[4]) {
        store(keys + at, Vec<int, 4>{{best[0].bits, best[1].bits, best[2].bits, best[3].bits}});
    }
};

template <> struct Shared<float> {
    using Found = Best;
    float* values;
    unsigned char* columns;

    __device__ __forceinline__ Shared(void* memory, int size)
        : values(static_cast<float*>(memory)), columns(reinterpret_cast<unsigned char*>(values + size)) {}
    __device__ __forceinline__ void clear(int at) {
        store(values + at, Vec<float, 4>{{-INFINITY, -INFINITY, -INFINITY, -INFINITY}});
        store(columns + at, Vec<unsigned char, 4>{});
    }
    template <int V> __device__ __forceinline__ void put(int at, const Vec<float, V>& pixels, const int (&)[V], int) { store(values + at, pixels); }
    __device__ __forceinline__ bool has_nan() const { return false; }  // that would not be seen
    static __device__ __forceinline__ Best nothing() { return {-INFINITY, 0}; }
    __device__ __forceinline__ void read_row(Best (&to)[4], int at, int column) const {
        const Vec<float, 4> v = load<4>(values + at);
#pragma unroll
        for (int i = 0; i < 4; ++i) to[i] = {v.at[i], column + i};
    }
    __device__ __forceinline__ void read_column(Best (&to)[4], int at, int place) const {
        Vec<float, 4> v;
        Vec<unsigned char, 4> column;
        v = load<4>(values + at), column = load<4>(columns + at);
#pragma unroll
        for (int i = 0; i < 4; ++i) to[i] = {v.at[i], place + column.at[i]};
    }
    __device__ __forceinline__ void write_row(int at, const Best (&best)[4]) {
        Vec<float, 4> v;
        Vec<unsigned char, 4> column;
#pragma unroll
        for (int i = 0; i < 4; ++i) v.at[i] = best[i].value, column.at[i] = static_cast<unsigned char>(best[i].tap);
        store(values + at, v);
        store(columns + at, column);
    }
};

// Along a row, four windows of K = `more` + REST pixels at a time, `more` being a multiple of 4. All four have pixels 3 to K − 1: of
// those the others are taken one after the other, backwards and forwards.
template <int REST, typename T> __device__ __forceinline__ void slide_row(Shared<T>& shared, int at, int columns, int more) {
    using Found = typename Shared<T>::Found;
#pragma unroll 1
    for (int o = 0; o < columns; o += 4, at += 4) {
        Found best[4], next[8], some[4];
        shared.read_row(best, at, o);
        Found common = best[3];
        if (REST < 3 || more) {
#pragma unroll
            for (int i = 2; i >= 0; --i) take(best[i], best[i + 1]);
#pragma unroll 1
            for (int apart = 4; apart < more; apart += 4) {
                shared.read_row(some, at + apart, o + apart);
#pragma unroll
                for (int i = 0; i < 4; ++i) take(common, some[i]);
            }
#pragma unroll
            for (int apart = 0; apart < (REST > 1 ? 8 : 4); apart += 4) {
                shared.read_row(some, at + more + apart, o + more + apart);
#pragma unroll
                for (int i = 0; i < 4; ++i) next[apart + i] = some[i];
            }
#pragma unroll
            for (int i = 0; i < REST; ++i) take(common, next[i]);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                if (i > 0) take(common, next[REST + i - 1]);
                take(best[i], common);
            }
        } else {  // K = 3
            shared.read_row(some, at + 4, o + 4);
            take(best[0], best[1]);
            take(best[0], best[2]);
            take(best[1], best[2]);
            take(best[1], common);
            take(best[2], common);
            take(best[2], some[0]);
            take(best[3], some[0]);
            take(best[3], some[1]);
        }
        shared.write_row(at, best);
    }
}
