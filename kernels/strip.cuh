// Strips of an image, for pooling: a thread has V pixels across, in one access, and goes down ROWS rows of windows.
#pragma once
#include "windows.cuh"

constexpr int THREADS = 256;
constexpr int ROWS = 4;  // of windows

// A thread's pixels: V of a plane from `column` on, in the rows that windows `first` … first + ROWS − 1 are about. There are
// `items` strips, less than 2³¹, width/V to a row and `groups` rows of them to a plane.
template <int V> struct Strip {
    int chunk, chunks, first;
    long long plane;
    bool there;  // the last threads of all stand in for one before them, so that all may shuffle

    __device__ __forceinline__ Strip(int items, int width, int groups, unsigned long long by_chunks, unsigned long long by_groups) {
        const unsigned id = blockIdx.x * THREADS + threadIdx.x;
        there = id < static_cast<unsigned>(items);
        const int item = min(id, static_cast<unsigned>(items - 1)), line = quotient(item, by_chunks);
        chunks = width / V;
        chunk = item - line * chunks;
        plane = static_cast<unsigned>(quotient(line, by_groups));  // no sign to extend, which takes registers
        first = (line - static_cast<int>(plane) * groups) * ROWS;
    }
};
