// The gradient of `batch_normalization.cu`, for batches and groups alike.
//
//     grad_x = rstd (ĝ − mean(ĝ) − x̂ mean(ĝ x̂)),  ĝ = weight[c] g,  grad_weight[c] = Σ g x̂,  grad_bias[c] = Σ g
//
// First the sums of each channel, by slices; their means over a batch or a group; then grad_x. The sums over slices are in the same
// order each time. Types, layout and launch: as `batch_normalization.cuh` has them.
//
// Bytes, of n = N C S elements times sizeof(T): sums 2 n, normalise_backward 3 n. Batch norm of (64, 256, 56, 56) bfloat16, 103 MB,
// takes 120 µs at 4.3 TB/s; what still is in L2 when it is read again (tensors below some 40 MB) takes less. 3 to 8 operations per
// element are far from the limit.
#include "batch_normalization.cuh"

// partial (2, gridDim.y, C): Σ g x̂ and Σ g of each slice; the statistics of a channel are number channel / shared.
template <typename T, int V, bool LAST>
__global__ void __launch_bounds__(32 * WARPS, 4)
    gradient_sums(const T* g, const T* x, const float* mean, const float* rstd, float* partial, int samples, int channels,
                 int size, int lanes, bool across, int shared) {
    constexpr int K = LAST ? V : 1, U = UNITS<V, LAST>;
    ChannelWalk<V> from(samples, channels, size, lanes, across);
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
    ChannelWalk<V> from(samples, channels, size, lanes, across);
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
        ChannelWalk<V> to = from;
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
