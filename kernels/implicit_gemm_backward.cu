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
// Geometry: tiles of M rows × N columns, 128 × 256 (8 warps) or 64 × 256 (4 warps, two blocks share a multiprocessor), of which a
// warp has 64 × 64. Rows are in shared memory, for all warps; columns, of which each has its own (with 128 rows two the same), go
// to registers, up to a step of 32 terms ahead (implicit_gemm_direct.cuh). Channel-last, rows are features, and are read
// transposed; columns are (tap, channel), all taps of 32 channels before the next 32: what the taps of a tile read are the same
// pixels, most of which come from the L1 cache. Where they are neighbours, tiles have 64 features × 9 taps of 32 channels, of
// which each of 4 warps has 8, 64 × 72, and pixels are copied once for all taps (implicit_gemm_ring.cuh). With one tap, rows are
// features or channels, whichever are fewer; tiles of 64 or 128 columns have as many warps as others of their rows, which share
// the terms and at last add what they have, in order.
//
// Shared memory: a clock moves 128 bytes, or makes 1280 products. It is busy for 0.39 of the products' clocks: fragments of rows,
// which registers decide, take 20/64 = 0.31, copying rows 20/256 = 0.08. With 128 columns it is 0.47, with 64 0.62, and to add
// what warps have takes as long as the products of 80 positions, or 240. Columns' loads go by the L1 cache, which is the same
// memory: another 20/64, 0.70 in all with 256 columns (64, whose bytes take 4 times as long as the products: 0.94). If bringing
// there what L2 sends takes clocks of it as well, which nobody documents, those are 0.31 of 64 rows' columns and 0.16 of 128
// rows', less with several taps. Columns in shared memory, written once and read once, made it 1.03 with 64 rows or 0.88 with
// 128, and 2.2 of 64 × 64. Where taps are neighbours it is 0.69, with nothing beside it: fragments, 64 + 72 values for 64 · 72
// products, take 0.59, copying 64 + 32 values of each term for 64 · 288 products 0.10. `wgmma` reads no fragments.
//
// On their way to a multiprocessor are half to all of 32 KiB of columns, beside the rows' stages: at DRAM's 20 bytes a clock what
// 800 to 1600 clocks bring.
//
// Instructions take 0.6 of the products' time with one tap; 0.9 otherwise, and 1.0 where sums are over a few hundred positions: to
// find a chunk's pixel are 20, for 512 bytes. The shuffles by which whole sectors leave take as long as 20 positions.
//
// Cost: 59 GFLOP for 256 images of 64 × 56 × 56, 64 features, 3 × 3, 0.10 ms by mma.sync; 206 MB, 0.05 ms, behind it, and as
// much before it for turning g round (x has been since the forward pass). A kernel of 1 × 1 from 256 channels to 64: 26 GFLOP,
// 0.04 ms; 514 MB, 0.12 ms: up to 256 channels and as many features bytes take longer than products.
#include "implicit_gemm_direct.cuh"
#include "implicit_gemm_ring.cuh"

constexpr int ADDERS = 128;  // threads of add_parts

