// Attention forward with Hopper's warpgroup products: a candidate for the place of attention.cu on sm_90a.
//
// The same mathematics, layout and results as attention.cu where it is PLAIN (no mask but j ≤ i, no dropout), for half and
// bfloat16, head sizes up to 128. `mma.sync` reaches about two thirds of what Hopper's tensor cores can do, and has every
// operand pass through registers; `wgmma` reads shared memory by itself, and computes while the threads do something else.
// So everything here overlaps (FlashAttention-3's schedule; Shah et al., 2024):
//
//     producer     one thread, which has tiles of keys and values copied to a ring of shared memory as room is freed
//     consumers    two warpgroups of 64 queries each, in turn: one has its products computed while the other makes P of S
//     within one   S ← Q Kⱼᵀ and O += P Vⱼ₊₁ are under way together; the softmax waits for the first of them only
//
// Tiles are walked from the last to the first, so that only the one before the loop needs a mask. The ring holds them in the
// order of use: K of the last, then K of each and V of the one before, V of the first. Tile i lies at i % STAGES, and is there
// in the ring's round i / STAGES.
//
// Geometry: 384 threads, a warpgroup for the producer, two that consume; a block of 128 queries of a head, as in attention.cu.
// Shared memory: 5 tiles of 128 rows, 160 KiB for D = 128. Registers: 64 of S, D/2 of O, 32 of P for each consuming thread.
// Work: as attention.cu. B = 8, H = 16, L = S = 4096, D = 128, causal: 0.55 Tflop, 0.9 ms at 600 Tflop/s.
#include "attention_hopper.cuh"
#include "hopper.cuh"

constexpr int COLUMNS = 128, STAGES = 4;
constexpr int PANEL = ROWS * PANEL_ROW;  // bytes of 64 columns of a tile
constexpr int CONSUMERS = 2, GROUP_THREADS = 128;

// One step of the online softmax: scores s become p; the maxima and the lanes' parts of the sums follow.
__device__ __forceinline__ void softmax(float (&s)[16][4], float (&maximum)[2], float (&sum)[2], float (&correction)[2],
                                        float factor) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        float top = maximum[r];
#pragma unroll
        for (int n = 0; n < 16; ++n) top = fmaxf(top, fmaxf(s[n][2 * r], s[n][2 * r + 1]));
        top = fmaxf(top, __shfl_xor_sync(FULL, top, 1));
        top = fmaxf(top, __shfl_xor_sync(FULL, top, 2));
        const float shift = top == -INFINITY ? 0.0f : top * factor;  // −∞ − −∞ would be NaN
        correction[r] = exp2f(fmaf(maximum[r], factor, -shift));
        maximum[r] = top;
        sum[r] *= correction[r];
#pragma unroll
        for (int n = 0; n < 16; ++n)
#pragma unroll
            for (int e = 2 * r; e < 2 * r + 2; ++e) sum[r] += s[n][e] = exp2f(fmaf(s[n][e], factor, -shift));
    }
}

// The ring: `here` tells consumers that a tile has come, `free` the producer that both have used what was there before.
struct Ring {
    unsigned char* tiles;
    Mbarrier *here, *free;
};

// Wait for tile i, which comes next; say that it is used.
template <int TILE> __device__ __forceinline__ Operand take(const Ring& ring, int i, int panel) {
    mbarrier_wait(ring.here + i % STAGES, i / STAGES & 1);
    return operand(ring.tiles + i % STAGES * TILE, panel);
}
__device__ __forceinline__ void give_back(const Ring& ring, int i) {
    __syncwarp();
    if (LANE == 0) mbarrier_arrive(ring.free + i % STAGES);
}

// The thread that has everything copied: Q, and the ring's tiles.
template <int D>
__device__ __forceinline__ void produce(const Ring& ring, unsigned char* query_tile, Mbarrier* query_here, const TensorMap& query,
                                        const TensorMap& key, const TensorMap& value, int first, int last, int h, int g, int b) {
    constexpr int TILE = D / 64 * PANEL;
    const auto copy = [&](unsigned char* to, const TensorMap& from, int row, int head, Mbarrier* here) {
        mbarrier_expect(here, TILE);
#pragma unroll
        for (int c = 0; c < D / 64; ++c) copy_box(to + c * PANEL, from, 64 * c, row, head, b, here);
    };
    const auto put = [&](int i, const TensorMap& from, int tile) {
        mbarrier_wait(ring.free + i % STAGES, (i / STAGES & 1) ^ 1);
        copy(ring.tiles + i % STAGES * TILE, from, tile * COLUMNS, g, ring.here + i % STAGES);
    };
    copy(query_tile, query, first, h, query_here);
    put(0, key, last);
    for (int j = last - 1, i = 1; j >= 0; --j, i += 2) {
        put(i, key, j);
        put(i + 1, value, j + 1);
    }
    put(2 * last + 1, value, 0);
}

