// A ring of boxes from producer to consumers, and a product of a warpgroup: right, and with one fault each, for the emulator
// to catch. A line where a fault shows says so: // fault
#include "hopper.cuh"
#include "wgmma.cuh"

enum Fault { RIGHT, FEW_BYTES, MANY_BYTES, NO_WAIT, NO_FREE, EARLY_FREE, ONE_OF_TWO, NO_SYNCWARP, NO_INIT, NO_TURN, WRONG_COUNT, MISALIGNED };

// y = x + 1 for boxes of 8 × 64, which one thread has copied, and two warps take from two stages; from (row, column) on.
template <int FAULT> __global__ void relay(const __grid_constant__ TensorMap x, float* y, int boxes, int row, int column) {
    constexpr int BOX = 8 * PANEL_ROW, STAGES = 2;
    extern __shared__ __align__(1024) unsigned char memory[];
    __shared__ Mbarrier here[STAGES];
    __shared__ Mbarrier free[STAGES];
    unsigned char* tiles = memory + (-reinterpret_cast<unsigned long long>(memory) & 1023) + (FAULT == MISALIGNED ? 64 : 0);
    if (threadIdx.x == 0 && FAULT != NO_INIT)
        for (int i = 0; i < STAGES; ++i) mbarrier_init(here + i, 1), mbarrier_init(free + i, 2);
    mbarrier_init_fence();
    __syncthreads();
    const int announced = FAULT == FEW_BYTES ? 2 * BOX : FAULT == MANY_BYTES ? BOX / 2 : BOX;
    if (threadIdx.x == 0)
        for (int i = 0; i < boxes; ++i) {
            const int parity = i / STAGES & 1;
            if (FAULT != NO_FREE) mbarrier_wait(free + i % STAGES, parity ^ 1);  // fault: ONE_OF_TWO, NO_INIT, NO_TURN
            mbarrier_expect(here + i % STAGES, announced);                       // fault: NO_INIT
            copy_box(tiles + i % STAGES * BOX, x, column, row + 8 * i, 0, 0, here + i % STAGES);  // fault: NO_WAIT, NO_FREE, EARLY_FREE, NO_SYNCWARP, MISALIGNED
        }
    if (threadIdx.x < 32) return;
    const int me = threadIdx.x / 32 - 1;
    if (FAULT == NO_TURN && me == 1) return;
    for (int i = 0; i < boxes; ++i) {
        if (FAULT != NO_WAIT) mbarrier_wait(here + i % STAGES, i / STAGES & 1);  // fault: FEW_BYTES, MANY_BYTES, NO_INIT
        if (FAULT == EARLY_FREE && LANE == 0) mbarrier_arrive(free + i % STAGES);
        for (int e = LANE; e < 256; e += 32) {
            const int r = 4 * me + e / 64, c = e % 64, at = r * PANEL_ROW + ((c / 8 ^ r % 8) * 16 + c % 8 * 2);
            const __half v = *reinterpret_cast<const __half*>(tiles + i % STAGES * BOX + at);  // fault: NO_WAIT, NO_FREE, EARLY_FREE, NO_SYNCWARP
            y[(8 * i + r) * 64 + c] = to_float(v) + 1;
        }
        if (FAULT != NO_SYNCWARP) __syncwarp();
        if (FAULT != EARLY_FREE && LANE == 0 && (FAULT != ONE_OF_TWO || me == 0)) mbarrier_arrive(free + i % STAGES);
    }
    barrier_sync(1, FAULT == WRONG_COUNT && me == 1 ? 96 : 64);  // fault: NO_TURN, WRONG_COUNT
    if (me == 0) y[boxes * 512 + LANE] = y[LANE + 256];  // of the other warp
}

