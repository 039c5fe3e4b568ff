// Convolution as a matrix product: im2col, its adjoint col2im, and the sum over images and pixels (gradient of a bias).
//
//     im2col   columns[(c, i, j), p] = image[n, c, h·S + i·D − P, w·S + j·D − P], 0 outside the image
//     col2im   image[n, c, y, x] = bias[c] + Σ columns[(c, i, j), p] over the i, j and p that read this pixel
//
// p = (n·Ho + h)·Wo + w counts output positions, i < KH and j < KW the kernel's taps. Both take a range of positions or of
// pixels, so that a batch goes through in pieces and the columns of all of it never exist. With KH = KW = S = 1, P = 0
// they are the transposition (N, C, pixels) ↔ (C, positions), and col2im is what adds a bias to a product.
//
// Layout: images (N, C, H, W) with columns (C·KH·KW, pitch). T is float, half or bfloat16. What col2im adds is float, whatever
// the image: products leave their sums in it, so that half precision is rounded once. It adds in the order of the windows, each
// pixel by one thread: no atomics, always the same bits.
//
// Geometry: a thread of im2col has 4 positions, THREADS apart (so that a warp's are neighbours), of every channel that
// blockIdx.y comes to, one of col2im a pixel of 4 channels at a time (4 loads under way); index arithmetic is shared by the channels.
// Counters of positions, pixels and taps within one piece fit 31 bits (the launcher sees to it); offsets have 64.
//
// Cost: im2col writes KH·KW·C values per position and reads each pixel from memory once (the other KH·KW − 1 times from
// cache); col2im reads and writes the same, of columns in float. A 3 × 3 kernel, 64 channels, 256 images of 56 × 56 in
// bfloat16: 925 MB of columns and 103 MB of image, 0.24 ms at 4.3 TB/s; back, of 1850 MB of columns, 0.45 ms. The product
// that uses the columns reads them once more (0.22 ms) for its 2·64·576·802816 = 59 GFLOP (0.075 ms at 790 TFLOP/s): such a
// convolution is bound by its columns; `implicit_gemm.cu` has none.
#include "windows.cuh"

constexpr int THREADS = 256;
constexpr int EACH = 4;  // positions, channels or sums that a thread works on together
constexpr int NOWHERE = -(1 << 30);  // a row that no tap brings inside an image

// `image` begins with the image that position 0 is in; the columns are those of positions [first, first + positions), and
// zeros up to `pitch`, a multiple of 4.
template <typename T>
__global__ void __launch_bounds__(THREADS)
im2col(const T* __restrict__ image, T* __restrict__ columns, int channels, int height, int width, int output_h, int output_w,
       int kernel_h, int kernel_w, int stride_h, int stride_w, int top, int left, int dilation_h, int dilation_w,
       unsigned long long by_output, unsigned long long by_output_w, int first, int positions, int pitch) {
    const int p = blockIdx.x * THREADS * EACH + threadIdx.x;
    const long long area = static_cast<long long>(height) * width;
    int row[EACH], column[EACH];
    long long corner[EACH];  // offset of each window's first tap in channel 0; may be outside
#pragma unroll
    for (int e = 0; e < EACH; ++e) {
        const int at = first + p + e * THREADS, n = quotient(at, by_output), rest = at - n * output_h * output_w;
        const int h = quotient(rest, by_output_w), w = rest - h * output_w;
        row[e] = p + e * THREADS < positions ? h * stride_h - top : NOWHERE;
        column[e] = w * stride_w - left;
        corner[e] = static_cast<long long>(n) * channels * area + static_cast<long long>(row[e]) * width + column[e];
    }
    for (int c = blockIdx.y; c < channels; c += gridDim.y) {
        T* to = columns + static_cast<long long>(c) * kernel_h * kernel_w * pitch + p;
        for (int i = 0; i < kernel_h; ++i) {
            const int down = i * dilation_h;
            const T* from = image + c * area + static_cast<long long>(down) * width;
            for (int j = 0; j < kernel_w; ++j, to += pitch) {
                const int across = j * dilation_w;
                T taps[EACH];
#pragma unroll
                for (int e = 0; e < EACH; ++e) {
                    const bool inside = static_cast<unsigned>(row[e] + down) < static_cast<unsigned>(height) &&
                                        static_cast<unsigned>(column[e] + across) < static_cast<unsigned>(width);
                    taps[e] = inside ? from[corner[e] + across] : from_float<T>(0.0f);
                }
#pragma unroll
                for (int e = 0; e < EACH; ++e)
                    if (p + e * THREADS < pitch) to[e * THREADS] = taps[e];
            }
        }
    }
}

