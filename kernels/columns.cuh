// Columns of an image, for pooling: a thread goes down DOWN rows of windows (or of what they are about), neighbouring threads have
// neighbouring columns, and what two of them need of a row comes by a shuffle. Nothing need lie on 16 bytes.
#pragma once
#include "windows.cuh"

constexpr int BLOCK = 256;
constexpr unsigned MINUS_INFINITY = 0xff800000;

__device__ __forceinline__ bool within(int place, int size) { return static_cast<unsigned>(place) < static_cast<unsigned>(size); }

// Whether a thread's whole warp is behind the last of the items.
__device__ __forceinline__ bool is_behind(int items) {
    return blockIdx.x * BLOCK + threadIdx.x - LANE >= static_cast<unsigned>(items);
}

// The place of a thread: its column out of `columns`, the first of its rows, and its plane, which has `groups` times DOWN rows.
template <int DOWN> struct Place {
    int column, columns, first, plane;
    bool there;  // the last threads of all stand in for one before them, so that all may shuffle

    __device__ __forceinline__ Place(int items, int columns, int groups, unsigned long long by_columns, unsigned long long by_groups)
        : columns(columns) {
        const unsigned id = blockIdx.x * BLOCK + threadIdx.x;
        there = id < static_cast<unsigned>(items);
        const int item = there ? static_cast<int>(id) : items - 1, line = quotient(item, by_columns);
        column = item - line * columns;
        plane = quotient(line, by_groups);
        first = (line - plane * groups) * DOWN;
    }
};

// The bytes of a row. The compiler must not see what of: else it adds up indices, and takes two instructions more to make an
// address of each.
template <typename T> __device__ __forceinline__ long long pitch_of(int width) {
    long long bytes = static_cast<long long>(width) * static_cast<int>(sizeof(T));
#ifndef WEFT_EMULATOR
    asm("" : "+l"(bytes));
#endif
    return bytes;
}

// The same place of the next row.
template <typename T> __device__ __forceinline__ T* onward(T* from, long long pitch) { return (T*)((char*)from + pitch); }

// N neighbours in each row of a plane of `height`, from row `first` on: the first OWN are the thread's, and k · OWN of them later begin
// those of the thread that is k · STEP columns on. Where that is in another warp or row, the thread reads them itself. Rows are
// counted from the first, and none but those before the ABOVE-th may be above the plane.
template <int N, int OWN, int STEP, int ABOVE> struct Neighbours {
    int first;
    int rows[N];  // of each neighbour the thread reads itself so many: to the plane's end, or none
    unsigned strange[N];

    template <int DOWN, typename Inside>
    __device__ __forceinline__ Neighbours(const Place<DOWN>& mine, int first, int height, Inside inside) : first(first) {
#pragma unroll
        for (int j = 0; j < N; ++j) {
            const int apart = j / OWN * STEP;
            const bool is_shared = within(static_cast<int>(LANE) + apart, 32) && within(mine.column + apart, mine.columns);
            strange[j] = is_shared ? 0 : ~0u;
            rows[j] = inside(j) && (apart == 0 || !is_shared) ? height - first : 0;
        }
    }
    __device__ __forceinline__ bool reads(int j, int row) const { return row < rows[j] && (row >= ABOVE || first + row >= 0); }
    // The j-th of them, given the j % OWN-th of this thread's own: anything, or `other`, where it must read it itself. All
    // threads call it.
    template <typename Number> __device__ __forceinline__ Number shuffle(Number v, int j) const {
        const int apart = j / OWN * STEP;
        return apart > 0 ? __shfl_down_sync(FULL, v, apart) : __shfl_up_sync(FULL, v, -apart);
    }
    __device__ __forceinline__ unsigned share(unsigned v, int j, unsigned other) const {
        return (shuffle(v, j) & ~strange[j]) | (other & strange[j]);
    }
    __device__ __forceinline__ float share(float v, int j, unsigned other) const {
        return __uint_as_float(share(__float_as_uint(v), j, other));
    }
    // Numbers of a row from `from` on, `other` (given as bits) where the row or the column is not there.
    template <typename T> __device__ __forceinline__ void read(float (&v)[N], const T* from, int row, unsigned other) const {
        constexpr int NEXT = STEP > 0 ? 1 : -1;
#pragma unroll
        for (int j = 0; j < OWN; ++j) v[j] = reads(j, row) ? to_float(from[j * NEXT]) : __uint_as_float(other);
#pragma unroll
        for (int j = OWN; j < N; ++j) v[j] = share(v[j % OWN], j, other);
#pragma unroll
        for (int j = OWN; j < N; ++j)
            if (reads(j, row)) v[j] = to_float(from[j * NEXT]);
    }
};
