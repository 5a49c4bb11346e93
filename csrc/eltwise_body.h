#pragma once

// Included by vector_body.h: the loops of eltwise.cpp, for one piece.

#include <cstdint>

namespace {

void scaled_copy(int64_t n, float factor, const float* x, float* y) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = factor * x[i];
}

void sum_of_two(int64_t n, float a_factor, const float* a, float b_factor, const float* b,
                float* y) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = a_factor * a[i] + b_factor * b[i];
}

void product_of_two(int64_t n, const float* a, const float* b, float* y) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = a[i] * b[i];
}

void larger_of_two(int64_t n, const float* a, const float* b, float* y, int32_t* winner) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const bool a_is_nan = a[i] != a[i];
        winner[i] = a[i] > b[i] ? 0 : 1;
        y[i] = (a[i] > b[i]) | a_is_nan ? a[i] : b[i];
    }
}

void take_larger(int64_t n, int32_t index, const float* x, float* y, int32_t* winner) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const float before = y[i];
        const bool is_larger = x[i] > before, is_nan = x[i] != x[i];
        winner[i] = is_larger ? index : winner[i];
        y[i] = is_larger | is_nan ? x[i] : before;
    }
}

void select_winner(int64_t n, int32_t index, const int32_t* winner, const float* x, float* y) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = winner[i] == index ? x[i] : 0.0f;
}

}  // namespace