template <typename T, int D>
__global__ void __launch_bounds__((1 + CONSUMERS) * GROUP_THREADS, 1)
attention_forward_hopper(const __grid_constant__ TensorMap query, const __grid_constant__ TensorMap key,
                         const __grid_constant__ TensorMap value, T* out, float* lse, int heads, int group, int queries,
                         int keys, int value_width, float scale, bool causal) {
    constexpr int TILE = D / 64 * PANEL;
    extern __shared__ __align__(16) unsigned char memory[];
    __shared__ Mbarrier here[STAGES];
    __shared__ Mbarrier free[STAGES];
    __shared__ Mbarrier query_here;
    unsigned char* query_tile = memory + (-reinterpret_cast<unsigned long long>(memory) & (PANEL_STEP - 1));
    const Ring ring{query_tile + TILE, here, free};

    const int blocks = static_cast<int>(ceil_div(queries, ROWS)), place = blockIdx.x % blocks;
    const int first = (causal ? blocks - 1 - place : place) * ROWS;
    const int head = blockIdx.x / blocks, b = head / heads, h = head % heads;
    const int end = causal ? min(keys, first + ROWS) : keys, last = static_cast<int>(ceil_div(end, COLUMNS)) - 1;

    if (threadIdx.x == 0) {
        mbarrier_init(&query_here, 1);
        for (int i = 0; i < STAGES; ++i) mbarrier_init(here + i, 1), mbarrier_init(free + i, 4 * CONSUMERS);
        mbarrier_init_fence();
    }
    __syncthreads();
    if (threadIdx.x < GROUP_THREADS) {
        fewer_registers<24>();
        if (threadIdx.x == 0 && last >= 0) produce<D>(ring, query_tile, &query_here, query, key, value, first, last, h, h / group, b);
    } else {
        more_registers<240>();
        const int me = threadIdx.x / GROUP_THREADS - 1, row = first + threadIdx.x / 32 * 16 - 64;  // the warp's first
        const float factor = scale * LOG2_E;
        float s[1][16][4], o[1][D / 8][4], maximum[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0}, correction[2];
        uint32_t p[8][4];
        clear(o);
        if (last >= 0) {
            const Operand rows = operand(query_tile + me * 64 * PANEL_ROW, 0);
            mbarrier_wait(&query_here, 0);
            const Operand last_keys = take<TILE>(ring, 0, 0);
            wgmma_fence();
            start_by_rows<T, D, PANEL, PANEL>(s[0], rows, last_keys);
            wgmma_wait<0>(s[0]);
            give_back(ring, 0);
            hide<false>(s[0], row, last * COLUMNS, keys, causal);
            softmax(s[0], maximum, sum, correction, factor);
            round_to<T>(p, s[0]);
            if (me == 1 && last > 0) barrier_arrive(1, CONSUMERS * GROUP_THREADS);  // the first turn is the other's
            for (int j = last - 1, i = 1; j >= 0; --j, i += 2) {
                const Operand keys_of_j = take<TILE>(ring, i, 0);
                barrier_sync(1 + me, CONSUMERS * GROUP_THREADS);
                wgmma_fence();
                start_by_rows<T, D, PANEL, PANEL>(s[0], rows, keys_of_j);
                const Operand values = take<TILE>(ring, i + 1, PANEL);
                wgmma_fence();
                start_adding<T>(o[0], p, values);
                wgmma_commit();
                if (me == 0 || j > 0) barrier_arrive(2 - me, CONSUMERS * GROUP_THREADS);
                wgmma_wait<1>(s[0]);
                give_back(ring, i);
                softmax(s[0], maximum, sum, correction, factor);
                wgmma_wait<0>(o[0]);
                give_back(ring, i + 1);
                round_to<T>(p, s[0]);
#pragma unroll
                for (int d = 0; d < D / 8; ++d)
#pragma unroll
                    for (int e = 0; e < 4; ++e) o[0][d][e] *= correction[e / 2];
            }
            const Operand first_values = take<TILE>(ring, 2 * last + 1, PANEL);
            wgmma_fence();
            start_adding<T>(o[0], p, first_values);
            wgmma_commit();
            wgmma_wait<0>(o[0]);
        }

        float inverse[2];
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            float l = sum[r];
            l += __shfl_xor_sync(FULL, l, 1);
            l += __shfl_xor_sync(FULL, l, 2);
            inverse[r] = l == 0 ? 0.0f : 1 / l;
            const int i = row + 8 * r + GROUP;
            if (MEMBER == 0)
                lse[head * ceil_div(queries, PAD) * PAD + i] = l == 0 || i >= queries ? INFINITY : maximum[r] * scale + logf(l);
        }
        T* to = out + (static_cast<long long>(b) * queries * heads + h) * value_width;
        store_rows(to, static_cast<long long>(heads) * value_width, row, queries, value_width, o, inverse);
    }
}
