// Convolution on tensor cores, its columns in shared memory only ("implicit GEMM"): half and bfloat16, one group.
//
//     correlate     y[n, o, h, w] = b[o] + Σ_{i,j,c} weight[o, (i, j), c] · x[n, h·S + i·D − P, w·S + j·D − P, c]
//     its adjoint   x[n, c, y, x] = b[c] + Σ_{i,j,o} weight[c, (i, j), o] · g[n, (y + P − i·D)/S, (x + P − j·D)/S, o]
//
// with 0 where x or g is read outside the image or, in the adjoint, between its pixels. Pixels that agree in (y mod S, x mod
// S), a phase, are read by the same taps, at S/gcd(S, D) from each other: a correlation with these alone, whose phases are
// computed one beside the other. Nothing is multiplied that is known to be 0, whatever the stride.
//
// Layout: what is multiplied lies channel-last, (N, H, W, C) and (O, KH·KW, C) with channels filled up with zeros to a
// multiple of 8 (`channel_last.cu`), so that each copy (`cp.async`, 16 bytes) is of one tap of one pixel. Results have the
// usual order, (N, O, H, W), and are written in rows of positions, 16 bytes at a time where 8 divides the area of an image:
// lanes then change places. Otherwise a tile is turned round in shared memory.
// Limits: pixels, positions and what a batch takes, divided by 16 bytes, are counted in 32 bits.
//
// Geometry: a block makes a tile (implicit_gemm.cuh) of M features × N positions, in warps that take up to 255 registers a
// thread, 256 threads on a multiprocessor; blocks of the same positions stand next to each other. Terms of a sum are (tap,
// channel), all taps of 32 channels before the next 32. NEAR, with stride 1, what all taps of a tile read is copied once for 32
// channels (implicit_gemm_band.cuh), to tiles of 128 × 256 or 64 × 256. Otherwise each tap copies what it reads, to 128 × 128
// or 64 × 256: neighbouring positions find each other's pixels in the L1 cache, and of the columns a ninth (3 × 3 taps) comes from
// L2, whose 5 to 7 TB/s would otherwise be the limit, at 64 operations a byte (128 × 128). Tiles of 64 × 64, where others would
// be too few, do so as well.
//
// Cost: 256 images of 64 × 56 × 56, 64 features, 3 × 3, bfloat16: 59 GFLOP. mma.sync reaches 60 to 65 % of the 990 TFLOP/s of
// an H200, 0.10 ms; shared memory, at 128 bytes a clock, is busy for 0.75 times as long with 64 features (1.0 to 1.1 times where
// each tap copies), of which fragments are 0.62 and weights, copied for 256 positions at a time, 0.08. The shuffles in which
// lanes change places, at one a clock, add 0.03; through shared memory results took 0.07. With 128 features and more it is
// 0.72 to 0.75. With 8 channels each chunk is of a tap of its own, and instructions take as long as the products.
// Device memory moves 206 MB behind that, 0.05 ms, and `channel_last` as much before it: 0.15 ms for y, and so much for the
// gradient. As columns the same product moved 2.2 GB, 0.5 ms. With 256 channels of 14 × 14 and 256 features, 59 GFLOP again, it
// is 0.10 ms and 0.012 ms.
#include "implicit_gemm_band.cuh"
#include "neighbours.cuh"

