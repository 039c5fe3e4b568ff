// Images in another order of memory: channels last, and as many as a copy of 16 bytes moves or a multiple of that.
//
//     to[n, p, c] = from[n, c, p] for c < C, 0 for C ≤ c < `padded`, a multiple of 8
//
//     pixel_pairs   to[n, y, p, q, c] = from[n, c, y, 2·p + q − front] for q < 2, c < 4, where there is one, 0 elsewhere
//
// from (N, C, pixels), to (N, pixels, padded), or (N, H, pairs, 8), half or bfloat16.
//
// Geometry: a block of four warps has 64 pixels of 64 channels, through shared memory: read in rows of pixels, 16 bytes at a
// time where their number allows, written in rows of channels. `ldmatrix` turns round 8 × 8 values at a time; the channels
// it is given are in such an order that each lane gets 8 neighbours. With 8 channels or fewer, each thread has one pixel, or a pair. With
// few pixels, as weights have, a block has 256 channels of them all, which lie together.
//
// Cost: memory is read once and written once. 256 images of 64 × 56 × 56: 206 MB, 0.05 ms at 4.3 TB/s.
#include "ptx.cuh"
#include "windows.cuh"

constexpr int THREADS = 128;

// Eight pixels of a channel in a tile of 64 of each. The rows that `ldmatrix` reads together (below) lie in all 32 banks.
template <typename T> __device__ __forceinline__ T* turned(T* tile, int row, int c) {
    return tile + row * 64 + (c ^ (row / 8 % 4 * 2 + row % 2)) * 8;
}

// `vector`: rows of pixels begin at multiples of 16 bytes.
template <typename T>
__global__ void __launch_bounds__(THREADS)
channel_last(const T* __restrict__ from, T* __restrict__ to, int channels, int padded, int pixels, bool vector) {
    __shared__ __align__(16) T tile[64 * 64];
    const int across = static_cast<int>(ceil_div(pixels, 64)), down = static_cast<int>(ceil_div(padded, 64));
    const int pixel = blockIdx.x % across * 64, channel = blockIdx.x / across % down * 64, n = blockIdx.x / across / down;
    from += (static_cast<long long>(n) * channels + channel) * pixels + pixel;
    const int rows = channels - channel, columns = pixels - pixel;  // that are there
    if (vector) {
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            const int row = threadIdx.x / 8 + k * THREADS / 8, c = threadIdx.x % 8;
            Vec<T, 8> v = {};
            if (row < rows && c * 8 < columns) v = load<8>(from + static_cast<long long>(row) * pixels + c * 8);
            store(turned(tile, row, c), v);
        }
    } else {
#pragma unroll 8
        for (int k = 0; k < 32; ++k) {
            const int row = threadIdx.x / 64 + k * THREADS / 64, c = threadIdx.x % 64;
            const bool there = row < rows && c < columns;
            turned(tile, row, c / 8)[c % 8] = there ? from[static_cast<long long>(row) * pixels + c] : from_float<T>(0.0f);
        }
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        const int first = threadIdx.x / 32 % 2 * 32, eight = k * 2 + threadIdx.x / 64;  // channels, pixels
        const int row = first + LANE % 8 / 2 * 8 + LANE / 8 * 2 + LANE % 2;
        Vec<uint32_t, 4> v;
        ldmatrix_x4_trans(v.at, turned(tile, row, eight));
        const int p = pixel + eight * 8 + LANE / 4, c = channel + first + LANE % 4 * 8;
        if (p < pixels && c < padded)
            store(reinterpret_cast<uint32_t*>(to + (static_cast<long long>(n) * pixels + p) * padded + c), v);
    }
}

// 8 channels or fewer; `count` pixels in all.
template <typename T>
__global__ void __launch_bounds__(THREADS)
few_channels_last(const T* __restrict__ from, T* __restrict__ to, int channels, long long pixels, long long count) {
    const long long at = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    if (at >= count) return;
    const T* x = from + (at / pixels * (channels - 1) * pixels + at);
    Vec<T, 8> v;
#pragma unroll
    for (int c = 0; c < 8; ++c) v.at[c] = c < channels ? x[c * pixels] : from_float<T>(0.0f);
    store(to + at * 8, v);
}

// `count` pairs in all; `whole`: of pixels that are all there and begin at multiples of 4 bytes.
template <typename T>
__global__ void __launch_bounds__(THREADS)
pixel_pairs(const T* __restrict__ from, T* __restrict__ to, int channels, int height, int width, int pairs, int front,
            unsigned long long by_area, unsigned long long by_pairs, int count, bool whole) {
    const int at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= count) return;
    const int n = quotient(at, by_area), rest = at - n * height * pairs;
    const long long pixels = static_cast<long long>(height) * width;
    const T* x = from + n * channels * pixels;
    Vec<T, 8> v = {};
    if (whole) {
#pragma unroll
        for (int c = 0; c < 4; ++c) {
            if (c >= channels) break;
            const Vec<T, 2> pair = load<2>(x + c * pixels + 2 * rest);
            v.at[c] = pair.at[0], v.at[4 + c] = pair.at[1];
        }
    } else {
        const int y = quotient(rest, by_pairs), first = 2 * (rest - y * pairs) - front;
        x += static_cast<long long>(y) * width + first;
#pragma unroll
        for (int c = 0; c < 4; ++c) {
            if (c < channels && first >= 0) v.at[c] = x[c * pixels];
            if (c < channels && first + 1 < width) v.at[4 + c] = x[c * pixels + 1];
        }
    }
    store(to + at * 8ll, v);
}

// Few pixels, and channels a multiple of 8: 8·`chunks` channels in all, counted through the images, ROWS of them to a block. In
// shared memory a word lies behind each 8 channels, so that the same pixel of neighbouring chunks is in different banks.
constexpr int ROWS = 256;

template <typename T>
__global__ void __launch_bounds__(THREADS)
few_pixels_last(const T* __restrict__ from, T* __restrict__ to, int channels, int pixels, long long chunks) {
    extern __shared__ __align__(16) unsigned char memory[];
    uint32_t* const words = reinterpret_cast<uint32_t*>(memory);
    const long long first = static_cast<long long>(blockIdx.x) * (ROWS / 8);
    const int here = static_cast<int>(min(chunks - first, static_cast<long long>(ROWS / 8))), pitch = 4 * pixels + 1;  // words of 8 channels
    from += first * 8 * pixels;
    for (int at = threadIdx.x; at < here * pixels; at += THREADS) {  // 8 values, of the same 8 channels
        const Vec<uint32_t, 4> v = load<4>(reinterpret_cast<const uint32_t*>(from + at * 8));
        const int chunk = at / pixels;
#pragma unroll
        for (int k = 0; k < 4; ++k) words[chunk * pitch + (at - chunk * pixels) * 4 + k] = v.at[k];
    }
    __syncthreads();
    const T* const tile = reinterpret_cast<const T*>(memory);
    const int of_image = channels / 8;
    for (int at = threadIdx.x; at < here * pixels; at += THREADS) {
        const int p = at / here, chunk = at - p * here;
        const long long place = first + chunk, n = place / of_image, c = place - n * of_image;
        Vec<T, 8> v;
#pragma unroll
        for (int j = 0; j < 8; ++j) v.at[j] = tile[chunk * 2 * pitch + j * pixels + p];
        store(to + ((n * pixels + p) * of_image + c) * 8, v);
    }
}
