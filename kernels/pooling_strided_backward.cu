// The gradient of maxima by windows of whatever stride, where no kernel is for their size: as `pooling_maxima_backward.cu` has it for windows 1
// apart.
//
//     grad_x[y, x] = Σ g of the windows that have it as their maximum: over each column of windows from above, then over columns
//                    from the right
//
// The sum of a column of windows lies where the first pixel of its windows' row has its place (`pooling_sums.cuh`), so that sums of
// neighbouring columns are a stride apart, and what is between them is 0.
//
// Planes (H, W) of grad_x and (Ho, Wo) of g; T is float, half or bfloat16. Launch: `tiles`, less than 2³¹, `together` of them to a block
// of 256 threads, each of `rows` × `columns` pixels and `span` words of a row, with room for `slack` rows of neighbours on either side.
//
// Cost: bytes, sizeof(T)·(1 + 1/S²) + 1/S² a pixel, and instructions, whatever the windows: 16 for a window's sum down its column, 14 in each
// of the S rows of pixels that may have it, 4 or 5 to write a pixel. By 7 × 7 windows 2 apart they are 5.8 a byte in float, 8.9 in
// bfloat16, where 6.45 are hidden.
#include "pooling_sums.cuh"

constexpr int LINE = 289;  // words between the rows of a block's tiles

// N neighbours are read and written at a time.
template <typename T, int N>
__global__ void __launch_bounds__(SUMMING, 4)
strided_maxima_gradient(const T* __restrict__ g, const unsigned char* __restrict__ taps, T* __restrict__ grad_x, int tiles, int together,
                        int rows, int columns, int span, int down, int across, int height, int width, int output_h, int output_w,
                        int kernel_h, int kernel_w, int stride_h, int stride_w, int top, int left, int windows, int slack, int back,
                        int by_kernel, unsigned long long by_down, unsigned long long by_across, unsigned by_windows, unsigned by_rows, unsigned by_columns) {
    gradient<LINE, N>(g, taps, grad_x, tiles, together, rows, columns, span, down, across, height, width, output_h, output_w, kernel_h,
                      kernel_w, stride_h, stride_w, top, left, windows, slack, back, by_kernel, by_down, by_across, by_windows, by_rows, by_columns);
}
