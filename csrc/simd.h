#pragma once

// Vectors of the width of the instruction set that a file is compiled for.  Included by the
// *_body.h files alone: see vector_kernels.h.

#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <typename T, int kBytes>
struct VectorOf {
    typedef T type __attribute__((vector_size(kBytes)));
};

template <typename T, int kBytes = kVectorBytes>
using Vector = typename VectorOf<T, kBytes>::type;

template <typename T>
constexpr int kLanes = kVectorBytes / sizeof(T);

template <int kBytes = kVectorBytes, typename T>
inline Vector<T, kBytes> load(const T* source) {
    Vector<T, kBytes> vector;
    __builtin_memcpy(&vector, source, sizeof(vector));
    return vector;
}

template <typename T>
inline void store(Vector<T> vector, T* target) {
    __builtin_memcpy(target, &vector, sizeof(vector));
}

template <typename T>
inline Vector<T> broadcast(T value) {
    return value - Vector<T>{};
}

// A vector of some type whose lanes are all `value`.
template <typename V, typename T>
inline V broadcast_to(T value) {
    return value - V{};
}

// Ask for the cache line that is about to be written.
inline void prefetch_to_write(const float* place) {
#if defined(__AVX512F__)
    // Every such machine has the instruction, which the compiler takes for an extension of its own.
    asm volatile("prefetchw %0" : : "m"(*place));
#else
    __builtin_prefetch(place, 1);
#endif
}

// load_first and store_first touch the first `count` elements and no others.
#if defined(__AVX512F__)
inline Vector<float> load_first(const float* source, int64_t count) {
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>(0xffffu >> (16 - count)), source);
}
inline void store_first(Vector<float> vector, float* target, int64_t count) {
    _mm512_mask_storeu_ps(target, static_cast<__mmask16>(0xffffu >> (16 - count)), vector);
}
#elif defined(__AVX2__)
inline __m256i first_lanes(int64_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Vector<float> load_first(const float* source, int64_t count) {
    return _mm256_maskload_ps(source, first_lanes(count));
}
inline void store_first(Vector<float> vector, float* target, int64_t count) {
    _mm256_maskstore_ps(target, first_lanes(count), vector);
}
#else
inline Vector<float> load_first(const float* source, int64_t count) {
    Vector<float> vector{};
    for (int64_t i = 0; i < count; ++i) vector[i] = source[i];
    return vector;
}
inline void store_first(Vector<float> vector, float* target, int64_t count) {
    for (int64_t i = 0; i < count; ++i) target[i] = vector[i];
}
#endif

// The lanes [first, last) of a vector, as far as there are any.
#if defined(__AVX512F__)
using SomeLanes = __mmask16;
inline SomeLanes some_lanes(int64_t first, int64_t last) {
    if (first < 0) first = 0;
    if (last > 16) last = 16;
    return first < last ? static_cast<__mmask16>((0xffffu >> (16 - last + first)) << first) : 0;
}
inline SomeLanes only_if(bool condition, SomeLanes lanes) {
    return static_cast<__mmask16>(lanes & -static_cast<int>(condition));
}
#else
using SomeLanes = VectorOf<int32_t, kVectorBytes>::type;
inline SomeLanes some_lanes(int64_t first, int64_t last) {
    SomeLanes lanes{};
    for (int64_t i = 0; i < kLanes<float>; ++i) lanes[i] = i >= first && i < last ? -1 : 0;
    return lanes;
}
inline SomeLanes only_if(bool condition, SomeLanes lanes) {
    return lanes & -static_cast<int32_t>(condition);
}
#endif

// Those lanes of one vector, and the others of another.
inline Vector<float> choose(SomeLanes lanes, Vector<float> vector, Vector<float> otherwise) {
#if defined(__AVX512F__)
    return _mm512_mask_blend_ps(lanes, otherwise, vector);
#else
    return lanes ? vector : otherwise;
#endif
}

// Those lanes of source, without touching the others, which are 0.
inline Vector<float> load_lanes(const float* source, SomeLanes lanes) {
#if defined(__AVX512F__)
    return _mm512_maskz_loadu_ps(lanes, source);
#elif defined(__AVX2__)
    return _mm256_maskload_ps(source, reinterpret_cast<__m256i>(lanes));
#else
    Vector<float> vector{};
    for (int64_t i = 0; i < kLanes<float>; ++i) {
        if (lanes[i]) vector[i] = source[i];
    }
    return vector;
#endif
}

// The lower half of one vector and the upper half of another.
inline Vector<float> join_halves(Vector<float> lower, Vector<float> upper) {
#if defined(__AVX512F__)
    return _mm512_mask_blend_ps(static_cast<__mmask16>(0xff00u), lower, upper);
#elif defined(__AVX2__)
    return _mm256_blend_ps(lower, upper, 0xf0);
#else
    return __builtin_shuffle(lower, upper, VectorOf<int32_t, kVectorBytes>::type{0, 1, 6, 7});
#endif
}

// A vector that begins with the upper half of this one.
inline Vector<float> upper_half(Vector<float> vector) {
#if defined(__AVX512F__)
    // With a mask: g++ warns of what the plain one leaves undefined.
    return _mm512_maskz_shuffle_f32x4(static_cast<__mmask16>(0xffffu), vector, vector, 0xee);
#elif defined(__AVX2__)
    return _mm256_permute2f128_ps(vector, vector, 0x11);
#else
    return __builtin_shuffle(vector, VectorOf<int32_t, kVectorBytes>::type{2, 3, 2, 3});
#endif
}

// The lanes of the mask are the next elements of source, of which no more are touched.
inline Vector<float> load_expanded(const float* source, uint32_t mask, Vector<float> otherwise) {
#if defined(__AVX512F__)
    return _mm512_mask_expandloadu_ps(otherwise, static_cast<__mmask16>(mask), source);
#else
    for (int64_t i = 0; i < kLanes<float>; ++i) {
        if (mask >> i & 1) otherwise[i] = *source++;
    }
    return otherwise;
#endif
}

// a * b + c, rounded once where the machine can.
inline Vector<float> multiply_add(Vector<float> a, Vector<float> b, Vector<float> c) {
#if defined(__AVX512F__)
    return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__)
    return _mm256_fmadd_ps(a, b, c);
#else
    return a * b + c;
#endif
}

inline Vector<double> multiply_add(Vector<double> a, Vector<double> b, Vector<double> c) {
#if defined(__AVX512F__)
    return _mm512_fmadd_pd(a, b, c);
#elif defined(__AVX2__)
    return _mm256_fmadd_pd(a, b, c);
#else
    return a * b + c;
#endif
}

}  // namespace
