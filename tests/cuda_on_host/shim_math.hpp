// CUDA's arithmetic, vectors and atomics on the host.
#pragma once

struct alignas(8) float2 {
    float x, y;
};
struct float3 {
    float x, y, z;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) double2 {
    double x, y;
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct uchar4 {
    unsigned char x, y, z, w;
};
static inline float2 make_float2(float x, float y) {
    return {x, y};
}
static inline float3 make_float3(float x, float y, float z) {
    return {x, y, z};
}
static inline float4 make_float4(float x, float y, float z, float w) {
    return {x, y, z, w};
}
static inline double2 make_double2(double x, double y) {
    return {x, y};
}
static inline int2 make_int2(int x, int y) {
    return {x, y};
}
static inline int4 make_int4(int x, int y, int z, int w) {
    return {x, y, z, w};
}
static inline uint2 make_uint2(unsigned x, unsigned y) {
    return {x, y};
}
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
    return {x, y, z, w};
}

// The overloads of both precisions, which C++ has in std alone.
using std::abs;
using std::ceil;
using std::cos;
using std::erf;
using std::exp;
using std::exp2;
using std::expm1;
using std::fabs;
using std::floor;
using std::fma;
using std::fmax;
using std::fmin;
using std::fmod;
using std::isfinite;
using std::isinf;
using std::isnan;
using std::log;
using std::log1p;
using std::log2;
using std::pow;
using std::rint;
using std::round;
using std::sin;
using std::sqrt;
using std::tanh;
using std::trunc;

template <typename A, typename B>
constexpr std::common_type_t<A, B> min(A a, B b) {
    using T = std::common_type_t<A, B>;
    return T(a) < T(b) ? T(a) : T(b);
}
template <typename A, typename B>
constexpr std::common_type_t<A, B> max(A a, B b) {
    using T = std::common_type_t<A, B>;
    return T(a) > T(b) ? T(a) : T(b);
}

// glibc declares these names itself.
#define __expf(x) std::exp(float(x))
#define __exp10f(x) std::pow(10.0f, float(x))
#define __logf(x) std::log(float(x))
#define __log2f(x) std::log2(float(x))
#define __powf(x, y) std::pow(float(x), float(y))
#define __sinf(x) std::sin(float(x))
#define __cosf(x) std::cos(float(x))

static inline float rsqrt(float x) {
    return 1 / std::sqrt(x);
}
static inline double rsqrt(double x) {
    return 1 / std::sqrt(x);
}
static inline float rsqrtf(float x) {
    return 1 / std::sqrt(x);
}
static inline float __frsqrt_rn(float x) {
    return 1 / std::sqrt(x);
}
static inline float __fdividef(float x, float y) {
    return x / y;
}
static inline float __frcp_rn(float x) {
    return 1 / x;
}
static inline float __fsqrt_rn(float x) {
    return std::sqrt(x);
}
static inline float __saturatef(float x) {
    return x < 0 ? 0 : x > 1 ? 1 : x;
}
static inline float __fmaf_rn(float x, float y, float z) {
    return std::fma(x, y, z);
}
static inline double __fma_rn(double x, double y, double z) {
    return std::fma(x, y, z);
}
static inline float __fmul_rn(float x, float y) {
    return x * y;
}
static inline float __fadd_rn(float x, float y) {
    return x + y;
}
static inline float __fsub_rn(float x, float y) {
    return x - y;
}
static inline float __fdiv_rn(float x, float y) {
    return x / y;
}
static inline double __dmul_rn(double x, double y) {
    return x * y;
}
static inline double __dadd_rn(double x, double y) {
    return x + y;
}

template <typename To, typename From>
static inline To bit_cast(From from) {
    To to;
    static_assert(sizeof(To) == sizeof(From));
    std::memcpy(&to, &from, sizeof(To));
    return to;
}
static inline int __float_as_int(float x) {
    return bit_cast<int>(x);
}
static inline unsigned __float_as_uint(float x) {
    return bit_cast<unsigned>(x);
}
static inline float __int_as_float(int x) {
    return bit_cast<float>(x);
}
static inline float __uint_as_float(unsigned x) {
    return bit_cast<float>(x);
}
static inline long long __double_as_longlong(double x) {
    return bit_cast<long long>(x);
}
static inline double __longlong_as_double(long long x) {
    return bit_cast<double>(x);
}
static inline int __float2int_rd(float x) {
    return int(std::floor(x));
}
static inline int __float2int_rn(float x) {
    return int(std::rint(x));
}
static inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
static inline int __popcll(unsigned long long x) {
    return __builtin_popcountll(x);
}
static inline int __clz(int x) {
    return x ? __builtin_clz(unsigned(x)) : 32;
}
static inline int __ffs(int x) {
    return __builtin_ffs(x);
}
static inline unsigned __umulhi(unsigned a, unsigned b) {
    return unsigned((unsigned long long)a * b >> 32);
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}

template <typename T>
T __ldg(const T* address) {
    return *address;
}

// One host thread runs all: what is atomic needs no care.
template <typename T>
struct same {
    using type = T;
};
template <typename T>
using value_of = typename same<T>::type;

template <typename T>
T atomicExch(T* address, value_of<T> value) {
    const T old = *address;
    *address = value;
    return old;
}
template <typename T>
T atomicAdd(T* address, value_of<T> value) {
    return atomicExch(address, T(*address + value));
}
template <typename T>
T atomicSub(T* address, value_of<T> value) {
    return atomicExch(address, T(*address - value));
}
template <typename T>
T atomicOr(T* address, value_of<T> value) {
    return atomicExch(address, T(*address | value));
}
template <typename T>
T atomicAnd(T* address, value_of<T> value) {
    return atomicExch(address, T(*address & value));
}
template <typename T>
T atomicMax(T* address, value_of<T> value) {
    static_assert(std::is_integral_v<T>, "CUDA has no atomicMax of floats");
    return atomicExch(address, std::max(*address, value));
}
template <typename T>
T atomicMin(T* address, value_of<T> value) {
    static_assert(std::is_integral_v<T>, "CUDA has no atomicMin of floats");
    return atomicExch(address, std::min(*address, value));
}
template <typename T>
T atomicCAS(T* address, value_of<T> compare, value_of<T> value) {
    static_assert(std::is_integral_v<T>, "CUDA has no atomicCAS of floats");
    return atomicExch(address, *address == compare ? value : *address);
}
