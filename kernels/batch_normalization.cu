// Batch and group normalisation of x (N, C, S), S being the product of the spatial axes, forward and backward.
//
//     x̂ = (x − mean) · rstd,  rstd = 1/√(var + eps),  y = weight[c] x̂ + bias[c]
//     grad_x = rstd (ĝ − mean(ĝ) − x̂ mean(ĝ x̂)),  ĝ = weight[c] g,  grad_weight[c] = Σ g x̂,  grad_bias[c] = Σ g
//
// Batch: one mean and rstd per channel, of N · S elements (or given ones, in inference). Group: one per sample and run of
// C / G channels, which lie together: to the moments it is a batch of one sample with N · G channels of size C S / G, and to
// the sums of the backward pass one with N · C channels.
//
// Data are float, half or bfloat16 (T); parameters and statistics of a batch are of the same type or float (P), all other
// statistics and sums float. Moments: each thread finds the mean of
// what it has in registers, then the sum of squared differences from it; these are joined by the formula of Chan, Golub &
// LeVeque (1979), over tiles, lanes, warps and at last blocks, always in the same order.
//
// Layout. A channel is walked in units of V elements, one access each: V = 16 / sizeof(T) where S is a multiple of it,
// otherwise 1. `lanes` threads of a warp (a power of two) share a channel, the other lanes have the next channels; the 8
// warps of a block share channels too if `across`. So 32 lanes suit long planes, few suit short ones and S = 1, where
// neighbouring lanes read neighbouring channels. gridDim.y slices share a channel's units; they are chosen by the shape
// alone: same shape, same bits.
//
// x in channel-last memory is (N · S, C, 1). Where C is a multiple of 16 / sizeof(T) a unit is V channels of one pixel
// (LAST): the walk is one over C / V channels of size V, and each thread keeps V statistics or sums.
//
// Bytes, of n = N C S elements times sizeof(T): moments n, normalise 2 n; sums 2 n, normalise_backward 3 n. Batch norm of
// (64, 256, 56, 56) bfloat16, 103 MB, takes 72 µs forward and 120 µs backward at 4.3 TB/s; what still is in L2 when it is
// read again (tensors below some 40 MB) takes less. 3 to 8 operations per element are far from the limit.
#include "common.cuh"

constexpr int WARPS = 8;  // of a block
template <int V, bool LAST> constexpr int UNITS = V == 1 ? 8 : LAST ? 2 : 4;  // in flight, of one thread

// The units that a thread visits, `left` in number, one after another: (sample, unit) of its channel, first element `offset`.
template <int V> struct Walk {
    int channel, sample, unit, left, step_samples, step_units;
    unsigned units;
    long long offset, jump, wrap;

    __device__ __forceinline__ Walk(int samples, int channels, int size, int lanes, bool across) {
        const int warp = threadIdx.x / 32, step = across ? WARPS * lanes : lanes;
        channel = (across ? blockIdx.x : blockIdx.x * WARPS + warp) * (32 / lanes) + LANE / lanes;
        units = size / V;
        const unsigned count = samples * units, span = (count + gridDim.y - 1) / gridDim.y;  // less than 2³¹, as the launcher knows
        const unsigned first = span * blockIdx.y + (across ? warp * lanes : 0) + LANE % lanes;
        const unsigned end = min(count, span * (blockIdx.y + 1));
        left = channel < channels && first < end ? (end - first + step - 1) / static_cast<unsigned>(step) : 0;
        sample = first / units;
        unit = first - sample * units;
        offset = ((long long)sample * channels + channel) * size + unit * V;
        step_samples = static_cast<unsigned>(step) / units;
        step_units = step - step_samples * units;
        jump = (long long)step_samples * channels * size + step_units * V;
        wrap = (long long)(channels - 1) * size;
    }

    // Stays at the last: so that what is loaded need not be chosen, which costs registers, but only whether it counts.
    __device__ __forceinline__ void next() {
        if (--left <= 0) return;
        sample += step_samples;
        unit += step_units;
        offset += jump;
        if (unit >= static_cast<int>(units)) {
            unit -= units;
            ++sample;
            offset += wrap;
        }
    }
};

// --- forward -----------------------------------------------------------------------------------------------------------
struct Moments {
    float count, mean, spread;  // spread = Σ (x − mean)²
};

__device__ __forceinline__ Moments join(Moments a, Moments b) {
    const float count = a.count + b.count, part = count > 0 ? __fdividef(b.count, count) : 0, d = b.mean - a.mean;
    return {count, a.mean + d * part, a.spread + b.spread + d * d * a.count * part};
}

