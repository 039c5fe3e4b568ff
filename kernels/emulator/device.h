// CUDA C++ for a host compiler: what a kernel may use, on top of `runtime.h`. Included before every source.
#pragma once
#define WEFT_EMULATOR 1

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "runtime.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) alignas(n)

using std::max;
using std::min;
using dim3 = emulator_dim3;
#define threadIdx (emulator_thread_index())
#define blockIdx (emulator_block_index())
#define blockDim (emulator_block_dim())
#define gridDim (emulator_grid_dim())

#define HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

// What a kernel takes to copy boxes of an array: CUtensorMap, whose contents are CUDA's (here: asynchronous.h).
struct alignas(128) TensorMap {
    uint64_t words[16];
};

// --- 16-bit floats: storage and conversion, round to nearest, ties to even -------------------------------------------
struct __half {
    uint16_t bits;
};
struct __nv_bfloat16 {
    uint16_t bits;
};

// --- vectors of two to four numbers: those of two and four are loaded and stored at a time, whatever is done with their parts --------
template <int BYTES> inline void emulator_copy(void* to, const void* from) {
    typedef uint16_t whole __attribute__((vector_size(BYTES), may_alias));
    *static_cast<whole*>(to) = *static_cast<const whole*>(from);
}
#define EMULATOR_WHOLE(name, bytes)                                          \
    name() = default;                                                        \
    name(const name& other) { emulator_copy<bytes>(this, &other); }          \
    name& operator=(const name& other) {                                     \
        emulator_copy<bytes>(this, &other);                                  \
        return *this;                                                        \
    }
#define EMULATOR_VECTORS(T, name)                                            \
    struct alignas(2 * sizeof(T)) name##2 {                                  \
        T x, y;                                                              \
        EMULATOR_WHOLE(name##2, 2 * sizeof(T))                               \
        name##2(T x, T y) : x(x), y(y) {}                                    \
    };                                                                       \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }
#define EMULATOR_LONGER(T, name)                                             \
    struct name##3 {                                                         \
        T x, y, z;                                                           \
    };                                                                       \
    struct alignas(4 * sizeof(T)) name##4 {                                  \
        T x, y, z, w;                                                        \
        EMULATOR_WHOLE(name##4, 4 * sizeof(T))                               \
        name##4(T x, T y, T z, T w) : x(x), y(y), z(z), w(w) {}              \
    };                                                                       \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }       \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMULATOR_VECTORS(float, float) EMULATOR_LONGER(float, float)
EMULATOR_VECTORS(int, int) EMULATOR_LONGER(int, int)
EMULATOR_VECTORS(unsigned, uint) EMULATOR_LONGER(unsigned, uint)
EMULATOR_VECTORS(double, double)

template <typename To, typename From> inline To emulator_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "");
    return __builtin_bit_cast(To, from);
}
inline uint32_t __float_as_uint(float x) { return emulator_bits<uint32_t>(x); }
inline int __float_as_int(float x) { return emulator_bits<int>(x); }
inline float __uint_as_float(uint32_t x) { return emulator_bits<float>(x); }
inline float __int_as_float(int x) { return emulator_bits<float>(x); }
inline long long __double_as_longlong(double x) { return emulator_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return emulator_bits<double>(x); }

inline float __half2float(__half h) {
    const uint32_t sign = (h.bits & 0x8000u) << 16, exponent = (h.bits >> 10) & 31, mantissa = h.bits & 1023;
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | mantissa << 13);
    if (exponent) return __uint_as_float(sign | (exponent + 112) << 23 | mantissa << 13);
    const float small = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -small : small;
}
inline __half __float2half_rn(float x) {
    const uint32_t u = __float_as_uint(x), magnitude = u & 0x7fffffffu;
    const uint16_t sign = static_cast<uint16_t>(u >> 16 & 0x8000u);
    if (magnitude > 0x7f800000u) return {0x7fff};
    if (magnitude >= 0x477ff000u) return {static_cast<uint16_t>(sign | 0x7c00)};  // 65520 and beyond round to infinity
    if (magnitude < 0x38800000u) {  // below 2⁻¹⁴ the result counts in 2⁻²⁴: let a float addition round there
        const float shifted = __uint_as_float(magnitude) + 0.5f;
        return {static_cast<uint16_t>(sign | (__float_as_uint(shifted) - 0x3f000000u))};
    }
    const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1);
    return {static_cast<uint16_t>(sign | (rounded - 0x38000000u) >> 13)};
}
inline __half __float2half(float x) { return __float2half_rn(x); }

