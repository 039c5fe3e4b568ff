// The gradient of a convolution's weight on tensor cores: half and bfloat16, one group.
//
//     weight_parts      dw[o, (i, j), c] = Σ_{n,h,w} g[n, h, w, o] · x[n, h·S + i·D − P, w·S + j·D − P, c]
//     near_weight_parts the same of a kernel of 3 × 3 with stride 1 and an output that is no larger than the image
//     pointwise_parts   dw[o, c] = Σ_{n,p} g[n, o, p] · x[n, c, p], a kernel of one tap and stride 1
//
// Layout: x and g channel-last but for the last, as in `implicit_gemm.cu`; in their usual order for that, whose images have
// a multiple of 8 pixels. Ranges of positions are added by different blocks, each to a float array of its own; `add_parts`
// adds these in order: always the same bits. These arrays take 128 MiB at most.
//
// Geometry: tiles (implicit_gemm.cuh) of M features × N columns, 128 × 256 (8 warps) or 64 × 256 (4 warps, two blocks share a
// multiprocessor). Channel-last, a stage has positions as rows and is read transposed. Columns are (tap, channel), all taps of
// 32 channels before the next 32: what the taps of a tile read are the same pixels, most of which come from the L1 cache. Where
// they are neighbours these are copied once for all taps (implicit_gemm_ring.cuh), a tile being 64 features × 9 taps of 32
// channels, of which each of 4 warps has 8: 64 × 72.
//
// Shared memory is busy for 0.69 of the products' clocks where taps are neighbours: fragments, 64 + 72 values for 64 · 72
// products, take 0.59; copying 64 + 32 values of each term for 64 · 288 products takes 0.10, of which a tile of 128 features
// would save 0.02. Otherwise it is 0.88 (128 features) or 1.03 (64): fragments of 64 × 64 take 0.62, which registers decide,
// copying 128 + 256 or 64 + 256 values of each term 0.23 or 0.39. With one tap there are no neighbours, and with 64 features
// bytes take longer. `wgmma` reads no fragments.
//
// Cost: 59 GFLOP for 256 images of 64 × 56 × 56, 64 features, 3 × 3, 0.10 ms by mma.sync; 206 MB, 0.05 ms, behind it, and as
// much before it for turning g round (x has been since the forward pass). A kernel of 1 × 1 from 256 channels to 64: 26 GFLOP,
// 0.04 ms; 514 MB, 0.12 ms.
#include "implicit_gemm_ring.cuh"

constexpr int ADDERS = 128;  // threads of add_parts

// --- any kernel ------------------------------------------------------------------------------------------------------
// Terms are positions, DEPTH at a time: of M features of g (positions, features), and of N of the columns (block, tap,
// channel). A thread copies the same chunk of every few rows; offsets count such chunks. Its place in the image moves on by
// so many positions at a time, carrying from columns to rows to images without a division.
template <typename T, int M, int N> struct Positions : Staged<T, M, N, true> {
    static constexpr int THREADS = Tile<M, N, true>::THREADS, EVERY = THREADS / (N / 8), APART = THREADS / (M / 8);
    const T *gradient, *image;
    int height, width, stride_h;
    bool features, columns;                 // whether the thread's chunks are some of these,
    bool wanted;                            // and whether a warp has columns next to its chunk
    int left;                               // positions
    int y, x, end_y, end_x;                 // what the thread's next row reads; where that is beyond the last window
    int round_y, round_x, step_y, step_x;   // from the first window to behind the last one; EVERY positions
    unsigned pitch, at_gradient, at, step, next_row, next_image;  // of g; offsets; what a step adds, and what carries add

    __device__ __forceinline__ void load(T* stage) {
        int c = threadIdx.x % (M / 8), row = threadIdx.x / (M / 8), to = place<M>(row, c);
#pragma unroll
        for (int k = 0; k < DEPTH; k += APART)
            cp_async_16(stage + to + k * M, gradient + 8ull * (at_gradient + k * pitch), features && row + k < left);
        at_gradient += DEPTH * pitch;
        c = threadIdx.x % (N / 8), row = threadIdx.x / (N / 8), to = M * DEPTH + place<N>(row, c);
#pragma unroll
        for (int k = 0; k < DEPTH; k += EVERY) {  // 4 rows on, chunks are exchanged by 4 more
            const bool inside = static_cast<unsigned>(y) < static_cast<unsigned>(height) &&
                                static_cast<unsigned>(x) < static_cast<unsigned>(width);
            if (wanted)
                cp_async_16_cached(stage + (to ^ (k & 7) * 8) + k * N, image + 8ull * at, columns && row + k < left && inside);
            x += step_x, y += step_y, at += step;
            if (x >= end_x) x -= round_x, y += stride_h, at += next_row;
            if (y >= end_y) y -= round_y, at += next_image;
        }
        left -= DEPTH;
    }
};

