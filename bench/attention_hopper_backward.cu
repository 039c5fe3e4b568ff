// Attention backward with Hopper's warpgroup products: a candidate for the place of attention_backward.cu on sm_90a.
//
// The mathematics of attention_backward.cu without masks other than j ≤ i and without dropout, for half and bfloat16, head
// sizes up to 128; deterministic, as there: each gradient has one owner, and scores are computed twice. Both passes are one
// kernel. A block owns 128 rows of X and Y, and walks over tiles of 64 rows of U and W:
//
//     KEYS   X = K, Y = V, U = Q, W = G:   S = X Uᵀ, dP = Y Wᵀ (transposed),   grad_Y += P W, grad_X += dS U
//     else   X = Q, Y = G, U = K, W = V:   S = X Uᵀ, dP = Y Wᵀ,                grad_X += dS U
//
// with P = exp(scale · S − lse) and dS = P ∘ (dP − delta), which go from registers to the next product. What a tile adds to the
// gradients is computed beside the next tile's S and dP, while P is made of the latter: it has one of three stages, of
// which the third is being filled.
//
// Geometry: 256 threads, two warpgroups of 64 rows each. Shared memory: 2 tiles of 128 rows, 6 of 64: 160 KiB for D = 128.
// Registers: 64 of S and dP, D/2 of each gradient, 16 of each of P and dS for each thread.
// Work: as attention_backward.cu, 14 B H L S D operations: 1.9 Tflop for B = 8, H = 16, L = S = 4096, D = 128, causal, in
// 3.8 ms at 500 Tflop/s.
#include "attention_hopper.cuh"

constexpr int COLUMNS = 64, STAGES = 3;
constexpr int STILL = ROWS * PANEL_ROW, MOVING = COLUMNS * PANEL_ROW;  // bytes of a panel

