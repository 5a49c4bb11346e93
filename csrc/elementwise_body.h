#pragma once

// Included by vector_body.h: the loops of elementwise.h, group_lasso.cpp, update.cpp and
// transform.cpp, for one thread.
//
// Each result is made by the same roundings whatever the instruction set, so that training does not
// depend on the machine: no fused multiply-add (the build says -ffp-contract=off), and one order of
// summation.

#include <cstdint>

namespace {

void add_scaled(int64_t n, float factor, const float* x, float* y) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

void scale(int64_t n, float factor, float* x) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) x[i] *= factor;
}

double sum_of_squares(int64_t n, const float* x) {
    constexpr int kLanes = 16;
    double sums[kLanes] = {};
    const int64_t whole = n / kLanes * kLanes;
    for (int64_t i = 0; i < whole; i += kLanes) {
        for (int lane = 0; lane < kLanes; ++lane) {
            const double value = x[i + lane];
            sums[lane] += value * value;
        }
    }
    double total = 0;
    for (int lane = 0; lane < kLanes; ++lane) total += sums[lane];
    for (int64_t i = whole; i < n; ++i) total += static_cast<double>(x[i]) * x[i];
    return total;
}

void add_squares(int64_t n, const float* x, double* sums) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const double value = x[i];
        sums[i] += value * value;
    }
}

void add_signs(int64_t n, float factor, const float* x, float* y) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] += x[i] > 0 ? factor : (x[i] < 0 ? -factor : 0.0f);
}

void add_products(int64_t n, const float* factors, const float* x, float* y) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] += factors[i] * x[i];
}

// By a factor for all (kStep 0) or one for each (kStep 1); history += share * what is taken away.
template <int kStep>
void shrink_by(int64_t n, const float* factors, float share, float* x, float* history) {
    if (!history) {
        // Adding 0 makes 0 of -0.
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) x[i] = x[i] * factors[i * kStep] + 0.0f;
        return;
    }
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const float shrunk = x[i] * factors[i * kStep] + 0.0f;
        history[i] += share * (x[i] - shrunk);
        x[i] = shrunk;
    }
}

template <typename T>
void transform_row(int64_t n, const T* x, const float* mean, float value, float scale, float* y) {
    if (mean) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) y[i] = (static_cast<float>(x[i]) - mean[i]) * scale;
        return;
    }
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = (static_cast<float>(x[i]) - value) * scale;
}

void threshold(int64_t n, float limit, float* x) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) x[i] = __builtin_fabsf(x[i]) < limit ? 0.0f : x[i];
}

void relu_forward(int64_t n, float slope, const float* x, float* y) {
    if (slope == 0) {
        // Apart, because 0 times -inf is not 0.
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) y[i] = x[i] < 0 ? 0.0f : x[i];
        return;
    }
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] < 0 ? slope : 1.0f) * x[i];
}

void relu_backward(int64_t n, float slope, const float* x, const float* dy, float* dx) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) dx[i] = (x[i] > 0 ? 1.0f : slope) * dy[i];
}

}  // namespace
