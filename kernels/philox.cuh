// Philox4x64-10: four random 64-bit words from a counter and a key, the same as NumPy's, in any order, from any thread.
//
// Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. `backend/array/random.py` defines the stream: block b
// is Philox of the 256-bit counter b + 1 under the 128-bit key `seed`; draws of 32 bits take the low half of each word,
// then the high half. A block costs 10 rounds of two 64 × 64 → 128-bit products, of which the first has one and the second one
// that depends on the key alone: about 172 instructions where a thread computes several, and 40 for the keys' schedule.
#pragma once
#include "common.cuh"

struct Philox4x64 {
    unsigned long long w[4];

    // The i-th of the block's eight 32-bit draws; i is a compile-time constant wherever the loop around it is unrolled.
    __device__ __forceinline__ uint32_t half(int i) const {
        return static_cast<uint32_t>(i & 1 ? w[i / 2] >> 32 : w[i / 2]);
    }
};

// Blocks `first`, `first + apart`, … of the stream of the seed key1·2⁶⁴ + key0; the last is before 2⁶⁴ − 1. N of them share
// the keys' schedule and one product of round two, whose word is the key alone.
template <int N>
__device__ __forceinline__ void philox_blocks(Philox4x64 (&out)[N], unsigned long long first, unsigned long long apart,
                                              unsigned long long key0, unsigned long long key1) {
    constexpr unsigned long long M0 = 0xD2E7470EE14C6C93ull, M1 = 0xCA5A826395121157ull;
    constexpr unsigned long long W0 = 0x9E3779B97F4A7C15ull, W1 = 0xBB67AE8584CAA73Bull;  // golden ratio, √3 − 1
#pragma unroll
    for (int k = 0; k < N; ++k) out[k] = {{first + k * apart + 1, 0, 0, 0}};
#pragma unroll
    for (int round = 0; round < 10; ++round) {
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const Philox4x64 c = out[k];
            out[k] = {{__umul64hi(M1, c.w[2]) ^ c.w[1] ^ key0, M1 * c.w[2], __umul64hi(M0, c.w[0]) ^ c.w[3] ^ key1, M0 * c.w[0]}};
        }
        key0 += W0;
        key1 += W1;
    }
}

// Block `b` of that stream.
__device__ __forceinline__ Philox4x64 philox_block(unsigned long long b, unsigned long long key0, unsigned long long key1) {
    Philox4x64 block[1];
    philox_blocks(block, b, 0, key0, key1);
    return block[0];
}

// The first block of a draw. A CUDA graph has `counter` from its capture baked in; each replay then draws anew because
// the graph's owner keeps in `*advance` how many blocks have been used since (null: none).
__device__ __forceinline__ unsigned long long first_block(unsigned long long counter, const unsigned long long* advance) {
    return advance ? counter + *advance : counter;
}