// Over `lanes` lanes, a power of two. First the mean of all, then what each spread about that: one division in the place of five.
__device__ __forceinline__ Moments join_lanes(Moments m, int lanes) {
    float count = m.count, sum = m.count * m.mean;
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
        const float other = __shfl_xor_sync(FULL, count, step), more = __shfl_xor_sync(FULL, sum, step);
        count += step < lanes ? other : 0;
        sum += step < lanes ? more : 0;
    }
    const float mean = count > 0 ? sum / count : 0, d = m.mean - mean;
    float spread = m.spread + m.count * d * d, rest = m.count * d;
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
        const float other = __shfl_xor_sync(FULL, spread, step), more = __shfl_xor_sync(FULL, rest, step);
        spread += step < lanes ? other : 0;
        rest += step < lanes ? more : 0;
    }
    if (count > 0) rest /= count;  // what rounding has left of the mean
    return {count, mean + rest, spread - rest * rest * count};
}

// partial (gridDim.y, 3, C): count, mean and spread of each slice.
template <typename T, int V, bool LAST>
__global__ void __launch_bounds__(32 * WARPS, LAST ? 3 : 4)
    channel_moments(const T* x, float* partial, int samples, int channels, int size, int lanes, bool across) {
    constexpr int K = LAST ? V : 1, U = UNITS<V, LAST>;
    Walk<V> from(samples, channels, size, lanes, across);
    Moments m[K] = {};
    while (from.left > 0) {
        const int found = min(from.left, U);
        Vec<T, V> read[U];
        float v[U][V];
        Moments tile[K] = {};
#pragma unroll
        for (int i = 0; i < U; ++i, from.next()) read[i] = load<V>(x + from.offset);
#pragma unroll
        for (int i = 0; i < U; ++i) to_floats(v[i], read[i]);
#pragma unroll
        for (int i = 0; i < U; ++i) {
            if (i >= found) break;
#pragma unroll
            for (int j = 0; j < V; ++j) tile[LAST ? j : 0].mean += v[i][j];
        }
        const float count = found * V / K, each = __fdividef(1, count);
#pragma unroll
        for (int k = 0; k < K; ++k) {
            tile[k].count = count;
            tile[k].mean *= each;
        }
#pragma unroll
        for (int i = 0; i < U; ++i) {
            if (i >= found) break;
#pragma unroll
            for (int j = 0; j < V; ++j) {
                Moments& to = tile[LAST ? j : 0];
                const float d = v[i][j] - to.mean;
                to.spread += d * d;
            }
        }
#pragma unroll
        for (int k = 0; k < K; ++k) m[k] = join(m[k], tile[k]);
    }
    __shared__ float of_warps[3 * K][WARPS][32];
    const int warp = threadIdx.x / 32;
#pragma unroll
    for (int k = 0; k < K; ++k) {
        m[k] = join_lanes(m[k], lanes);
        of_warps[3 * k][warp][LANE] = m[k].count;
        of_warps[3 * k + 1][warp][LANE] = m[k].mean;
        of_warps[3 * k + 2][warp][LANE] = m[k].spread;
    }
    if (across) {
        __syncthreads();
        if (warp > 0) return;
#pragma unroll
        for (int k = 0; k < K; ++k) {
            for (int w = 1; w < WARPS; ++w) {
                m[k] = join(m[k], {of_warps[3 * k][w][LANE], of_warps[3 * k + 1][w][LANE], of_warps[3 * k + 2][w][LANE]});
            }
        }
    }
    if (LANE % lanes > 0 || from.channel >= channels) return;
    float* const to = partial + ((long long)blockIdx.y * 3 * channels + from.channel) * K;
#pragma unroll
    for (int k = 0; k < K; ++k) {
        to[k] = m[k].count;
        to[channels * K + k] = m[k].mean;
        to[2LL * channels * K + k] = m[k].spread;
    }
}

// mean, rstd (channels,) from partial (slices, 3, channels), and batch_mean, batch_var (unbiased) in P unless null.
template <typename P>
__global__ void __launch_bounds__(32 * WARPS)
    channel_statistics(const float* partial, float* mean, float* rstd, P* batch_mean, P* batch_var, int channels, int slices,
                       float eps) {
    const int channel = blockIdx.x * WARPS + threadIdx.x / 32;
    Moments m = {0, 0, 0};
    for (int k = LANE; k < slices && channel < channels; k += 32) {
        const float* const from = partial + (long long)k * 3 * channels + channel;
        m = join(m, {from[0], from[channels], from[2LL * channels]});
    }
    m = join_lanes(m, 32);
    if (LANE > 0 || channel >= channels) return;
    mean[channel] = m.mean;
    rstd[channel] = 1 / sqrtf(m.spread / m.count + eps);
    if (batch_mean) {
        batch_mean[channel] = from_float<P>(m.mean);
        batch_var[channel] = from_float<P>(m.spread / fmaxf(m.count - 1, 1));
    }
}