// Write the warp's part of a tile to parts (count, features, columns), an even number of columns.
template <typename Part>
__device__ __forceinline__ void store_part(const Part& part, float* parts, int s, int feature, int features, int column,
                                           int columns) {
#pragma unroll
    for (int r = 0; r < Part::SIDE / 8; ++r) {
        const int row = feature + part.row + 8 * r + GROUP;
        float* to = parts + (static_cast<long long>(s) * features + row) * columns;
#pragma unroll
        for (int n = 0; n < Part::SIDE / 8; ++n) {
            const int k = column + part.column + 8 * n + 2 * MEMBER;
            const float* sum = &part.acc[r / 2][n][r % 2 * 2];
            if (row < features && k < columns) store(to + k, Vec<float, 2>{{sum[0], sum[1]}});
        }
    }
}

// parts[s, o, column]: the sum over positions [s·each, (s + 1)·each). `each` is a multiple of DEPTH, `features` one of 8, of
// which the first `real` are there.
template <typename T, int M, int N>
__global__ void __launch_bounds__(Tile<M, N, true>::THREADS, 256 / Tile<M, N, true>::THREADS)
weight_parts(const T* __restrict__ image, const T* __restrict__ gradient, float* __restrict__ parts, int channels,
             int features, int real, int height, int width, int output_h, int output_w, int kernel_h, int kernel_w,
             int stride_h, int stride_w, int top, int left, int dilation_h, int dilation_w, unsigned long long by_area,
             unsigned long long by_width, int positions, int each) {
    using Part = Tile<M, N, true>;
    using Terms = Positions<T, M, N>;
    extern __shared__ __align__(16) unsigned char memory[];
    const int columns = kernel_h * kernel_w * channels, tiles = static_cast<int>(ceil_div(real, M));
    const int wide = static_cast<int>(ceil_div(columns, N)), s = blockIdx.x / tiles / wide;
    const int feature = blockIdx.x % tiles * M, column = blockIdx.x / tiles % wide * N;

    Terms terms;
    const int chunk = threadIdx.x % (M / 8), mine = column / 8 + threadIdx.x % (N / 8);
    const int block = block_of(channels) / 8, taps = kernel_h * kernel_w, tap = mine / block % taps;
    const int dy = tap / kernel_w * dilation_h - top, dx = tap % kernel_w * dilation_w - left;
    const int start = s * each, area = output_h * output_w;
    const unsigned chunks = channels / 8;
    terms.gradient = gradient + feature, terms.image = image, terms.pitch = features / 8;
    terms.height = height, terms.width = width, terms.stride_h = stride_h;
    terms.features = feature + chunk * 8 < features, terms.columns = mine * 8 < columns;
    terms.wanted = mine * 8 / Part::SIDE * Part::SIDE < columns;
    terms.left = min(each, positions - start);
    int n, h, w;
    Grid{output_h, output_w, positions, by_area, by_width}.find(start + threadIdx.x / (N / 8), n, h, w);
    terms.round_y = output_h * stride_h, terms.round_x = output_w * stride_w;
    terms.y = h * stride_h + dy, terms.end_y = terms.round_y + dy;
    terms.x = w * stride_w + dx, terms.end_x = terms.round_x + dx;
    terms.step_y = Terms::EVERY % area / output_w * stride_h, terms.step_x = Terms::EVERY % area % output_w * stride_w;
    terms.at_gradient = (start + threadIdx.x / (M / 8)) * terms.pitch + chunk;
    terms.at = ((n * height + terms.y) * width + terms.x) * chunks + mine / block / taps * block + mine % block;
    terms.step = ((Terms::EVERY / area * height + terms.step_y) * width + terms.step_x) * chunks;
    terms.next_row = (stride_h * width - terms.round_x) * chunks, terms.next_image = (height - terms.round_y) * width * chunks;

    Part part;
    const bool busy = feature + part.row < real && column + part.column < columns;
    add_up(part, reinterpret_cast<T*>(memory), terms, static_cast<int>(ceil_div(terms.left, DEPTH)), busy);
    store_part(part, parts, s, feature, real, column, columns);
}