// Terms (block, tap, channel), DEPTH at a time: of M features' weights (features, taps, channels), and of N positions of the
// image (batch, height, width, channels). A thread copies the same chunk of every few rows; offsets count such chunks.
template <typename T, int M, int N> struct Columns : Staged<T, M, N> {
    static constexpr int EVERY = Tile<M, N, false>::THREADS / (DEPTH / 8);
    const T *weight, *image;
    Axis down, across;
    int chunks, block, height, width, kernel_w;   // chunks of a tap, and of a block of it
    int i, j, first = 0, chunk;                   // tap and block (its first chunk) of the next term, the thread's chunk in it,
    int step_i, step_j, step;                     // and what a step adds to each of them, but for carries
    unsigned row, pitch, of_weight, of_image;     // the thread's row of weights, from there to its next; the tap and block
    unsigned features, inside;                    // bit k: whether there is anything in row k
    int y[N / EVERY], x[N / EVERY];               // what positions read with the first tap,
    unsigned pixel[N / EVERY];                    // and its offset

    __device__ __forceinline__ void begin() {
        const int taps = max(1, across.taps), skipped = DEPTH / 8 / block, tap = threadIdx.x % (DEPTH / 8) / block;
        step_i = skipped / taps, step_j = skipped % taps, step = DEPTH / 8 % block;
        i = tap / taps, j = tap % taps, chunk = threadIdx.x % (DEPTH / 8) % block;
        find_tap();
    }

    __device__ __forceinline__ void find_tap() {
        if (chunk >= block) chunk -= block, ++j;
        if (j >= across.taps) j -= across.taps, ++i;
        if (i >= down.taps) i -= down.taps, first += block;
        const int dy = i * down.apart, dx = j * across.apart;
        of_weight = row + ((down.tap + i * down.skip) * kernel_w + across.tap + j * across.skip) * chunks + first;
        of_image = (dy * width + dx) * chunks + first;
        inside = 0;
#pragma unroll
        for (int k = 0; k < N / EVERY; ++k)
            inside |= (static_cast<unsigned>(y[k] + dy) < static_cast<unsigned>(height) &&
                       static_cast<unsigned>(x[k] + dx) < static_cast<unsigned>(width)) << k;
        if (first >= chunks) features = inside = 0;
    }

    __device__ __forceinline__ void load(T* stage) {
        T* to = stage + place<DEPTH>(threadIdx.x / (DEPTH / 8), threadIdx.x % (DEPTH / 8));
#pragma unroll
        for (int m = 0; m < M / EVERY; ++m)
            cp_async_16(to + m * EVERY * DEPTH, weight + 8ull * (of_weight + chunk + m * pitch), features >> m & 1);
        to += M * DEPTH;
#pragma unroll
        for (int k = 0; k < N / EVERY; ++k)
            cp_async_16_cached(to + k * EVERY * DEPTH, image + 8ull * (pixel[k] + of_image + chunk), inside >> k & 1);
        i += step_i, j += step_j, chunk += step;
        find_tap();
    }
};

// Write a tile (M, N + 8), in shared memory, of features from `feature` and positions from p on, V positions at a time: V
// divides the area of an image, unless it is 1.
template <int V, int M, int N, typename T>
__device__ __forceinline__ void write(const T* tile, T* target, const Grid& grid, const Axis& down, const Axis& across,
                                      int feature, int features, int p, int target_h, int target_w) {
    constexpr int THREADS = Tile<M, N, false>::THREADS, COLUMNS = N / V, STEP = COLUMNS < THREADS ? THREADS / COLUMNS : 1;
    for (int column = threadIdx.x % COLUMNS; column < COLUMNS; column += THREADS) {
        int n, u, v;
        grid.find(p + column * V, n, u, v);
        const int y = u * down.spread + down.phase, x = v * across.spread + across.phase;
        if (p + column * V >= grid.positions || y >= target_h || x >= target_w) continue;
        const long long area = static_cast<long long>(target_h) * target_w;
        T* to = target + (static_cast<long long>(n) * features + feature) * area + static_cast<long long>(y) * target_w + x;
        for (int row = threadIdx.x / COLUMNS; row < M && feature + row < features; row += STEP)
            store(to + row * area, load<V>(tile + row * (N + 8) + column * V));
    }
}

// Write a warp's part, of features from `feature` and positions from p on, a lane 8 positions at a time: of these, four lanes
// have two each, and of four such rows, until they change places. 8 divides the area of an image, all of which is written.
template <typename T, typename Part>
__device__ __forceinline__ void write_turned(const Part& part, const T* bias, T* target, const Grid& grid, int feature,
                                             int features, int p) {
    const int area = grid.height * grid.width;
#pragma unroll
    for (int n0 = 0; n0 < Part::SIDE / 8; n0 += 4) {
        const int at = p + 8 * (n0 + MEMBER), image = quotient(at, grid.by_area);
        T* to = target + static_cast<long long>(image * features + feature) * area + (at - image * area);
#pragma unroll
        for (int r = 0; r < Part::SIDE / 8; ++r) {
            const int row = 8 * r + GROUP;
            const float added = bias && feature + row < features ? to_float(bias[feature + row]) : 0.0f;
            Vec<uint32_t, 4> words;
#pragma unroll
            for (int n = 0; n < 4; ++n) {
                const float* sum = &part.acc[r / 2][n0 + n][r % 2 * 2];
                words.at[n] = pack2<T>(sum[0] + added, sum[1] + added);
            }
            turn(words.at);
            if (at < grid.positions && feature + row < features)
                store(reinterpret_cast<uint32_t*>(to + static_cast<long long>(row) * area), words);
        }
    }
}