// d = a bᵀ of 64 × 16 and 64 × 16 halves, in panels whose other columns are not read.
enum { EARLY_RESULT = 1, OVERWRITTEN, NO_END };
template <int FAULT> __global__ void product(const __half* a, const __half* b, float* d) {
    extern __shared__ __align__(1024) unsigned char memory[];
    unsigned char* tiles = memory + (-reinterpret_cast<unsigned long long>(memory) & 1023);
    for (int e = threadIdx.x; e < 2048; e += 128) {
        const int r = e % 1024 / 16, c = e % 16, at = e / 1024 * 64 * PANEL_ROW + r * PANEL_ROW + ((c / 8 ^ r % 8) * 16 + c % 8 * 2);
        *reinterpret_cast<__half*>(tiles + at) = (e < 1024 ? a : b)[e % 1024];
    }
    fence_async_proxy();
    __syncthreads();
    float sum[8][4];
    for (int i = 0; i < 32; ++i) sum[i / 4][i % 4] = -1;
    wgmma_fence();
    wgmma<__half, false>(sum, operand(tiles, 0), operand(tiles + 64 * PANEL_ROW, 0));  // fault: OVERWRITTEN, NO_END
    wgmma_commit();
    if (FAULT == OVERWRITTEN && threadIdx.x == 0) *reinterpret_cast<__half*>(tiles + 8 * PANEL_ROW) = a[0];  // fault: OVERWRITTEN
    if (FAULT != EARLY_RESULT && FAULT != NO_END) wgmma_wait<0>(sum);
    for (int i = 0; i < 32; ++i)
        d[(threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4 + i % 4 / 2 * 8) * 64 + i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2] = sum[i / 4][i % 4];
    if (FAULT == EARLY_RESULT) wgmma_wait<0>(sum);
}

// d = Σ x xᵀ for boxes of 64 × 64, of which the first 16 columns count, that come into one place: FAULT gives it back too early.
template <int FAULT> __global__ void products(const __grid_constant__ TensorMap x, float* d, int boxes) {
    extern __shared__ __align__(1024) unsigned char memory[];
    __shared__ Mbarrier here;
    __shared__ Mbarrier free;
    unsigned char* tile = memory + (-reinterpret_cast<unsigned long long>(memory) & 1023);
    if (threadIdx.x == 0) mbarrier_init(&here, 1), mbarrier_init(&free, 4), mbarrier_init_fence();
    __syncthreads();
    if (threadIdx.x >= 128) {
        for (int i = 0; threadIdx.x == 128 && i < boxes; ++i) {
            mbarrier_wait(&free, (i & 1) ^ 1);
            mbarrier_expect(&here, 64 * PANEL_ROW);
            copy_box(tile, x, 0, 64 * i, 0, 0, &here);  // fault: TOO_EARLY
        }
        return;
    }
    float sum[8][4];
    for (int i = 0; i < 32; ++i) sum[i / 4][i % 4] = 0;
    for (int i = 0; i < boxes; ++i) {
        mbarrier_wait(&here, i & 1);
        wgmma_fence();
        wgmma<__half, true>(sum, operand(tile, 0), operand(tile, 0));  // fault: TOO_EARLY
        wgmma_commit();
        if (FAULT && LANE == 0) mbarrier_arrive(&free);
        wgmma_wait<0>(sum);
        __syncwarp();
        if (!FAULT && LANE == 0) mbarrier_arrive(&free);
    }
    for (int i = 0; i < 32; ++i)
        d[(threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4 + i % 4 / 2 * 8) * 64 + i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2] = sum[i / 4][i % 4];
}

// y = 1/2 + 1/3 + …, by blocks in the order of their numbers, which they draw, or (FAULT) have.
template <int FAULT> __global__ void in_turn(float* y, int* turn, int* ticket) {
    const int n = FAULT ? blockIdx.x + 1 : atomicAdd(ticket, 1);
    wait_until(turn, n);  // fault: TURN
    atomicAdd(y, 1.0f / (n + 2));
    announce(turn, n + 1);
}
