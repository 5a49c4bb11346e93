#pragma once

// Included by vector_body.h: the rules of update.h, for one thread.  Roundings as in
// elementwise_body.h.

#include <cstdint>

#include "vector_kernels.h"

namespace {

// Write the update where it is not masked, subtract it, and cut off what is small.
inline void apply_update(const sscaffe::UpdateArrays& a, int64_t i, float mask, float limit,
                         float update) {
    const float step = update * mask;
    const float weight = a.weights[i] - step;
    a.diff[i] = step;
    a.weights[i] = __builtin_fabsf(weight) < limit ? 0.0f : weight;
}

template <bool kMasked>
void take_sgd_step(const sscaffe::UpdateStep& s, int64_t n, const sscaffe::UpdateArrays& a) {
    const float rate = s.rate, momentum = s.momentum, limit = s.limit;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const float step = momentum * a.first[i] + rate * a.diff[i];
        a.first[i] = step;
        apply_update(a, i, kMasked ? a.mask[i] : 1.0f, limit, step);
    }
}

template <bool kMasked>
void take_nesterov_step(const sscaffe::UpdateStep& s, int64_t n, const sscaffe::UpdateArrays& a) {
    const float rate = s.rate, momentum = s.momentum, limit = s.limit;
    const float ahead = static_cast<float>(1 + static_cast<double>(momentum));
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const float before = momentum * a.first[i];
        const float step = rate * a.diff[i] + before;
        a.first[i] = step;
        apply_update(a, i, kMasked ? a.mask[i] : 1.0f, limit, ahead * step - before);
    }
}

template <bool kMasked>
void take_adam_step(const sscaffe::UpdateStep& s, int64_t n, const sscaffe::UpdateArrays& a) {
    const float rate = s.rate, delta = s.delta, limit = s.limit;
    const float momentum = s.momentum, momentum2 = s.momentum2, gain = s.gain, gain2 = s.gain2;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const float gradient = a.diff[i];
        const float square = momentum2 * a.second[i] + gain2 * (gradient * gradient);
        const float mean = momentum * a.first[i] + gain * gradient;
        a.second[i] = square;
        a.first[i] = mean;
        const float step = mean / (__builtin_sqrtf(square) + delta) * rate;
        apply_update(a, i, kMasked ? a.mask[i] : 1.0f, limit, step);
    }
}

void sgd_step(const sscaffe::UpdateStep& s, int64_t n, const sscaffe::UpdateArrays& a) {
    a.mask ? take_sgd_step<true>(s, n, a) : take_sgd_step<false>(s, n, a);
}

void nesterov_step(const sscaffe::UpdateStep& s, int64_t n, const sscaffe::UpdateArrays& a) {
    a.mask ? take_nesterov_step<true>(s, n, a) : take_nesterov_step<false>(s, n, a);
}

void adam_step(const sscaffe::UpdateStep& s, int64_t n, const sscaffe::UpdateArrays& a) {
    a.mask ? take_adam_step<true>(s, n, a) : take_adam_step<false>(s, n, a);
}

}  // namespace