// --- any kernel ------------------------------------------------------------------------------------------------------
// Terms are positions, DEPTH at a time: of M features of g (positions, features), which a stage holds, and of the columns (block,
// tap, channel), of which a lane reads a chunk of every fourth position, a step ahead. Offsets count chunks. The lane's place in
// the image moves on by four positions at a time, carrying from columns to rows to images without a division.
template <typename T, int M, int N> struct Positions {
    using Part = Direct<M, N>;
    static constexpr int STAGE = M * DEPTH, APART = Part::THREADS / (M / 8), EVERY = 4;
    const T *gradient, *image;
    int height, width, stride_h;            // of an image; none, if the thread's chunk of the columns is not one
    bool features;                          // whether the thread's chunk of g is some
    int left, there;                        // positions: from the thread's next row of g, and from its next column
    int y, x, end_y, end_x;                 // what that column reads; where this is beyond the last window
    int round_y, round_x, step_y, step_x;   // from the first window to behind the last one; EVERY positions
    unsigned pitch, at_gradient, at, step, next_row, next_image;  // of g; offsets; what a step adds, and what carries add
    Chunk read[DEPTH / EVERY];

    __device__ __forceinline__ void load(T* stage) {
        const int c = threadIdx.x % (M / 8), to = place<M>(threadIdx.x / (M / 8), c);
#pragma unroll
        for (int k = 0; k < DEPTH; k += APART)
            cp_async_16(stage + to + k * M, gradient + 8ull * (at_gradient + k * pitch), features && k < left);
        at_gradient += DEPTH * pitch, left -= DEPTH;
    }

    __device__ __forceinline__ void read_next(Chunk& chunk) {
        const bool inside = static_cast<unsigned>(y) < static_cast<unsigned>(height) &&
                            static_cast<unsigned>(x) < static_cast<unsigned>(width);
        load_16_or_zeros(chunk, image + 8ull * at, there > 0 && inside);
        x += step_x, y += step_y, at += step, there -= EVERY;
        if (x >= end_x) x -= round_x, y += stride_h, at += next_row;
        if (y >= end_y) y -= round_y, at += next_image;
    }

    __device__ __forceinline__ void begin() {
#pragma unroll
        for (int i = 0; i < DEPTH / EVERY; ++i) read_next(read[i]);
    }

    // Column c of product n is channel n of the chunk that lanes of group c have. Terms 2·m and 2·m + 1 of eight are the positions
    // m and m + 4, which a lane has.
    __device__ __forceinline__ void multiply_add(Part& part, const T* stage) {
        const int row = LANE / 16 * 8 + LANE % 8 / 2 + LANE % 2 * 4, corner = part.row + place<M>(row, LANE / 8 % 2);
#pragma unroll
        for (int k = 0; k < DEPTH / 16; ++k) {
            uint32_t a[4][4];
#pragma unroll
            for (int m = 0; m < 4; ++m) ldmatrix_x4_trans(a[m], stage + (corner ^ 16 * m) + 16 * k * M);
#pragma unroll
            for (int n = 0; n < 8; ++n) {
                uint32_t b[2];
#pragma unroll
                for (int r = 0; r < 2; ++r) {
                    const Chunk* pair = read + 4 * k + 2 * r;
                    b[r] = halves(pair[0][n / 2], pair[1][n / 2], n % 2);
                }
#pragma unroll
                for (int m = 0; m < 4; ++m) mma_m16n8k16<T>(part.acc[m][n], a[m], b);
            }
#pragma unroll
            for (int i = 0; i < 4; ++i) read_next(read[4 * k + i]);
        }
    }
};

