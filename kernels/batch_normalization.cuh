// How batch and group normalisation walk over x (N, C, S), S being the product of the spatial axes.
//
// Data are float, half or bfloat16 (T); parameters and statistics of a batch are of the same type or float (P), all other
// statistics and sums float.
//
// Layout. A channel is walked in units of V elements, one access each: V = 16 / sizeof(T) where S is a multiple of it,
// otherwise 1. `lanes` threads of a warp (a power of two) share a channel, the other lanes have the next channels; the 8
// warps of a block share channels too if `across`. So 32 lanes suit long planes, few suit short ones and S = 1, where
// neighbouring lanes read neighbouring channels. gridDim.y slices share a channel's units; they are chosen by the shape
// alone: same shape, same bits.
//
// x in channel-last memory is (N · S, C, 1). Where C is a multiple of 16 / sizeof(T) a unit is V channels of one pixel
// (LAST): the walk is one over C / V channels of size V, and each thread keeps V statistics or sums.
#pragma once
#include "common.cuh"

constexpr int WARPS = 8;  // of a block
template <int V, bool LAST> constexpr int UNITS = V == 1 ? 8 : LAST ? 2 : 4;  // in flight, of one thread

// The units that a thread visits, `left` in number, one after another: (sample, unit) of its channel, first element `offset`.
template <int V> struct ChannelWalk {
    int channel, sample, unit, left, step_samples, step_units;
    unsigned units;
    long long offset, jump, wrap;

    __device__ __forceinline__ ChannelWalk(int samples, int channels, int size, int lanes, bool across) {
        const int warp = threadIdx.x / 32, step = across ? WARPS * lanes : lanes;
        channel = (across ? blockIdx.x : blockIdx.x * WARPS + warp) * (32 / lanes) + LANE / lanes;
        units = size / V;
        const unsigned count = samples * units, span = (count + gridDim.y - 1) / gridDim.y;  // less than 2³¹, as the launcher knows
        const unsigned first = span * blockIdx.y + (across ? warp * lanes : 0) + LANE % lanes;
        const unsigned end = min(count, span * (blockIdx.y + 1));
        left = channel < channels && first < end ? (end - first + step - 1) / static_cast<unsigned>(step) : 0;
        sample = first / units;
        unit = first - sample * units;
        offset = ((long long)sample * channels + channel) * size + unit * V;
        step_samples = static_cast<unsigned>(step) / units;
        step_units = step - step_samples * units;
        jump = (long long)step_samples * channels * size + step_units * V;
        wrap = (long long)(channels - 1) * size;
    }

    // Stays at the last: so that what is loaded need not be chosen, which costs registers, but only whether it counts.
    __device__ __forceinline__ void next() {
        if (--left <= 0) return;
        sample += step_samples;
        unit += step_units;
        offset += jump;
        if (unit >= static_cast<int>(units)) {
            unit -= units;
            ++sample;
            offset += wrap;
        }
    }
};