template <typename T, int M, int N, bool NEAR>
__global__ void __launch_bounds__(Tile<M, N, false>::THREADS, 256 / Tile<M, N, false>::THREADS)
correlate(const T* __restrict__ image, const T* __restrict__ weight, const T* __restrict__ bias, T* __restrict__ target,
          int channels, int features, int batch, int height, int width, int target_h, int target_w, int kernel_h, int kernel_w,
          int stride_h, int stride_w, int top, int left, int dilation_h, int dilation_w, int apart_h, int apart_w, int skip_h,
          int skip_w, unsigned long long by_area, unsigned long long by_width, int vector, int band, bool adjoint) {
    using Part = Tile<M, N, false>;
    extern __shared__ __align__(16) unsigned char memory[];
    T* stages = reinterpret_cast<T*>(memory);

    const int tiles = static_cast<int>(ceil_div(features, M)), phases_w = adjoint ? stride_w : 1;
    const int phases = adjoint ? stride_h * stride_w : 1, phase = blockIdx.x / tiles % phases;
    const int feature = blockIdx.x % tiles * M, first = blockIdx.x / tiles / phases * N;
    const Axis down = axis_of(adjoint, phase / phases_w, kernel_h, stride_h, top, dilation_h, apart_h, skip_h);
    const Axis across = axis_of(adjoint, phase % phases_w, kernel_w, stride_w, left, dilation_w, apart_w, skip_w);
    const int rows = static_cast<int>(ceil_div(target_h, down.spread));
    const int columns = static_cast<int>(ceil_div(target_w, across.spread));
    const Grid grid{rows, columns, batch * rows * columns, by_area, by_width};

    Part part;
    const bool busy = feature + part.row < features && first + part.column < grid.positions;
    const int steps = static_cast<int>(ceil_div(down.taps * across.taps * channels, DEPTH)), chunks = channels / 8;
    const int row = threadIdx.x / (DEPTH / 8);
    unsigned there = 0;  // bit m: whether the thread's row m of weights is one
    constexpr int EVERY = Part::THREADS / (DEPTH / 8);
#pragma unroll
    for (int m = 0; m < M / EVERY; ++m) there |= (feature + row + m * EVERY < features) << m;
    const int own = (feature + row) * kernel_h * kernel_w * chunks, pitch = EVERY * kernel_h * kernel_w * chunks;
    // (y, x) that position p reads with the first tap, and which pixel of the batch that is
    const auto read = [&](int p, int& y, int& x) {
        int n, u, v;
        grid.find(p, n, u, v);
        y = u * down.stride + down.place, x = v * across.stride + across.place;
        return (n * height + y) * width + x;
    };
    if constexpr (NEAR) {
        Band<T, M, N> terms{weight, image, stages + STAGES * M * DEPTH, down, across, chunks, height, width,
                            batch * height * width, band, 0, own, pitch, there};
        int y, x;
        terms.start = read(first, y, x) + min(0, (down.taps - 1) * down.apart) * width + min(0, (across.taps - 1) * across.apart);
#pragma unroll
        for (int n = 0; n < Part::SIDE / 16; ++n) {
            const int p = first + part.column + 16 * n + LANE / 16 * 8 + LANE % 8;
            terms.row[n] = read(p, terms.y[n], terms.x[n]) - terms.start;
            if (p >= grid.positions) terms.y[n] = NOWHERE;
        }
        if (threadIdx.x < 32) store(terms.rows + 8 * threadIdx.x, Vec<T, 8>{});
        add_up(part, stages, terms, steps, busy);
    } else {
        Columns<T, M, N> terms;
        terms.weight = weight, terms.image = image, terms.down = down, terms.across = across;
        terms.chunks = chunks, terms.block = block_of(channels) / 8;
        terms.height = height, terms.width = width, terms.kernel_w = kernel_w;
        terms.row = own, terms.pitch = pitch, terms.features = there;
#pragma unroll
        for (int k = 0; k < N / EVERY; ++k) {
            const int p = first + row + k * EVERY;
            terms.pixel[k] = read(p, terms.y[k], terms.x[k]) * chunks;
            if (p >= grid.positions) terms.y[k] = NOWHERE;
        }
        terms.begin();
        add_up(part, stages, terms, steps, busy);
    }
    if (vector == 8) {
        if (busy) write_turned(part, bias, target, grid, feature + part.row, features, first + part.column);
        return;
    }
#pragma unroll
    for (int r = 0; r < Part::SIDE / 8; ++r) {
        const int row = part.row + 8 * r + GROUP;
        const float added = bias && feature + row < features ? to_float(bias[feature + row]) : 0.0f;
#pragma unroll
        for (int n = 0; n < Part::SIDE / 8; ++n) {
            const float* sum = &part.acc[r / 2][n][r % 2 * 2];
            store(stages + row * (N + 8) + part.column + 8 * n + 2 * MEMBER,
                  Vec<T, 2>{{from_float<T>(sum[0] + added), from_float<T>(sum[1] + added)}});
        }
    }
    __syncthreads();
    if (vector == 4)
        write<4, M, N>(stages, target, grid, down, across, feature, features, first, target_h, target_w);
    else
        write<1, M, N>(stages, target, grid, down, across, feature, features, first, target_h, target_w);
}