inline float __bfloat162float(__nv_bfloat16 b) { return __uint_as_float(static_cast<uint32_t>(b.bits) << 16); }
inline __nv_bfloat16 __float2bfloat16_rn(float x) {
    const uint32_t u = __float_as_uint(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return {0x7fff};
    return {static_cast<uint16_t>((u + 0x7fffu + (u >> 16 & 1)) >> 16)};
}
inline __nv_bfloat16 __float2bfloat16(float x) { return __float2bfloat16_rn(x); }

// --- arithmetic ------------------------------------------------------------------------------------------------------
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dsub_rn(double x, double y) { return x - y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline double __ddiv_rn(double x, double y) { return x / y; }
inline double __dsqrt_rn(double x) { return std::sqrt(x); }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }
inline float normcdff(float x) { return 0.5f * std::erfc(-x * 0.70710678118654752f); }
inline float __ull2float_rn(unsigned long long x) { return static_cast<float>(x); }
inline double __ull2double_rn(unsigned long long x) { return static_cast<double>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}
inline long long __mul64hi(long long a, long long b) { return static_cast<long long>(static_cast<__int128>(a) * b >> 64); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32); }
inline int __mulhi(int a, int b) { return static_cast<int>(static_cast<int64_t>(a) * b >> 32); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64; }
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned n) {
    return static_cast<unsigned>(((static_cast<uint64_t>(high) << 32 | low) << (n & 31)) >> 32);
}
template <typename T> inline T __ldg(const T* p) { return *p; }
using std::isfinite;
using std::isinf;
using std::isnan;

// --- barriers and warps ----------------------------------------------------------------------------------------------
inline void __syncthreads(HERE) { emulator_barrier(file, line); }
inline void __threadfence() {}
inline void __threadfence_block() {}

inline void emulator_full(unsigned mask, const char* name, const char* file, int line) {
    if (mask != 0xffffffffu) emulator_misuse(name, "the mask must be all 32 lanes", file, line);
}

inline void __syncwarp(unsigned mask = 0xffffffffu, HERE) {
    emulator_full(mask, "__syncwarp", file, line);
    emulator_warp(nullptr, nullptr, file, line);
}

template <typename T> struct emulator_exchange {
    T value;
    int source;  // the lane to read
    T result;
};
template <typename T> inline T emulator_shuffle(T value, int source, const char* file, int line) {
    emulator_exchange<T> mine{value, source & 31, value};
    emulator_warp(
        &mine,
        [](void* const* lanes) {
            for (int i = 0; i < 32; ++i) {
                auto* to = static_cast<emulator_exchange<T>*>(lanes[i]);
                to->result = static_cast<emulator_exchange<T>*>(lanes[to->source])->value;
            }
        },
        file, line);
    return mine.result;
}
template <typename T> inline T __shfl_sync(unsigned mask, T v, int source, int width = 32, HERE) {
    emulator_full(mask, "__shfl_sync", file, line);
    const int lane = emulator_lane();
    return emulator_shuffle(v, (lane & ~(width - 1)) | (source & (width - 1)), file, line);
}
template <typename T> inline T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32, HERE) {
    emulator_full(mask, "__shfl_xor_sync", file, line);
    const int lane = emulator_lane(), source = lane ^ bits;
    return emulator_shuffle(v, source / width == lane / width ? source : lane, file, line);
}
template <typename T> inline T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32, HERE) {
    emulator_full(mask, "__shfl_up_sync", file, line);
    const int lane = emulator_lane(), source = lane - static_cast<int>(by);
    return emulator_shuffle(v, source >= (lane & ~(width - 1)) ? source : lane, file, line);
}
template <typename T> inline T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32, HERE) {
    emulator_full(mask, "__shfl_down_sync", file, line);
    const int lane = emulator_lane(), source = lane + static_cast<int>(by);
    return emulator_shuffle(v, source < (lane & ~(width - 1)) + width ? source : lane, file, line);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, HERE) {
    emulator_full(mask, "__ballot_sync", file, line);
    emulator_exchange<unsigned> mine{predicate != 0, 0, 0};
    emulator_warp(
        &mine,
        [](void* const* lanes) {
            unsigned all = 0;
            for (int i = 0; i < 32; ++i) all |= static_cast<emulator_exchange<unsigned>*>(lanes[i])->value << i;
            for (int i = 0; i < 32; ++i) static_cast<emulator_exchange<unsigned>*>(lanes[i])->result = all;
        },
        file, line);
    return mine.result;
}
inline int __any_sync(unsigned mask, int predicate, HERE) { return __ballot_sync(mask, predicate, file, line) != 0; }
inline int __all_sync(unsigned mask, int predicate, HERE) { return __ballot_sync(mask, predicate, file, line) == 0xffffffffu; }
inline int __syncthreads_count(int predicate, HERE) { return emulator_barrier_count(predicate, file, line); }
inline int __syncthreads_or(int predicate, HERE) { return emulator_barrier_count(predicate, file, line) != 0; }
inline int __syncthreads_and(int predicate, HERE) {
    const dim3 n = emulator_block_dim();
    return emulator_barrier_count(predicate, file, line) == static_cast<int>(n.x * n.y * n.z);
}

