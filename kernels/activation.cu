// Activations with the bias before them: y = f(x + b), and backward grad_x = g f'(x + b), grad_b = Σ grad_x over the rows.
//
// x (rows, width), b (width) or null, which is 0. Without b any array is rows of any width, so it is taken as one long
// row of vectors. f is a functor; its derivative comes from y where that says enough, so that x need not be kept, otherwise
// from x + b. `Identity` adds a bias, and backward sums the columns alone (null for what is not wanted).
// Inputs float, half or bfloat16, arithmetic float. x and y, or g and grad_x, may be the same memory.
//
// Geometry: 256 threads; a thread has the VECTOR<T> columns of one 16-byte access and goes down `each` rows, of which two
// at a time are on their way to it. `lanes` threads (a power of two, at most 32) lie side by side, 256/lanes below each
// other. blockIdx.x counts blocks of rows, blockIdx.y blocks of columns. Where rows do not begin on 16 bytes (`whole` is
// false), and at the end, elements go one by one. Sums of columns are deterministic: a thread's rows in order, then the
// block's threads in order, then, by `column_totals`, the blocks in a fixed order.
// Limits: width ≤ 65535·32·VECTOR<T>, rows·width < 2⁶³.
//
// Memory: forward 2 sizeof(T) bytes an element, backward 3, and nothing more for the bias. 16384 × 4096 in bfloat16:
// 268 MB forward, 62 µs at 4.3 TB/s; 403 MB backward, 94 µs. Up to 26 instructions an element forward and 40 backward fit
// into that; the most there are, those of the exact GELU, are 21 and 26.
#include "common.cuh"

// --- functions -------------------------------------------------------------------------------------------------------
// What the derivative comes from, and backward is given.
enum Saved { NOTHING, OUTPUT, INPUT };

struct Identity {
    static constexpr Saved SAVED = NOTHING;
    static __device__ __forceinline__ float value(float z) { return z; }
    static __device__ __forceinline__ float slope(float) { return 1; }
};

// slope · g, and 0 where the slope is 0 and g infinite.
__device__ __forceinline__ float chosen(float slope, float g) { return slope == 0 ? 0 : slope * g; }

struct Relu {  // max(z, 0), and NaN of NaN
    static constexpr Saved SAVED = OUTPUT;
    static __device__ __forceinline__ float value(float z) { return z <= 0 ? 0 : z; }
    static __device__ __forceinline__ float slope(float y) { return y != 0; }
};

// Where e⁻ᶻ is infinite σ(z) is below the least normal number, 0; elsewhere both tails keep their digits.
__device__ __forceinline__ float logistic(float z) { return __fdividef(1, 1 + __expf(-z)); }

struct Sigmoid {
    static constexpr Saved SAVED = OUTPUT;
    static __device__ __forceinline__ float value(float z) { return logistic(z); }
    static __device__ __forceinline__ float slope(float y) { return y * (1 - y); }
};

struct Tanh {
    static constexpr Saved SAVED = OUTPUT;
    static __device__ __forceinline__ float value(float z) { return tanhf(z); }
    static __device__ __forceinline__ float slope(float y) { return 1 - y * y; }
};

struct Silu {  // z σ(z)
    static constexpr Saved SAVED = INPUT;
    static __device__ __forceinline__ float value(float z) { return z * logistic(z); }
    static __device__ __forceinline__ float slope(float z) {
        const float s = logistic(z);
        return s * (1 + z * (1 - s));
    }
};

// The normal distribution. For z ≤ 0, Φ(z) = ½ erfc(−z/√2) = e^(−z²/2) t P(t), t = 1/(1 − 0.3365 z): the form of Hastings,
// "Approximations for Digital Computers" (1955), with P of degree 6 fitted to 7e-9. It shares its exponential with the
// density and keeps four digits where Φ is tiny; erff takes twice the instructions, and 1 + erf has no digits there.
struct Normal {
    float cumulative, density;
    __device__ __forceinline__ explicit Normal(float z) {
        constexpr float P[] = {0.1346120834f,  0.1281170845f, 0.1580894291f, -0.0383318402f,
                               0.2750574946f, -0.2013002634f, 0.0437560007f};
        const float e = __expf(-0.5f * z * z), t = __fdividef(1, 1 + 0.3365f * fabsf(z));
        float p = P[6];
#pragma unroll
        for (int i = 5; i >= 0; --i) p = p * t + P[i];
        const float tail = e * (t * p);
        cumulative = z < 0 ? tail : 1 - tail;
        density = 0.398942280f * e;
    }
};