// parts[s, o, column]: the sum over positions [s·each, (s + 1)·each). `each` is a multiple of DEPTH, `features` one of 8, of
// which the first `real` are there.
template <typename T, int M, int N>
__global__ void __launch_bounds__(Direct<M, N>::THREADS, 256 / Direct<M, N>::THREADS)
weight_parts(const T* __restrict__ image, const T* __restrict__ gradient, float* __restrict__ parts, int channels,
             int features, int real, int height, int width, int output_h, int output_w, int kernel_h, int kernel_w,
             int stride_h, int stride_w, int top, int left, int dilation_h, int dilation_w, unsigned long long by_area,
             unsigned long long by_width, int positions, int each) {
    using Terms = Positions<T, M, N>;
    extern __shared__ __align__(16) unsigned char memory[];
    const int columns = kernel_h * kernel_w * channels, tiles = static_cast<int>(ceil_div(real, M));
    const int wide = static_cast<int>(ceil_div(columns, N)), s = blockIdx.x / tiles / wide;
    const int feature = blockIdx.x % tiles * M, column = blockIdx.x / tiles % wide * N;

    Direct<M, N> part;
    Terms terms;
    const int row = threadIdx.x / (M / 8), chunk = threadIdx.x % (M / 8), mine = (column + part.column) / 8 + GROUP;
    const int block = block_of(channels) / 8, taps = kernel_h * kernel_w, tap = mine / block % taps;
    const int dy = tap / kernel_w * dilation_h - top, dx = tap % kernel_w * dilation_w - left;
    const int start = s * each, area = output_h * output_w, count = min(each, positions - start);
    const unsigned chunks = channels / 8;
    terms.gradient = gradient + feature, terms.image = image, terms.pitch = features / 8;
    terms.height = mine * 8 < columns ? height : 0, terms.width = width, terms.stride_h = stride_h;
    terms.features = feature + chunk * 8 < features;
    terms.left = count - row, terms.there = count - MEMBER;
    int n, h, w;
    Grid{output_h, output_w, positions, by_area, by_width}.find(start + MEMBER, n, h, w);
    terms.round_y = output_h * stride_h, terms.round_x = output_w * stride_w;
    terms.y = h * stride_h + dy, terms.end_y = terms.round_y + dy;
    terms.x = w * stride_w + dx, terms.end_x = terms.round_x + dx;
    terms.step_y = Terms::EVERY % area / output_w * stride_h, terms.step_x = Terms::EVERY % area % output_w * stride_w;
    terms.at_gradient = (start + row) * terms.pitch + chunk;
    terms.at = ((n * height + terms.y) * width + terms.x) * chunks + mine / block / taps * block + mine % block;
    terms.step = ((Terms::EVERY / area * height + terms.step_y) * width + terms.step_x) * chunks;
    terms.next_row = (stride_h * width - terms.round_x) * chunks, terms.next_image = (height - terms.round_y) * width * chunks;

    const bool busy = feature + part.row < real && column + part.column < columns;
    if (busy) terms.begin();
    add_up(part, reinterpret_cast<T*>(memory), terms, static_cast<int>(ceil_div(count, DEPTH)), busy);
    parts += static_cast<long long>(s) * real * columns;
    const bool odd = MEMBER & 1;
#pragma unroll
    for (int r = 0; r < 8; ++r) {
        const int o = feature + part.row + 8 * r + GROUP;
#pragma unroll
        for (int c = 0; c < 2; ++c) {  // a lane has the eight columns of a chunk, and stores half of two lanes' chunks, whole sectors
            Vec<float, 4> first, second;
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float low = part.sums(r, i)[c], high = part.sums(r, 4 + i)[c], got = __shfl_xor_sync(FULL, odd ? low : high, 1);
                first.at[i] = odd ? got : low, second.at[i] = odd ? high : got;
            }
            const int k = column + part.column + 8 * (MEMBER / 2 * 4 + c);
            float* to = parts + static_cast<long long>(o) * columns + k + 4 * odd;
            if (o < real && k < columns) store(to, first);
            if (o < real && k + 16 < columns) store(to + 16, second);
        }
    }
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
// Where a thread is in images (batch, rows, pixels), which have `chunks` of 8 pixels to a row.
template <typename T> struct Pixel {
    const T* at;
    int chunk, chunks, left;  // which of the row's is next, and how many are left
    int all, rest;            // chunks of a step, and what they add to `chunk`, but for carries
    unsigned step, next;      // what steps and carries add to `at`, in chunks

    __device__ __forceinline__ void go() {
        at += 8ull * step, chunk += rest, left -= all;
        if (chunk >= chunks) chunk -= chunks, at += 8ull * next;
    }
};

// Terms are pixels, DEPTH for each split: of M rows, which a stage holds, and of N columns, of which a lane reads a chunk of one
// for each product, a step ahead.
template <typename T, int M, int N> struct Pixels {
    using Part = Direct<M, N>;
    static constexpr int CHUNKS = Part::SPLITS * DEPTH / 8, STAGE = M * DEPTH * Part::SPLITS, EVERY = Part::THREADS / CHUNKS;
    Pixel<T> copied, next;
    int rows, columns;  // from the thread's first on
    unsigned chunks;    // of a row
    uint32_t nothing;   // 0, which the compiler does not know
    Chunk read[8];

    // Rows change places in pairs for every other split: what eight threads copy is of two splits, and lies in all banks.
    __device__ __forceinline__ void load(T* stage) {
        const int c = threadIdx.x % CHUNKS, row = threadIdx.x / CHUNKS;
        T* to = stage + (c / (DEPTH / 8) * M + (row ^ (c / (DEPTH / 8) & 1))) * DEPTH + c % (DEPTH / 8) * 8;
#pragma unroll
        for (int m = 0; m < M; m += EVERY) cp_async_16(to + m * DEPTH, copied.at + 8ull * m * chunks, copied.left > 0 && m < rows);
        copied.go();
    }

    // Column c of product n: four neighbours are two of each of two products, which one lane gets.
    __device__ __forceinline__ static int column(int n, int c) { return n / 2 * 16 + c / 2 * 4 + n % 2 * 2 + c % 2; }

    __device__ __forceinline__ void read_next(int n) {
        const int k = column(n, 0);
        load_16_or_zeros(read[n], next.at + 8ull * k * chunks, next.left > 0 && k < columns);
    }

    __device__ __forceinline__ void begin() {
#pragma unroll
        for (int n = 0; n < 8; ++n) read_next(n);
        next.go();
    }

    // A lane has eight neighbouring pixels of a row or a column, four of them for each of two products. What these take of rows are
    // registers of two loads, side by side: `| nothing` puts them there at once, where the compiler would copy each up to four times.
    __device__ __forceinline__ void multiply_add(Part& part, const T* stage) {
        const auto* from = reinterpret_cast<const uint32_t*>(stage + (part.split * M + part.row) * DEPTH) +
                           (LANE ^ (part.split & 1) * (DEPTH / 8)) * 4;
        uint32_t a[2][4][4];
#pragma unroll
        for (int m = 0; m < 4; ++m) {
            const auto upper = ::load<4>(from + m * 8 * DEPTH), lower = ::load<4>(from + m * 8 * DEPTH + 4 * DEPTH);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                a[i / 2][m][i % 2 * 2] = upper.at[i] | nothing;
                a[i / 2][m][i % 2 * 2 + 1] = lower.at[i] | nothing;
            }
        }
#pragma unroll
        for (int n = 0; n < 8; ++n) {
#pragma unroll
            for (int k = 0; k < 2; ++k) {
                const uint32_t b[2] = {read[n][2 * k], read[n][2 * k + 1]};
#pragma unroll
                for (int m = 0; m < 4; ++m) mma_m16n8k16<T>(part.acc[m][n], a[k][m], b);
            }
            read_next(n);
        }
        next.go();
    }
};