// --- atomics ---------------------------------------------------------------------------------------------------------
#define EMULATOR_ATOMIC(name, expression)                                                      \
    template <typename T> inline T name(T* p, typename std::common_type<T>::type v, HERE) {     \
        T was;                                                                                 \
        emulator_atomic(                                                                       \
            p, &was, &v, sizeof(T),                                                            \
            [](const void* old, const void* arg, void* out) {                                  \
                const T a = *static_cast<const T*>(old), b = *static_cast<const T*>(arg);      \
                *static_cast<T*>(out) = static_cast<T>(expression);                            \
            },                                                                                 \
            file, line);                                                                       \
        return was;                                                                            \
    }
EMULATOR_ATOMIC(atomicAdd, a + b)
EMULATOR_ATOMIC(atomicSub, a - b)
EMULATOR_ATOMIC(atomicMax, a < b ? b : a)
EMULATOR_ATOMIC(atomicMin, b < a ? b : a)
EMULATOR_ATOMIC(atomicAnd, a& b)
EMULATOR_ATOMIC(atomicOr, a | b)
EMULATOR_ATOMIC(atomicXor, a ^ b)
EMULATOR_ATOMIC(atomicExch, ((void)a, b))
template <typename T> inline T atomicCAS(T* p, typename std::common_type<T>::type compare, typename std::common_type<T>::type v, HERE) {
    T was, both[2] = {compare, v};
    emulator_atomic(
        p, &was, both, sizeof(T),
        [](const void* old, const void* arg, void* out) {
            const T a = *static_cast<const T*>(old);
            const T* pair = static_cast<const T*>(arg);
            *static_cast<T*>(out) = a == pair[0] ? pair[1] : a;
        },
        file, line);
    return was;
}

// --- how a launch reaches a kernel: arguments are unpacked by its own signature ----------------------------------------
template <typename T> struct emulator_code;  // one letter per type, NumPy's where it has one
#define EMULATOR_CODE(type, letter)       \
    template <> struct emulator_code<type> { \
        static const char value = letter; \
    };
EMULATOR_CODE(float, 'f')
EMULATOR_CODE(double, 'd')
EMULATOR_CODE(__half, 'e')
EMULATOR_CODE(__nv_bfloat16, 'E')
EMULATOR_CODE(bool, '?')
EMULATOR_CODE(char, 'b')
EMULATOR_CODE(signed char, 'b')
EMULATOR_CODE(unsigned char, 'B')
EMULATOR_CODE(short, 'h')
EMULATOR_CODE(unsigned short, 'H')
EMULATOR_CODE(int, 'i')
EMULATOR_CODE(unsigned, 'I')
EMULATOR_CODE(long, 'q')
EMULATOR_CODE(unsigned long, 'Q')
EMULATOR_CODE(long long, 'q')
EMULATOR_CODE(unsigned long long, 'Q')
EMULATOR_CODE(void, 'v')
EMULATOR_CODE(TensorMap, 'T')
#define EMULATOR_CODES(name, letter) EMULATOR_CODE(name##2, letter) EMULATOR_CODE(name##3, letter) EMULATOR_CODE(name##4, letter)
EMULATOR_CODES(float, 'f')  // pointers to vectors are to an array of their numbers
EMULATOR_CODES(int, 'i')
EMULATOR_CODES(uint, 'I')
EMULATOR_CODE(double2, 'd')

template <typename T> void emulator_describe(char*& to) {  // "*f" for float*, "#f" for const float*, "f" for float
    using Target = typename std::remove_pointer<T>::type;
    if (std::is_pointer<T>::value) *to++ = std::is_const<Target>::value ? '#' : '*';
    *to++ = emulator_code<typename std::remove_cv<Target>::type>::value;
}
template <typename... A> void emulator_signature(void (*)(A...), char* to) {
    (emulator_describe<A>(to), ...);
    *to = 0;
}
template <typename... A, std::size_t... I>
__attribute__((no_sanitize("thread"))) void emulator_call(void (*kernel)(A...), void** args, std::index_sequence<I...>) {
    kernel(*static_cast<typename std::remove_cv<A>::type*>(args[I])...);
}
template <typename... A> void emulator_call(void (*kernel)(A...), void** args) {
    emulator_call(kernel, args, std::index_sequence_for<A...>());
}
