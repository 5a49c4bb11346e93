#pragma once

// Included by vector_body.h: the loops of lrn.cpp, for some positions of one image.

#include <cstdint>

namespace {

float square_root(float x) {
    return __builtin_sqrtf(x);
}
double square_root(double x) {
    return __builtin_sqrt(x);
}
float power(float x, float exponent) {
    return __builtin_powf(x, exponent);
}
double power(double x, double exponent) {
    return __builtin_pow(x, exponent);
}

// y = factor * scale^-beta
template <typename T>
void times_power(int64_t n, const T* factor, const T* scale, T beta, T* y) {
    if (beta == T{0.75}) {
        // Nearly every net's beta, and two square roots are many times faster than a power.
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) {
            const T root = square_root(scale[i]);
            y[i] = factor[i] / (root * square_root(root));
        }
        return;
    }
    for (int64_t i = 0; i < n; ++i) y[i] = factor[i] * power(scale[i], -beta);
}

// See TypedKernels::lrn_forward.
template <typename T>
void lrn_forward(const sscaffe::LrnKernelSizes& s, T alpha, T beta, T k, const T* x, T* scale,
                 T* y) {
    const T share = alpha / static_cast<T>(s.size);
    for (int64_t c = 0; c < s.channels; ++c) {
        const int64_t first = c < s.before ? 0 : c - s.before;
        const int64_t stop = c + s.size - s.before;
        const int64_t last = stop < s.channels ? stop : s.channels;
        T* sums = scale + c * s.stride;
        for (int64_t i = 0; i < s.positions; ++i) sums[i] = 0;
        for (int64_t other = first; other < last; ++other) {
            const T* values = x + other * s.stride;
#pragma omp simd
            for (int64_t i = 0; i < s.positions; ++i) sums[i] += values[i] * values[i];
        }
#pragma omp simd
        for (int64_t i = 0; i < s.positions; ++i) sums[i] = k + share * sums[i];
        times_power(s.positions, x + c * s.stride, sums, beta, y + c * s.stride);
    }
}

// See TypedKernels::lrn_backward.
template <typename T>
void lrn_backward(const sscaffe::LrnKernelSizes& s, T alpha, T beta, const T* x, const T* scale,
                  const T* dy, T* dx, T* ratios) {
    for (int64_t c = 0; c < s.channels; ++c) {
        const int64_t at = c * s.stride;
        times_power(s.positions, dy + at, scale + at, beta, dx + at);
        T* ratio = ratios + c * s.positions;
#pragma omp simd
        for (int64_t i = 0; i < s.positions; ++i) ratio[i] = dx[at + i] * x[at + i] / scale[at + i];
    }
    const T factor = 2 * alpha * beta / static_cast<T>(s.size);
    const int64_t after = s.size - 1 - s.before;
    T* sums = ratios + s.channels * s.positions;
    for (int64_t c = 0; c < s.channels; ++c) {
        const int64_t first = c < after ? 0 : c - after, stop = c + s.before + 1;
        const int64_t last = stop < s.channels ? stop : s.channels, at = c * s.stride;
        for (int64_t i = 0; i < s.positions; ++i) sums[i] = 0;
        for (int64_t other = first; other < last; ++other) {
            const T* ratio = ratios + other * s.positions;
#pragma omp simd
            for (int64_t i = 0; i < s.positions; ++i) sums[i] += ratio[i];
        }
#pragma omp simd
        for (int64_t i = 0; i < s.positions; ++i) dx[at + i] -= factor * x[at + i] * sums[i];
    }
}

}  // namespace
