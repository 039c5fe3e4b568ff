// Attention backward with Hopper's warpgroup products: a candidate for the place of attention_backward.cu on sm_90a.
//
// The mathematics of attention_backward.cu without masks other than j ≤ i and without dropout, for half and bfloat16, head
// sizes up to 128, in five products. A block owns 128 keys, two warpgroups 64 each, and walks over tiles of 64 queries, the
// last first, which a producer has copied (hopper.cuh). With X of the keys down and the queries across:
//
//     S = K Qᵀ    dP = V Gᵀ    P = exp(scale · S − lse)    dS = P ∘ (dP − delta)
//     grad_V += P G    grad_K += dS Q    grad_Q += scale · dSᵀ K
//
// P and dS go from registers to the products of grad_V and grad_K. For grad_Q, which sums over keys, both groups put dS into
// shared memory; each multiplies all of it by its half of the columns of K (head sizes up to 64: its own half of the keys).
//
// Deterministic: grad_Q is summed in float by blocks in the order of their keys. A block adds to a tile once `turns` says that
// those before it have. It waits only for blocks with lower tickets, which have begun before it, so all come to an end; and as
// all walk the same way, it seldom waits for long.
//
// Geometry: 384 threads, a warpgroup for the producer, two that compute; a block for 128 keys of a head.
// Shared memory: K, V, two pairs of Q and G, two of dS: 160 KiB for D = 128. Registers: D/2 of each gradient, 64 of S and dP,
// 16 of each of P and dS for each computing thread.
// Work: 10 B H L S D operations: 1.4 Tflop for B = 8, H = 16, L = S = 4096, D = 128, causal, in 2.8 ms at 500 Tflop/s; sums
// send S/128 times grad_Q in float to the L2 cache.
#include "attention_hopper.cuh"
#include "hopper.cuh"

constexpr int QUERIES = 64, STAGES = 2;
constexpr int STILL = ROWS * PANEL_ROW, MOVING = QUERIES * PANEL_ROW, SLOPES = ROWS * PANEL_ROW;  // bytes of a panel; of dS
constexpr int GROUP_THREADS = 128;

// dS, keys down, as two values of neighbouring queries at a time.
template <int N>
__device__ __forceinline__ void put_slopes(unsigned char* panel, const uint32_t (&grad_s)[N][4], int first) {
#pragma unroll
    for (int k = 0; k < N; ++k)
#pragma unroll
        for (int r = 0; r < 4; ++r) {
            const int row = first + r % 2 * 8 + GROUP, c = 2 * k + r / 2;
            *reinterpret_cast<uint32_t*>(panel + row * PANEL_ROW + ((c ^ row) & 7) * 16 + MEMBER * 4) = grad_s[k][r];
        }
}