// --- neighbouring taps -------------------------------------------------------------------------------------------------
// The same of a kernel of 3 × 3 with stride 1 and an output that is no larger than the image. A tile has 64 features and all
// taps of DEPTH channels, or of those that are left; `rows`, a power of two, hold what these read for STAGES stages.
template <typename T>
__global__ void __launch_bounds__(Ring<T>::THREADS, 256 / Ring<T>::THREADS)
near_weight_parts(const T* __restrict__ image, const T* __restrict__ gradient, float* __restrict__ parts, int channels,
                  int features, int real, int height, int width, int output_h, int output_w, int top, int left, int dilation_h,
                  int dilation_w, unsigned long long by_area, unsigned long long by_width, int positions, int each, int pixels,
                  int rows) {
    using Terms = Ring<T>;
    extern __shared__ __align__(16) unsigned char memory[];
    const int tiles = static_cast<int>(ceil_div(real, 64)), wide = static_cast<int>(ceil_div(channels, DEPTH));
    const int feature = blockIdx.x % tiles * 64, channel = blockIdx.x / tiles % wide * DEPTH, s = blockIdx.x / tiles / wide;
    const int start = s * each, area = output_h * output_w, row = threadIdx.x / 8, chunk = threadIdx.x % 8;

    Terms terms;
    const auto read = [&](int p) {
        int n, u, v;
        Grid{output_h, output_w, positions, by_area, by_width}.find(p, n, u, v);
        return Walk{u - top, v - left, (n * height + u - top) * width + v - left};
    };
    const int step_y = DEPTH % area / output_w, step_x = DEPTH % area % output_w;
    terms.stride = {step_y, step_x, (DEPTH / area * height + step_y) * width + step_x, output_h, output_w, output_h - top,
                    output_w - left, width - output_w, (height - output_h) * width};
    terms.planes = reinterpret_cast<T*>(memory) + STAGES * Terms::STAGE, terms.mask = rows - 1;
    terms.image = image + channel, terms.chunks = channels / 8, terms.pixels = pixels;
    terms.height = height, terms.width = width, terms.down = dilation_h, terms.across = dilation_w;
    terms.multiplied = read(start + LANE), terms.copied = read(start + DEPTH - 1), terms.filled = read(start).pixel;
    terms.reach = 2 * (dilation_h * width + dilation_w) + 1;
    terms.left = terms.there = min(each, positions - start), terms.gradient = gradient + feature, terms.pitch = features / 8;
    terms.at = (start + row) * terms.pitch + chunk, terms.features = feature + chunk * 8 < features;
    terms.channels = channel + threadIdx.x % (DEPTH / 8) * 8 < channels;
    if (threadIdx.x < DEPTH / 8 * ZEROS)
        store(terms.plane(threadIdx.x / ZEROS) + (rows + threadIdx.x % ZEROS) * 8, Vec<T, 8>{});

    typename Terms::Part part;
    const int own = channel + threadIdx.x / 32 * 8, block = block_of(channels), columns = 9 * channels;
    add_up(part, reinterpret_cast<T*>(memory), terms, static_cast<int>(ceil_div(terms.left, DEPTH)), own < channels);
    if (own >= channels) return;
    float* to = parts + static_cast<long long>(s) * real * columns + own / block * block * 9 + own % block + 2 * MEMBER;
#pragma unroll
    for (int r = 0; r < 8; ++r) {
        const int o = feature + 8 * r + GROUP;
        if (o >= real) continue;
#pragma unroll
        for (int tap = 0; tap < 9; ++tap) {
            const float* sum = &part.acc[tap / 3][tap % 3][r / 2][r % 2 * 2];
            store(to + static_cast<long long>(o) * columns + tap * block, Vec<float, 2>{{sum[0], sum[1]}});
        }
    }
}

