// The gradient of `pooling_maxima.cu`, for windows 1 apart.
//
//     grad_x[y, x] = Σ g of the windows that have it as their maximum: over each column of windows from above, then over columns
//                    from the right
//
// Sums down columns are those of `pooling_sums.cuh`, one addition for a window, whatever KH. Along a row of pixels, those with their
// maximum in the same pixel follow each other, too: a thread goes along it, from its end, with one sum under way, and leaves that at
// the pixel. A block has tiles of images side by side in shared memory, where a row begins in another bank.
//
// Planes (H, W) of grad_x and (Ho, Wo) of g; T is float, half or bfloat16. Launch: `tiles`, less than 2³¹, `together` of them to a block
// of 256 threads, each of `rows` × `columns` pixels and `span` words of a row, with room for `slack` rows of neighbours on either side.
//
// Cost: bytes, 2·sizeof(T) + 1 a pixel, and 53 instructions, whatever the windows: 16 for a column's sums, 14 for a row's, 4 to write
// them, some for rows and columns left over, which few sizes have. 6.45 a byte are hidden, 58 in float and 32 in half precision. There
// shared memory takes 1.2 times as long as the bytes, too: a thread's two windows lie side by side, so a warp's sums lie two words apart.
// Windows of 5 columns have `pooling_narrow_backward.cu` where they may. Without shared memory, as `pooling_running.cu` goes down a
// column, a window's sum would move to one of K registers, by K selections, and a pixel take K additions on condition: 40
// instructions for each row gone through by 5 × 5 windows and 50 by 7 × 7, where 32 rows of pixels are 36: no less than here.
#include "pooling_sums.cuh"

constexpr int LINE = 289;  // words between the rows of a block's tiles

// V neighbours are read and written at a time.
template <typename T, int V>
__global__ void __launch_bounds__(SUMMING, 4)
window_maxima_gradient(const T* __restrict__ g, const unsigned char* __restrict__ taps, T* __restrict__ grad_x, int tiles, int together,
                       int rows, int columns, int span, int down, int across, int height, int width, int output_h, int output_w,
                       int kernel_h, int kernel_w, int top, int left, int windows, int slack, int back, int by_kernel,
                       unsigned long long by_down, unsigned long long by_across, unsigned by_windows, unsigned by_rows, unsigned by_columns) {
    gradient<LINE, V>(g, taps, grad_x, tiles, together, rows, columns, span, down, across, height, width, output_h, output_w, kernel_h,
                      kernel_w, 1, 1, top, left, windows, slack, back, by_kernel, by_down, by_across, by_windows, by_rows, by_columns);
}