template <typename T, int D>
__global__ void __launch_bounds__(3 * GROUP_THREADS, 1)
attention_backward_hopper(const __grid_constant__ TensorMap query, const __grid_constant__ TensorMap key,
                          const __grid_constant__ TensorMap value, const __grid_constant__ TensorMap grad_out, const float* lse,
                          const float* delta, float* grad_query, T* grad_key, T* grad_value, int* turns, int* ticket, int heads,
                          int group, int queries, int keys, int width, int value_width, float scale, bool causal) {
    constexpr int N = QUERIES / 8, STILL_TILE = D / 64 * STILL, MOVING_TILE = D / 64 * MOVING;
    extern __shared__ __align__(16) unsigned char memory[];
    __shared__ __align__(16) float statistics[STAGES][2][QUERIES];  // lse and delta of the tiles' rows
    __shared__ Mbarrier here[STAGES];
    __shared__ Mbarrier free[STAGES];
    __shared__ Mbarrier still_here;
    __shared__ int number;
    unsigned char* key_tile = memory + (-reinterpret_cast<unsigned long long>(memory) & (PANEL_STEP - 1));
    unsigned char* value_tile = key_tile + STILL_TILE;
    unsigned char* tiles = value_tile + STILL_TILE;
    unsigned char* slopes = tiles + STAGES * 2 * MOVING_TILE;

    if (threadIdx.x == 0) {
        number = atomicAdd(ticket, 1);
        mbarrier_init(&still_here, 1);
        for (int i = 0; i < STAGES; ++i) mbarrier_init(here + i, 1), mbarrier_init(free + i, 8);
        mbarrier_init_fence();
    }
    __syncthreads();
    const int blocks = static_cast<int>(ceil_div(keys, ROWS)), block = number % blocks, first = block * ROWS;
    const int own_heads = heads / group, b = number / blocks / own_heads, g = number / blocks % own_heads;
    const int all = static_cast<int>(ceil_div(queries, QUERIES)), each = max(0, all - (causal ? first / QUERIES : 0));
    const int total = each * group;  // tiles: of the members of the group, one after the other

    if (threadIdx.x < GROUP_THREADS) {
        fewer_registers<24>();
        if (threadIdx.x == 0 && total > 0) {
            const auto copy = [&](unsigned char* to, const TensorMap& from, int panel, int row, int head, Mbarrier* b_here) {
#pragma unroll
                for (int c = 0; c < D / 64; ++c) copy_box(to + c * panel, from, 64 * c, row, head, b, b_here);
            };
            mbarrier_expect(&still_here, 2 * STILL_TILE);
            copy(key_tile, key, STILL, first, g, &still_here);
            copy(value_tile, value, STILL, first, g, &still_here);
            for (int t = 0; t < total; ++t) {
                const int i = t % STAGES, h = g * group + t / each, row = (all - 1 - t % each) * QUERIES;
                const long long at = (b * heads + h) * ceil_div(queries, PAD) * PAD + row;
                unsigned char* to = tiles + i * 2 * MOVING_TILE;
                mbarrier_wait(free + i, (t / STAGES & 1) ^ 1);
                mbarrier_expect(here + i, 2 * MOVING_TILE + 2 * QUERIES * 4);
                copy(to, query, MOVING, row, h, here + i);
                copy(to + MOVING_TILE, grad_out, MOVING, row, h, here + i);
                copy_bytes(statistics[i][0], lse + at, QUERIES * 4, here + i);
                copy_bytes(statistics[i][1], delta + at, QUERIES * 4, here + i);
            }
        }
    } else {
        more_registers<240>();
        const int me = threadIdx.x / GROUP_THREADS - 1, own = threadIdx.x / 32 * 16 - GROUP_THREADS / 2, row = first + own;  // the warp's first
        const float factor = scale * LOG2_E;
        const Operand own_keys = operand(key_tile + me * 64 * PANEL_ROW, 0), own_values = own_keys + STILL_TILE;
        float grad_k[1][D / 8][4], grad_v[1][D / 8][4];
        clear(grad_k);
        clear(grad_v);
        if (total > 0) mbarrier_wait(&still_here, 0);
        for (int t = 0; t < total; ++t) {
            const int i = t % STAGES, h = g * group + t / each, tile = all - 1 - t % each;
            const unsigned char *q = tiles + i * 2 * MOVING_TILE, *of_out = q + MOVING_TILE;
            float s[N][4], grad_p[N][4], grad_q[1][8][4];
            uint32_t p[N / 2][4], grad_s[N / 2][4];
            mbarrier_wait(here + i, t / STAGES & 1);
            wgmma_fence();
            start_by_rows<T, D, STILL, MOVING>(s, own_keys, operand(q, 0));
            start_by_rows<T, D, STILL, MOVING>(grad_p, own_values, operand(of_out, 0));
            wgmma_wait<1>(s);
            hide<true>(s, row, tile * QUERIES, keys, causal);
#pragma unroll
            for (int e = 0; e < 4 * N; ++e) {
                const float log_of = statistics[i][0][e / 4 * 8 + 2 * MEMBER + e % 2] * LOG2_E;
                s[e / 4][e % 4] = exp2f(fmaf(s[e / 4][e % 4], factor, -log_of));
            }
            round_to<T>(p, s);
            wgmma_fence();
            start_adding<T>(grad_v[0], p, operand(of_out, MOVING));
            wgmma_commit();
            wgmma_wait<1>(grad_p);
#pragma unroll
            for (int e = 0; e < 4 * N; ++e)
                grad_p[e / 4][e % 4] = s[e / 4][e % 4] * (grad_p[e / 4][e % 4] - statistics[i][1][e / 4 * 8 + 2 * MEMBER + e % 2]);
            round_to<T>(grad_s, grad_p);
            unsigned char* panel = slopes + t % 2 * SLOPES;  // of the other, products may still be under way
            put_slopes(panel, grad_s, own);
            fence_async_proxy();
            barrier_sync(3, 2 * GROUP_THREADS);

            wgmma_fence();
            if constexpr (D == 128)
                start_columns<T, ROWS>(grad_q[0], operand(panel, 0), operand(key_tile + me * STILL, 0));
            else
                start_columns<T, ROWS / 2>(grad_q[0], operand(panel + me * 64 * PANEL_ROW, 0), own_keys);
            wgmma_commit();
            start_adding<T>(grad_k[0], grad_s, operand(q, MOVING));
            wgmma_commit();
            wgmma_wait<1>(grad_q[0]);
            const int turn = D == 128 ? block : 2 * block + me, column = D == 128 ? me : 0;
            int* flag = turns + ((b * heads + h) * all + tile) * 2 + column;
            if (threadIdx.x % GROUP_THREADS == 0) wait_until(flag, turn);
            barrier_sync(1 + me, GROUP_THREADS);
            float* to = grad_query + (static_cast<long long>(b) * queries * heads + h) * width + column * 64;
            add_rows(to, static_cast<long long>(heads) * width, tile * QUERIES + own % 64, queries, width - column * 64, grad_q, scale);
            __threadfence();
            barrier_sync(1 + me, GROUP_THREADS);
            if (threadIdx.x % GROUP_THREADS == 0) announce(flag, turn + 1);
            wgmma_wait<0>(grad_k[0]);
            wgmma_wait<0>(grad_v[0]);
            __syncwarp();
            if (LANE == 0) mbarrier_arrive(free + i);
        }
        const float k_scale[2] = {scale, scale}, v_scale[2] = {1, 1};
        const long long to = static_cast<long long>(b) * keys * own_heads + g, stride = own_heads;
        store_rows(grad_key + to * width, stride * width, row, keys, width, grad_k, k_scale);
        store_rows(grad_value + to * value_width, stride * value_width, row, keys, value_width, grad_v, v_scale);
    }
}