// --- one tap ----------------------------------------------------------------------------------------------------------
// Terms are positions, DEPTH at a time: of M features of g (batch, features, pixels) and N channels of x (batch, channels,
// pixels), `chunks` of 8 pixels.
template <typename T, int M, int N> struct Pixels : Staged<T, M, N, false> {
    static constexpr int EVERY = Tile<M, N, false>::THREADS / (DEPTH / 8);
    const T *gradient, *image;
    int chunks, chunk, left;               // the next term: which of an image's chunks; how many are left
    int features, channels;                // from the thread's row on
    unsigned at_gradient, at_image;        // offsets of that row and the image, in chunks
    unsigned next_gradient, next_image;    // from an image to the next

    __device__ __forceinline__ void find_image() {
        for (; chunk >= chunks; chunk -= chunks) at_gradient += next_gradient, at_image += next_image;
    }

    __device__ __forceinline__ void load(T* stage) {
        T* to = stage + place<DEPTH>(threadIdx.x / (DEPTH / 8), threadIdx.x % (DEPTH / 8));
#pragma unroll
        for (int m = 0; m < M; m += EVERY)
            cp_async_16(to + m * DEPTH, gradient + 8ull * (at_gradient + chunk + m * chunks), left > 0 && m < features);
        to += M * DEPTH;
#pragma unroll
        for (int n = 0; n < N; n += EVERY)
            cp_async_16(to + n * DEPTH, image + 8ull * (at_image + chunk + n * chunks), left > 0 && n < channels);
        chunk += DEPTH / 8, left -= DEPTH / 8;
        find_image();
    }
};

// parts[s, o, c], for channels to a multiple of 8 (`columns`), as `weight_parts`. `pixels` is a multiple of 8.
template <typename T, int M, int N>
__global__ void __launch_bounds__(Tile<M, N, false>::THREADS, 256 / Tile<M, N, false>::THREADS)
pointwise_parts(const T* __restrict__ image, const T* __restrict__ gradient, float* __restrict__ parts, int channels,
                int columns, int features, int pixels, unsigned long long by_chunks, int positions, int each) {
    using Terms = Pixels<T, M, N>;
    extern __shared__ __align__(16) unsigned char memory[];
    const int tiles = static_cast<int>(ceil_div(features, M)), wide = static_cast<int>(ceil_div(columns, N));
    const int feature = blockIdx.x % tiles * M, column = blockIdx.x / tiles % wide * N, s = blockIdx.x / tiles / wide;
    const int row = threadIdx.x / (DEPTH / 8), start = s * each / 8, n = quotient(start, by_chunks);
    const unsigned chunks = pixels / 8;

    Terms terms;
    terms.gradient = gradient, terms.image = image, terms.chunks = chunks;
    terms.features = features - feature - row, terms.channels = channels - column - row;
    terms.next_gradient = features * chunks, terms.at_gradient = n * terms.next_gradient + (feature + row) * chunks;
    terms.next_image = channels * chunks, terms.at_image = n * terms.next_image + (column + row) * chunks;
    terms.chunk = start - n * chunks + threadIdx.x % (DEPTH / 8);
    terms.left = min(each, positions - s * each) / 8 - threadIdx.x % (DEPTH / 8);
    terms.find_image();

    Tile<M, N, false> part;
    const int steps = static_cast<int>(ceil_div(min(each, positions - s * each), DEPTH));
    add_up(part, reinterpret_cast<T*>(memory), terms, steps, feature + part.row < features && column + part.column < columns);
    store_part(part, parts, s, feature, features, column, columns);
}

// weight (features, real, taps) = Σ_s of parts (count, features, columns), in order; channels from `real` on are no more. A
// block of threads has the taps of block_of(channels) channels of a feature, which are neighbours on both sides, if in another
// order: they change it in shared memory, where there is some (a float each).
template <typename T>
__global__ void __launch_bounds__(ADDERS)
add_parts(const float* __restrict__ parts, T* __restrict__ weight, int count, int features, int taps, int channels, int real,
          bool turned) {
    extern __shared__ float sums[];  // (channels of the block, taps)
    const int block = block_of(channels), entries = taps * block, blocks = channels / block;
    const int size = features * taps * channels, first_c = blockIdx.x % blocks * block, there = min(block, real - first_c);
    parts += static_cast<long long>(blockIdx.x) * entries;
    weight += (static_cast<long long>(blockIdx.x / blocks) * real + first_c) * taps;
    for (int at = threadIdx.x; at < entries; at += ADDERS) {
        const float* part = parts + at;
        float sum = 0.0f;
#pragma unroll 8
        for (int s = 0; s < count; ++s, part += size) sum += *part;
        const int tap = at / block, c = at - tap * block;
        if (turned) sums[c * taps + tap] = sum;
        else if (c < there) weight[c * taps + tap] = from_float<T>(sum);
    }
    if (!turned) return;
    __syncthreads();
    for (int at = threadIdx.x; at < there * taps; at += ADDERS) weight[at] = from_float<T>(sums[at]);
}