struct Gelu {  // z Φ(z)
    static constexpr Saved SAVED = INPUT;
    static __device__ __forceinline__ float value(float z) { return z * Normal(z).cumulative; }
    static __device__ __forceinline__ float slope(float z) {
        const Normal normal(z);
        return normal.cumulative + z * normal.density;
    }
};

struct GeluTanh {  // z Φ(z), Φ(z) ≈ ½ (1 + tanh u) = σ(2u), u = √(2/π) (z + 0.044715 z³)
    static constexpr Saved SAVED = INPUT;
    static constexpr float C0 = 0.797884561f, C1 = 0.797884561f * 0.044715f, TO_2 = -2 * 1.44269504f;  // e⁻²ᵘ = 2^(TO_2 u)
    static __device__ __forceinline__ float cumulative(float z) {
        return __fdividef(1, 1 + exp2f(z * (TO_2 * C0 + TO_2 * C1 * (z * z))));
    }
    static __device__ __forceinline__ float value(float z) { return z * cumulative(z); }
    static __device__ __forceinline__ float slope(float z) {
        const float p = cumulative(z);
        return p + z * (2 * p * (1 - p)) * (C0 + 3 * C1 * z * z);
    }
};

// --- forward and backward --------------------------------------------------------------------------------------------
constexpr int THREADS = 256, BATCH = 2;

// Where a thread works: BATCH rows at a time, `down` elements apart, from column `column` on.
struct Place {
    long long first, down;
    int column;
    __device__ __forceinline__ Place(int vector, int width, int lanes, int each) {
        const int bits = __popc(lanes - 1);  // lanes = 2^bits: shifts for quotients, which took most of the prologue
        const long long step = THREADS >> bits, row = blockIdx.x * step * each + (threadIdx.x >> bits);
        column = (blockIdx.y * lanes + (threadIdx.x & (lanes - 1))) * vector;
        first = row * width + column;
        down = step * width;
    }
    // The k-th of the thread's rows: where it starts, and whether that row and its BATCH − 1 successors are there in full.
    __device__ __forceinline__ long long at(int k) const { return first + k * down; }
    __device__ __forceinline__ bool full(int k, int vector, long long count, int width) const {
        return column + vector <= width && at(k + BATCH - 1) + vector <= count;
    }
    __device__ __forceinline__ int left(int k, int vector, long long count, int width) const {
        return static_cast<int>(min(static_cast<long long>(min(vector, width - column)), count - at(k)));
    }
};

// The biases of a thread's columns: zeros if there are none, or not for all N columns (whose elements then go one by one).
template <int N, typename T> __device__ __forceinline__ void read_bias(float (&b)[N], const T* bias, bool there) {
#pragma unroll
    for (int j = 0; j < N; ++j) b[j] = 0;
    if (!there) return;
    const Vec<T, N> v = load<N>(bias);
#pragma unroll
    for (int j = 0; j < N; ++j) b[j] = to_float(v.at[j]);
}

// x, y: `count` elements in rows of `width`, the last one perhaps shorter; bias (width) or null.
template <typename T, typename F>
__global__ void __launch_bounds__(THREADS, 4)
    activation_forward(const T* x, const T* bias, T* y, long long count, int width, int lanes, int each, bool whole) {
    constexpr int N = VECTOR<T>;
    const Place place(N, width, lanes, each);
    float b[N];
    read_bias<N>(b, bias + place.column, bias && whole && place.column + N <= width);
    for (int k = 0; k < each; k += BATCH) {
        if (whole && place.full(k, N, count, width)) {
            Vec<T, N> v[BATCH];
#pragma unroll
            for (int i = 0; i < BATCH; ++i) v[i] = load<N>(x + place.at(k + i));
#pragma unroll
            for (int i = 0; i < BATCH; ++i) {
                float z[N];
                to_floats(z, v[i]);
#pragma unroll
                for (int j = 0; j < N; ++j) v[i].at[j] = from_float<T>(F::value(z[j] + b[j]));
                store(y + place.at(k + i), v[i]);
            }
        } else {
            for (int i = k; i < k + BATCH; ++i) {
                const long long at = place.at(i);
                for (int j = 0; j < place.left(i, N, count, width); ++j)
                    y[at + j] = from_float<T>(F::value(to_float(x[at + j]) + (bias ? to_float(bias[place.column + j]) : 0)));
            }
        }
    }
}