// `image` begins with the image that pixel 0 is in; written are pixels [start, start + pixels) of every channel. Column 0
// is that of position `first`, counted from the same image, and all that read those pixels are there. Of the windows that
// read one pixel, neighbours are apart_h, apart_w windows and skip_h, skip_w taps apart (see windows.cuh).
template <typename T>
__global__ void __launch_bounds__(THREADS, 4)
col2im(const float* __restrict__ columns, const T* __restrict__ bias, T* __restrict__ image, int channels, int height, int width,
       int output_h, int output_w, int kernel_h, int kernel_w, int stride_h, int stride_w, int top, int left,
       int dilation_h, int dilation_w, int apart_h, int apart_w, int skip_h, int skip_w, unsigned long long by_area,
       unsigned long long by_width, unsigned long long by_stride_h, unsigned long long by_stride_w, int first, int start,
       int pixels, int pitch) {
    const int pixel = blockIdx.x * THREADS + threadIdx.x;
    if (pixel >= pixels) return;
    const int n = quotient(start + pixel, by_area), rest = start + pixel - n * height * width;
    const int y = quotient(rest, by_width), x = rest - y * width;
    int h, w, i, j, room_h, room_w;
    find_windows(y + top, kernel_h, stride_h, dilation_h, output_h, by_stride_h, h, i, room_h);
    find_windows(x + left, kernel_w, stride_w, dilation_w, output_w, by_stride_w, w, j, room_w);
    const long long area = static_cast<long long>(height) * width, plane = static_cast<long long>(kernel_h) * kernel_w * pitch;
    const long long next_row = static_cast<long long>(apart_h) * output_w - static_cast<long long>(skip_h) * kernel_w * pitch;
    const long long next_column = apart_w - static_cast<long long>(skip_w) * pitch;
    columns += static_cast<long long>(i * kernel_w + j) * pitch + ((n * output_h + h) * output_w + w - first);
    image += static_cast<long long>(n) * channels * area + rest;
    for (int c = blockIdx.y * EACH; c < channels; c += gridDim.y * EACH) {
        float sum[EACH];
        long long from[EACH];
#pragma unroll
        for (int e = 0; e < EACH; ++e) {
            const bool is_there = c + e < channels;  // past the end: the first one again, not stored
            from[e] = is_there ? e * plane : 0;
            sum[e] = bias && is_there ? to_float(bias[c + e]) : 0.0f;
        }
        const float* row = columns + c * plane;
        for (int a = 0; a <= room_h; a += apart_h, row += next_row) {
            const float* entry = row;
            for (int b = 0; b <= room_w; b += apart_w, entry += next_column) {
#pragma unroll
                for (int e = 0; e < EACH; ++e) sum[e] += entry[from[e]];
            }
        }
#pragma unroll
        for (int e = 0; e < EACH; ++e)
            if (c + e < channels) image[(c + e) * area] = from_float<T>(sum[e]);
    }
}

// --- bias ------------------------------------------------------------------------------------------------------------
// partial[s, c] = Σ of g (N, C, pixels) over channel c of images [s·images, (s + 1)·images): block (c, s). Then the sums of
// the partial sums, in order.
// WIDE: 16 bytes at a time, of rows of pixels that they divide; `pixels` is how many such pieces a row has.
template <typename T, bool WIDE>
__global__ void __launch_bounds__(THREADS, 6)
channel_sums(const T* __restrict__ g, float* __restrict__ partial, int batch, int channels, int pixels, int images,
             unsigned long long by_pixels) {
    constexpr int N = WIDE ? VECTOR<T> : 1;
    const int c = blockIdx.x, start = blockIdx.y * images, count = min(images, batch - start) * pixels;
    const long long gap = static_cast<long long>(channels - 1) * pixels;  // between this channel in neighbouring images
    const T* from = g + (static_cast<long long>(start) * channels + c) * pixels * N;
    float sum[EACH] = {};
#pragma unroll 1
    for (int at = threadIdx.x; at < count; at += EACH * THREADS) {
        Vec<T, N> v[EACH];
#pragma unroll
        for (int e = 0; e < EACH; ++e) {
            const int k = at + e * THREADS;
            if (k < count) v[e] = load<N>(from + (k + quotient(k, by_pixels) * gap) * N);
        }
#pragma unroll
        for (int e = 0; e < EACH; ++e) {
            float x[N];
            to_floats(x, v[e]);
#pragma unroll
            for (int i = 0; i < N; ++i)
                if (at + e * THREADS < count) sum[e] += x[i];
        }
    }
    const float total = block_sum<THREADS>((sum[0] + sum[1]) + (sum[2] + sum[3]));
    if (threadIdx.x == 0) partial[static_cast<long long>(blockIdx.y) * channels + c] = total;
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
sum_partials(const float* __restrict__ partial, T* __restrict__ sums, int channels, int parts) {
    const int c = blockIdx.x * THREADS + threadIdx.x;
    if (c >= channels) return;
    float sum = 0.0f;
    for (int s = 0; s < parts; ++s) sum += partial[static_cast<long long>(s) * channels + c];
    sums[c] = from_float<T>(sum);
}
