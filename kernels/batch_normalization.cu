// Batch and group normalisation of x (N, C, S), S being the product of the spatial axes: forward.
//
//     x̂ = (x − mean) · rstd,  rstd = 1/√(var + eps),  y = weight[c] x̂ + bias[c]
//
// Batch: one mean and rstd per channel, of N · S elements (or given ones, in inference). Group: one per sample and run of
// C / G channels, which lie together: to the moments it is a batch of one sample with N · G channels of size C S / G, and to
// the sums of the backward pass (`batch_normalization_backward.cu`) one with N · C channels.
//
// Moments: each thread finds the mean of what it has in registers, then the sum of squared differences from it; these are joined by
// the formula of Chan, Golub & LeVeque (1979), over tiles, lanes, warps and at last blocks, always in the same order.
//
// Types, layout and launch: as `batch_normalization.cuh` has them.
//
// Bytes, of n = N C S elements times sizeof(T): moments n, normalise 2 n. Batch norm of (64, 256, 56, 56) bfloat16, 103 MB, takes
// 72 µs at 4.3 TB/s; what still is in L2 when it is read again (tensors below some 40 MB) takes less. 3 to 8 operations per element
// are far from the limit.
#include "batch_normalization.cuh"

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
    ChannelWalk<V> from(samples, channels, size, lanes, across);
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
    ChannelWalk<V> from(samples, channels, size, lanes, across);
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
        ChannelWalk<V> to = from;
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