// saved: x or y, as F wants it; bias for an F that wants x. grad_x, or null; partial (gridDim.x, width), or null, gets the
// sums of the block's columns.
template <typename T, typename F>
__global__ void __launch_bounds__(THREADS, 2)
    activation_backward(const T* g, const T* saved, const T* bias, T* grad_x, float* partial, long long count, int width,
                        int lanes, int each, bool whole) {
    constexpr int N = VECTOR<T>;
    __shared__ float sums[N][THREADS + 32 / N];  // each thread its own, until the end; no two rows in the same banks
    const Place place(N, width, lanes, each);
    float b[N], sum[N];
    read_bias<N>(b, bias + place.column, F::SAVED == INPUT && bias && whole && place.column + N <= width);
#pragma unroll
    for (int j = 0; j < N; ++j) sum[j] = sums[j][threadIdx.x] = 0;
    for (int k = 0; k < each; k += BATCH) {
        if (whole && place.full(k, N, count, width)) {
            Vec<T, N> v[BATCH], s[BATCH];
#pragma unroll
            for (int i = 0; i < BATCH; ++i) {
                v[i] = load<N>(g + place.at(k + i));
                if constexpr (F::SAVED != NOTHING) s[i] = load<N>(saved + place.at(k + i));
            }
#pragma unroll
            for (int i = 0; i < BATCH; ++i) {
                float z[N] = {}, g[N];
                if constexpr (F::SAVED != NOTHING) to_floats(z, s[i]);
                to_floats(g, v[i]);
#pragma unroll
                for (int j = 0; j < N; ++j) {
                    const float grad = chosen(F::slope(z[j] + b[j]), g[j]);
                    sum[j] += grad;
                    v[i].at[j] = from_float<T>(grad);
                }
                if (grad_x) store(grad_x + place.at(k + i), v[i]);
            }
        } else {
            for (int i = k; i < k + BATCH; ++i) {
                const long long at = place.at(i);
                for (int j = 0; j < place.left(i, N, count, width); ++j) {
                    const float z = (F::SAVED == NOTHING ? 0 : to_float(saved[at + j])) +
                                    (F::SAVED == INPUT && bias ? to_float(bias[place.column + j]) : 0);
                    const float grad = chosen(F::slope(z), to_float(g[at + j]));
                    sums[j][threadIdx.x] += grad;
                    if (grad_x) grad_x[at + j] = from_float<T>(grad);
                }
            }
        }
    }
    if (!partial) return;
#pragma unroll
    for (int j = 0; j < N; ++j) sums[j][threadIdx.x] += sum[j];
    __syncthreads();
    if (threadIdx.x >= lanes * N) return;  // one thread for each column
    const int lane = threadIdx.x / N, column = blockIdx.y * lanes * N + threadIdx.x;
    float total = 0;
    for (int t = lane; t < THREADS; t += lanes) total += sums[threadIdx.x % N][t];
    if (column < width) partial[blockIdx.x * static_cast<long long>(width) + column] = total;
}

// out[column] = Σ over the blocks of partial (blocks, width).
template <typename T>
__global__ void __launch_bounds__(THREADS) column_totals(const float* partial, T* out, int blocks, int width) {
    const float sum = column_sum<THREADS / 32>(partial, blocks, width);
    const int column = blockIdx.x * 32 + LANE;
    if (threadIdx.x < 32 && column < width) out[column] = from_float<T>(sum);
}
