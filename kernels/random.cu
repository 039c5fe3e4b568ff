// Random numbers, bit for bit those of `Generator` on a CPU (backend/array/random.py): Philox words, turned into numbers
// by operations that IEEE 754 rounds exactly, in the same order. Hence compiled with -fmad=false: a product and a sum stay
// two roundings.
//
// y[i] comes from the i-th word of the draw (8-byte types), or from the i-th half-word (all others):
//
//     Words        w                                             Uniform     2⁻ᵖ · (the highest p bits), p = 53, 24, 11, 8
//     Integers     low + w mod bound                             Normal      Φ⁻¹((h + ½) 2⁻³²), for double of 52 bits
//     Bernoulli    h < bound (up to 2³²)
//
// Launch: 256 threads to a block; each computes one Philox block of four words, or four of them 256 apart, hence 4 or 8
// neighbours each, and writes them 16 bytes at a time (8 for bool). Types of 4 and 8 bytes go through shared memory before, so
// that a warp writes side by side. `y` is 16-byte aligned. A draw begins at Philox block `counter` + `*advance`. Limits: it ends
// before block 2⁶⁴ − 1.
//
// Cost: sizeof(T) bytes written per number, and 29 instructions, three quarters of them Philox's: float32 takes 1.1 times as
// long to compute as to write, bfloat16 twice as long. Most are products of integers, at half of an H200's rate. A normal
// number takes 400 instructions, most in double precision, as nearly every warp has one in the tails: 2²⁸ in 3 ms, once per
// model.
#include "neighbours.cuh"
#include "philox.cuh"

constexpr int THREADS = 256;

// --- the normal distribution's quantile ------------------------------------------------------------------------------
template <typename... Higher> __device__ __forceinline__ double horner(double x, double c, Higher... higher) {
    if constexpr (sizeof...(higher) == 0) return c;
    else return horner(x, higher...) * x + c;
}

// ln x, x = m 2ᵉ with m in [√½, √2): ln m = 2 artanh s, s = (m − 1)/(m + 1).
__device__ __forceinline__ double exact_log(double x) {
    const long long bits = __double_as_longlong(x);
    int e = static_cast<int>(bits >> 52) - 1022;
    double m = __longlong_as_double((bits & 0x000fffffffffffffll) | 0x3fe0000000000000ll);  // in [½, 1)
    if (m < 0.7071067811865476) {
        m *= 2.0;
        e -= 1;
    }
    const double s = (m - 1.0) / (m + 1.0);
    return e * 0.6931471805599453 + 2.0 * s * horner(s * s, 1.0, 1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13,
                                                    1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21, 1.0 / 23);
}

// Φ⁻¹(u). Wichura, "Algorithm AS 241", Applied Statistics 37 (1988).
__device__ double normal_quantile(double u) {
    const double q = u - 0.5;
    if (fabs(q) <= 0.425) {
        const double r = 0.180625 - q * q;
        return q * (horner(r, 3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
                           1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
                           3.3430575583588128105e4, 2.5090809287301226727e3) /
                    horner(r, 1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
                           2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
                           5.2264952788528545610e3));
    }
    const double r = sqrt(-exact_log(fmin(u, 1.0 - u)));
    double z;
    if (r <= 5.0) {
        const double t = r - 1.6;
        z = horner(t, 1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
                   3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
                   2.27238449892691845833e-2, 7.74545014278341407640e-4) /
            horner(t, 1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
                   1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
                   1.05075007164441684324e-9);
    } else {
        const double t = r - 5.0;
        z = horner(t, 6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
                   2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                   2.71155556874348757815e-5, 2.01033439929228813265e-7) /
            horner(t, 1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
                   7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
                   2.04426310338993978564e-15);
    }
    return q < 0 ? -z : z;
}

// --- from words to numbers -------------------------------------------------------------------------------------------
template <typename T> constexpr int PER_BLOCK = sizeof(T) == 8 ? 4 : 8;  // numbers that one Philox block makes
template <typename T> constexpr int AT_ONCE = PER_BLOCK<T> < VECTOR<T> ? PER_BLOCK<T> : VECTOR<T>;  // that one access writes
template <typename T> constexpr int PRECISION = 24;                     // bits of the significand
template <> constexpr int PRECISION<__half> = 11;
template <> constexpr int PRECISION<__nv_bfloat16> = 8;