// mean and rstd (channels,) in float from running statistics.
template <typename P>
__global__ void __launch_bounds__(32 * WARPS)
    running_statistics(const P* running_mean, const P* running_var, float* mean, float* rstd, int channels, float eps) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= channels) return;
    mean[channel] = to_float(running_mean[channel]);
    rstd[channel] = 1 / sqrtf(to_float(running_var[channel]) + eps);
}

// y = (x − mean) · rstd · weight + bias, of which mean, weight and bias may be null. The statistics of a channel are number
// sample · stride + channel / shared: 0 and 1 for batch norm.
template <typename T, typename P, int V, bool LAST>
__global__ void __launch_bounds__(32 * WARPS, 4)
    normalise(const T* __restrict__ x, const float* __restrict__ mean, const float* __restrict__ rstd,
              const P* __restrict__ weight, const P* __restrict__ bias, T* __restrict__ y, int samples, int channels, int size,
              int lanes, bool across, int stride, int shared) {
    constexpr int K = LAST ? V : 1, U = UNITS<V, LAST>;
    Walk<V> from(samples, channels, size, lanes, across);
    if (from.left <= 0) return;
    const int channel = from.channel * K;
    float centre[K], scale[K], w[K], b[K];
#pragma unroll
    for (int k = 0; k < K; ++k) {
        w[k] = weight ? to_float(weight[channel + k]) : 1;
        b[k] = bias ? to_float(bias[channel + k]) : 0;
        centre[k] = LAST && mean ? mean[channel + k] : 0;
        scale[k] = LAST ? w[k] * rstd[channel + k] : 0;
    }
    while (from.left > 0) {
        Walk<V> to = from;
        Vec<T, V> v[U];
#pragma unroll
        for (int i = 0; i < U; ++i, from.next()) v[i] = load<V>(x + from.offset);
#pragma unroll
        for (int i = 0; i < U; ++i, to.next()) {
            if (to.left <= 0) break;
            if constexpr (!LAST) {
                const int at = to.sample * stride + channel / shared;
                centre[0] = mean ? mean[at] : 0;
                scale[0] = w[0] * rstd[at];
            }
#pragma unroll
            for (int j = 0; j < V; ++j) {
                const int k = LAST ? j : 0;
                v[i].at[j] = from_float<T>((to_float(v[i].at[j]) - centre[k]) * scale[k] + b[k]);
            }
            store(y + to.offset, v[i]);
        }
    }
}

// --- backward ----------------------------------------------------------------------------------------------------------
// partial (2, gridDim.y, C): Σ g x̂ and Σ g of each slice; the statistics of a channel are number channel / shared.
template <typename T, int V, bool LAST>
__global__ void __launch_bounds__(32 * WARPS, 4)
    gradient_sums(const T* g, const T* x, const float* mean, const float* rstd, float* partial, int samples, int channels,
                 int size, int lanes, bool across, int shared) {
    constexpr int K = LAST ? V : 1, U = UNITS<V, LAST>;
    Walk<V> from(samples, channels, size, lanes, across);
    const int channel = from.channel * K;
    float sum_gx[K] = {}, sum_g[K] = {}, centre[K] = {};
#pragma unroll
    for (int k = 0; k < K && from.channel < channels; ++k) centre[k] = mean[channel / shared + k];
    while (from.left > 0) {
        const int found = min(from.left, U);
        Vec<T, V> at_g[U], at_x[U];
#pragma unroll
        for (int i = 0; i < U; ++i, from.next()) {
            at_g[i] = load<V>(g + from.offset);
            at_x[i] = load<V>(x + from.offset);
        }
#pragma unroll
        for (int i = 0; i < U; ++i) {
            if (i >= found) break;
#pragma unroll
            for (int j = 0; j < V; ++j) {
                const int k = LAST ? j : 0;
                const float value = to_float(at_g[i].at[j]);
                sum_g[k] += value;
                sum_gx[k] += value * (to_float(at_x[i].at[j]) - centre[k]);
            }
        }
    }
    __shared__ float of_warps[2 * K][WARPS][32];
    const int warp = threadIdx.x / 32;
#pragma unroll
    for (int k = 0; k < K; ++k) {
        for (int step = lanes / 2; step > 0; step /= 2) {
            sum_gx[k] += __shfl_xor_sync(FULL, sum_gx[k], step);
            sum_g[k] += __shfl_xor_sync(FULL, sum_g[k], step);
        }
        of_warps[2 * k][warp][LANE] = sum_gx[k];
        of_warps[2 * k + 1][warp][LANE] = sum_g[k];
    }
    if (across) {
        __syncthreads();
        if (warp > 0) return;
#pragma unroll
        for (int k = 0; k < K; ++k) {
            for (int w = 1; w < WARPS; ++w) {
                sum_gx[k] += of_warps[2 * k][w][LANE];
                sum_g[k] += of_warps[2 * k + 1][w][LANE];
            }
        }
    }
    if (LANE % lanes > 0 || from.channel >= channels) return;
#pragma unroll
    for (int k = 0; k < K; ++k) {
        partial[(long long)blockIdx.y * channels * K + channel + k] = sum_gx[k] * rstd[channel / shared + k];
        partial[((long long)gridDim.y + blockIdx.y) * channels * K + channel + k] = sum_g[k];
    }
}