template <typename T, int D, bool KEYS>
__global__ void __launch_bounds__(THREADS, 1)
attention_backward_hopper(const T* x_data, const T* y_data, const T* u_data, const T* w_data, const float* lse,
                          const float* delta, T* grad_x, T* grad_y, long long x_batch, long long x_head, long long x_row,
                          long long y_batch, long long y_head, long long y_row, long long u_batch, long long u_head,
                          long long u_row, long long w_batch, long long w_head, long long w_row, int heads, int group,
                          int queries, int keys, int width, int value_width, float scale, bool causal) {
    constexpr int N = COLUMNS / 8, STILL_TILE = D / 64 * STILL, MOVING_TILE = D / 64 * MOVING;
    extern __shared__ __align__(16) unsigned char memory[];
    __shared__ __align__(16) float statistics[STAGES][2][COLUMNS];  // KEYS: lse and delta of the tiles' rows
    unsigned char* x_tile = memory + (-reinterpret_cast<unsigned long long>(memory) & (PANEL_STEP - 1));
    unsigned char* y_tile = x_tile + STILL_TILE;
    unsigned char* tiles = y_tile + STILL_TILE;

    const int rows = KEYS ? keys : queries, own_heads = KEYS ? heads / group : heads;
    const int blocks = static_cast<int>(ceil_div(rows, ROWS)), place = blockIdx.x % blocks;
    const int first = (!KEYS && causal ? blocks - 1 - place : place) * ROWS;  // those with most to do come first
    const int b = blockIdx.x / blocks / own_heads, h = blockIdx.x / blocks % own_heads;
    const int warp_row = threadIdx.x / 32 * 16, row = first + warp_row;
    const Matrix<T> x{x_data + b * x_batch + h * x_head, x_row, rows, width};
    const Matrix<T> y{y_data + b * y_batch + h * y_head, y_row, rows, value_width};
    const float factor = scale * LOG2_E;
    const int start = KEYS && causal ? first : 0, end = KEYS ? queries : causal ? min(keys, first + ROWS) : keys;
    const int each = max(0, static_cast<int>(ceil_div(end - start, COLUMNS))), total = KEYS ? each * group : each;
    const long long padded = ceil_div(queries, PAD) * PAD;

    // Tile t of U and W; KEYS: of the members of the group, one after the other, with their lse and delta.
    const auto fetch = [&](int t) {
        const int at = start + t % each * COLUMNS, other = KEYS ? h * group + t / each : h / group;
        const Matrix<T> u{u_data + b * u_batch + other * u_head, u_row, KEYS ? queries : keys, width};
        const Matrix<T> w{w_data + b * w_batch + other * w_head, w_row, KEYS ? queries : keys, value_width};
        unsigned char* to = tiles + t % STAGES * 2 * MOVING_TILE;
        load_panels<D, COLUMNS>(to, u, at);
        load_panels<D, COLUMNS>(to + MOVING_TILE, w, at);
        const int c = threadIdx.x % (COLUMNS / 4) * 4, which = threadIdx.x / (COLUMNS / 4);
        if (KEYS && which < 2) cp_async_16(&statistics[t % STAGES][which][c], (which ? delta : lse) + (b * heads + other) * padded + at + c);
    };
    float x_acc[1][D / 8][4], y_acc[1][D / 8][4], log_sum[2] = {}, centre[2] = {};
    uint32_t p[N / 2][4], grad_s[N / 2][4];
    clear(x_acc);
    if constexpr (KEYS) clear(y_acc);
    if constexpr (!KEYS) {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            const long long at = (b * heads + h) * padded + row + 8 * r + GROUP;
            log_sum[r] = lse[at] * LOG2_E;
            centre[r] = delta[at];
        }
    }

    float s[1][N][4], grad_p[1][N][4];
    const unsigned char *x_rows = x_tile + threadIdx.x / 128 * 64 * PANEL_ROW, *y_rows = x_rows + STILL_TILE;

    // Wait for tile t, have the next one fetched, and start its S and dP.
    const auto begin = [&](int t) {
        const unsigned char* u_tile = tiles + t % STAGES * 2 * MOVING_TILE;
        cp_async_wait<0>();
        fence_async_proxy();
        __syncthreads();  // the tile is here, and nobody needs the one before the last any more
        if (t + 1 < total) fetch(t + 1);
        cp_async_commit();
        wgmma_fence();
        start_by_rows<T, D, STILL, MOVING>(s[0], operand(x_rows, 0), operand(u_tile, 0));
        start_by_rows<T, D, STILL, MOVING>(grad_p[0], operand(y_rows, 0), operand(u_tile + MOVING_TILE, 0));
    };
    // Start what P and dS of tile t add to the gradients.
    const auto add = [&](int t) {
        const unsigned char* u_tile = tiles + t % STAGES * 2 * MOVING_TILE;
        if constexpr (KEYS) start_adding<T>(y_acc[0], p, operand(u_tile + MOVING_TILE, MOVING));
        start_adding<T>(x_acc[0], grad_s, operand(u_tile, MOVING));
        wgmma_commit();
    };
    // P and dS of tile t, for which registers are free once the gradients of the one before are there.
    const auto finish = [&](int t) {
        const int at = start + t % each * COLUMNS;
        wgmma_wait<2>(s[0]);
        hide<KEYS>(s[0], row, at, keys, causal);
#pragma unroll
        for (int i = 0; i < 4 * N; ++i) {
            const float log_of = KEYS ? statistics[t % STAGES][0][i / 4 * 8 + 2 * MEMBER + i % 2] * LOG2_E : log_sum[i % 4 / 2];
            s[0][i / 4][i % 4] = exp2f(fmaf(s[0][i / 4][i % 4], factor, -log_of));
        }
        wgmma_wait<1>(grad_p[0]);
#pragma unroll
        for (int i = 0; i < 4 * N; ++i) {
            const float shift = KEYS ? statistics[t % STAGES][1][i / 4 * 8 + 2 * MEMBER + i % 2] : centre[i % 4 / 2];
            grad_p[0][i / 4][i % 4] = s[0][i / 4][i % 4] * (grad_p[0][i / 4][i % 4] - shift);
        }
        wgmma_wait<0>(x_acc[0]);
        if constexpr (KEYS) {
            wgmma_wait<0>(y_acc[0]);
            round_to<T>(p, s[0]);
        }
        round_to<T>(grad_s, grad_p[0]);
    };

    load_panels<D, ROWS>(x_tile, x, first);
    load_panels<D, ROWS>(y_tile, y, first);
    if (total > 0) fetch(0);
    cp_async_commit();
    if (total > 0) {
        begin(0);
        wgmma_commit();  // a group of nothing, in the place of the gradients
        finish(0);
        for (int t = 1; t < total; ++t) {
            begin(t);
            add(t - 1);
            finish(t);
        }
        wgmma_fence();
        add(total - 1);
        wgmma_wait<0>(x_acc[0]);
        if constexpr (KEYS) wgmma_wait<0>(y_acc[0]);
    }
    cp_async_wait<0>();
    const float x_scale[2] = {scale, scale}, y_scale[2] = {1, 1};
    const long long to = static_cast<long long>(b) * rows * own_heads + h, stride = own_heads;
    store_rows(grad_x + to * width, stride * width, row, rows, width, x_acc, x_scale);
    if constexpr (KEYS)
        store_rows(grad_y + to * value_width, stride * value_width, row, rows, value_width, y_acc, y_scale);
}