// parts[s, o, c], for channels to a multiple of 8 (`padded`), as `weight_parts`; `few` is g and `many` is x, or, `turned`, the
// other way round. `pixels` is a multiple of 8.
template <typename T, int M, int N>
__global__ void __launch_bounds__(Direct<M, N>::THREADS, 256 / Direct<M, N>::THREADS)
pointwise_parts(const T* __restrict__ few, const T* __restrict__ many, float* __restrict__ parts, int rows, int columns,
                int padded, int pixels, unsigned long long by_chunks, int positions, int each, bool turned) {
    using Terms = Pixels<T, M, N>;
    extern __shared__ __align__(16) unsigned char memory[];
    const int tiles = static_cast<int>(ceil_div(rows, M)), wide = static_cast<int>(ceil_div(columns, N));
    const int row = blockIdx.x % tiles * M, column = blockIdx.x / tiles % wide * N, s = blockIdx.x / tiles / wide;
    const int start = s * each / 8, count = min(each, positions - s * each), chunks = pixels / 8;

    Direct<M, N> part;
    Terms terms;
    constexpr int STEP = Terms::CHUNKS;
    // the thread's chunk, c of the first step's, of images with `of` rows
    const auto place = [&](const T* images, int first, int of, int c) {
        const unsigned at = start + c, n = quotient(at, by_chunks), image = of * chunks, chunk = at - n * chunks;
        return Pixel<T>{images + 8ull * (n * image + first * chunks + chunk), static_cast<int>(chunk), chunks, count / 8 - c, STEP,
                        STEP % chunks, STEP / chunks * image + STEP % chunks, image - chunks};
    };
    const int first = row + threadIdx.x / STEP, mine = column + part.column + Terms::column(0, GROUP);
    terms.copied = place(few, first, rows, threadIdx.x % STEP);
    terms.next = place(many, mine, columns, part.split * (DEPTH / 8) + MEMBER);
    terms.rows = rows - first, terms.columns = columns - mine, terms.chunks = chunks;
    terms.nothing = static_cast<unsigned>(pixels) >> 31;

    const bool busy = row + part.row < rows && column + part.column < columns;
    if (busy) terms.begin();
    add_up(part, reinterpret_cast<T*>(memory), terms, static_cast<int>(ceil_div(count / 8, STEP)), busy);
    part.add_splits(reinterpret_cast<float*>(memory));
    if (part.split > 0) return;
    const int features = turned ? columns : rows;
    parts += static_cast<long long>(s) * features * padded;
#pragma unroll
    for (int r = 0; r < 8; ++r)
#pragma unroll
        for (int n = 0; n < 8; n += 2) {
            const int i = row + part.row + 8 * r + GROUP, k = column + part.column + Terms::column(n, 2 * MEMBER);
            const float *left = part.sums(r, n), *right = part.sums(r, n + 1);
            const Vec<float, 4> sums{{left[0], left[1], right[0], right[1]}};
            if (!turned) {
                if (i < rows && k < padded) store(parts + static_cast<long long>(i) * padded + k, sums);
                continue;
            }
#pragma unroll
            for (int c = 0; c < 4; ++c)
                if (i < padded && k + c < columns) parts[static_cast<long long>(k + c) * padded + i] = sums.at[c];
        }
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