struct Words {
    static constexpr int BATCH = 4;  // Philox blocks that a thread computes together; 1 where a number is most of the work
    template <typename T> static __device__ T number(const Philox4x64& block, int i, unsigned long long, long long) {
        return block.w[i];
    }
};

struct Integers {
    static constexpr int BATCH = 1;
    template <typename T> static __device__ T number(const Philox4x64& block, int i, unsigned long long bound, long long low) {
        return low + static_cast<long long>(block.w[i] % bound);
    }
};

struct Bernoulli {
    static constexpr int BATCH = 4;
    template <typename T> static __device__ T number(const Philox4x64& block, int i, unsigned long long bound, long long) {
        return block.half(i) < bound;
    }
};

struct Uniform {
    static constexpr int BATCH = 4;
    template <typename T> static __device__ T number(const Philox4x64& block, int i, unsigned long long, long long) {
        if constexpr (sizeof(T) == 8) return static_cast<double>(block.w[i] >> 11) * 0x1p-53;
        else return from_float<T>(static_cast<float>(block.half(i) >> (32 - PRECISION<T>)) / (1u << PRECISION<T>));
    }
};

struct Normal {  // half precision is rounded from float
    static constexpr int BATCH = 1;
    template <typename T> static __device__ T number(const Philox4x64& block, int i, unsigned long long, long long) {
        if constexpr (sizeof(T) == 8) return normal_quantile((static_cast<double>(block.w[i] >> 12) + 0.5) * 0x1p-52);
        else return from_float<T>(static_cast<float>(normal_quantile((block.half(i) + 0.5) * 0x1p-32)));
    }
};

// What a thread draws, from its Philox block `mine` on, up to the end of y. Not inlined: blocks that are whole do without it.
template <typename T, typename Draw>
__device__ __noinline__ void draw_rest(T* y, long long n, long long mine, unsigned long long start, unsigned long long key0,
                                       unsigned long long key1, unsigned long long bound, long long low) {
    constexpr int N = PER_BLOCK<T>, W = AT_ONCE<T>;
#pragma unroll 1
    for (int b = 0; b < Draw::BATCH && mine * N < n; ++b, mine += THREADS) {
        const Philox4x64 block = philox_block(start + mine, key0, key1);
#pragma unroll
        for (int i = 0; i < N; i += W) {
            const long long at = mine * N + i;
            Vec<T, W> v;
#pragma unroll
            for (int k = 0; k < W; ++k) v.at[k] = Draw::template number<T>(block, i + k, bound, low);
            if (at + W <= n) store(y + at, v);
            else {
#pragma unroll
                for (int k = 0; k < W; ++k)
                    if (at + k < n) y[at + k] = v.at[k];
            }
        }
    }
}

template <typename T, typename Draw>
__global__ void __launch_bounds__(THREADS) draw(T* y, long long n, unsigned long long key0, unsigned long long key1,
                                            unsigned long long counter, const unsigned long long* advance,
                                            unsigned long long bound, long long low) {
    constexpr int N = PER_BLOCK<T>, W = AT_ONCE<T>, BATCH = Draw::BATCH;
    const long long before = static_cast<long long>(blockIdx.x) * (THREADS * BATCH);  // Philox blocks of other threads
    const unsigned long long start = first_block(counter, advance);
    if constexpr (BATCH > 1) {
        if ((before + THREADS * BATCH) * N <= n) {
            __shared__ Vec<T, W> tile[N > W ? THREADS * N / W : 1];
            Philox4x64 block[BATCH];
            philox_blocks(block, start + before + threadIdx.x, THREADS, key0, key1);
            const int warp = threadIdx.x - LANE;
            y += (before + warp) * N + W * LANE;
#pragma unroll
            for (int b = 0; b < BATCH; ++b) {
                T v[N];
#pragma unroll
                for (int i = 0; i < N; ++i) v[i] = Draw::template number<T>(block[b], i, bound, low);
                if constexpr (N > W) deal(v, tile + warp * (N / W));
#pragma unroll
                for (int i = 0; i < N; i += W)
                    store_at_once(y + b * THREADS * N + 32 * i, reinterpret_cast<const Vec<T, W>&>(v[i]));
            }
            return;
        }
    }
    draw_rest<T, Draw>(y, n, before + threadIdx.x, start, key0, key1, bound, low);
}