// means (2, statistics): mean(ĝ x̂) and mean(ĝ) over `count` elements, from partial (2, slices, statistics · shared); weight
// has `channels` elements. The gradients of batch_mean and batch_var, null for none, come in as what they add to the means.
template <typename P>
__global__ void __launch_bounds__(32 * WARPS)
    gradient_means(const float* partial, const P* weight, const float* rstd, const P* g_mean, const P* g_var, float* means,
                   int statistics, int slices, int shared, int channels, float count) {
    const int k = blockIdx.x * WARPS + threadIdx.x / 32;
    float sum_gx = 0, sum_g = 0;
    for (long long i = LANE; i < (long long)slices * shared && k < statistics; i += 32) {
        const long long channel = (long long)k * shared + i % shared, all = (long long)statistics * shared;
        const float w = weight ? to_float(weight[channel % channels]) : 1;
        sum_gx += w * partial[i / shared * all + channel];
        sum_g += w * partial[(slices + i / shared) * all + channel];
    }
    sum_gx = warp_sum(sum_gx);
    sum_g = warp_sum(sum_g);
    if (LANE > 0 || k >= statistics) return;
    const float scale = rstd[k];
    means[k] = sum_gx / count - (g_var ? 2 * to_float(g_var[k]) / (fmaxf(count - 1, 1) * scale * scale) : 0);
    means[statistics + k] = sum_g / count - (g_mean ? to_float(g_mean[k]) / (count * scale) : 0);
}

// grad_x = rstd (weight g − mean_g − x̂ mean_gx), with statistics as in `normalise`.
template <typename T, typename P, int V, bool LAST>
__global__ void __launch_bounds__(32 * WARPS, LAST || V == 1 ? 3 : 4)
    normalise_backward(const T* __restrict__ g, const T* __restrict__ x, const float* __restrict__ mean,
                       const float* __restrict__ rstd, const P* __restrict__ weight, const float* __restrict__ mean_gx,
                       const float* __restrict__ mean_g, T* __restrict__ grad_x, int samples, int channels, int size,
                       int lanes, bool across, int stride, int shared) {
    constexpr int K = LAST ? V : 1, U = UNITS<V, LAST>;
    Walk<V> from(samples, channels, size, lanes, across);
    if (from.left <= 0) return;
    const int channel = from.channel * K;
    float centre[K], scale[K], c1[K], c2[K];  // grad_x = scale · g − c1 − (x − centre) · c2
    const auto find = [&](int k, int at) {
        const float r = rstd[at];
        centre[k] = mean[at];
        scale[k] = weight ? r * to_float(weight[channel + k]) : r;
        c1[k] = r * mean_g[at];
        c2[k] = r * r * mean_gx[at];
    };
    if constexpr (LAST) {
#pragma unroll
        for (int k = 0; k < K; ++k) find(k, channel + k);
    }
    while (from.left > 0) {
        Walk<V> to = from;
        Vec<T, V> at_g[U], at_x[U];
#pragma unroll
        for (int i = 0; i < U; ++i, from.next()) {
            at_g[i] = load<V>(g + from.offset);
            at_x[i] = load<V>(x + from.offset);
        }
#pragma unroll
        for (int i = 0; i < U; ++i, to.next()) {
            if (to.left <= 0) break;
            if constexpr (!LAST) find(0, to.sample * stride + channel / shared);
#pragma unroll
            for (int j = 0; j < V; ++j) {
                const int k = LAST ? j : 0;
                const float d = to_float(at_x[i].at[j]) - centre[k];
                at_g[i].at[j] = from_float<T>(scale[k] * to_float(at_g[i].at[j]) - c1[k] - d * c2[k]);
            }
            store(grad_x + to.offset, at_g[i]);
        }
    }
}
