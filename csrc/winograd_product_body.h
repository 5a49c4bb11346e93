#pragma once

// Included by vector_body.h: the matrix products of winograd.cpp, of few rows and columns each.

#include "simd.h"

namespace {

template <int kRows, int kVectors>
using WinogradSums = Vector<float>[kRows][kVectors];

// sums += a * b
template <int kRows, int kVectors>
[[gnu::always_inline]] inline void winograd_sum(const sscaffe::WinogradProduct& p, const float* a,
                                                WinogradSums<kRows, kVectors>& sums) {
    const float* b = p.b;
    for (int64_t k = 0; k < p.depth; ++k, b += p.b_step) {
        Vector<float> row[kVectors];
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) row[v] = load(b + v * kLanes<float>);
        const float* place = a + k;
#pragma GCC unroll 14
        for (int r = 0; r < kRows; ++r) {
            const Vector<float> value = broadcast(place[r % 3 * p.a_step]);
#pragma GCC unroll 2
            for (int v = 0; v < kVectors; ++v) sums[r][v] = multiply_add(value, row[v], sums[r][v]);
            if (r % 3 == 2) {
                // Three addresses from one register; all of them from the first would take more
                // registers than there are.
                place += 3 * p.a_step;
                asm("" : "+r"(place));
            }
        }
    }
}

// sums += a^T * b
template <int kRows, int kVectors>
[[gnu::always_inline]] inline void winograd_sum_transposed(const sscaffe::WinogradProduct& p,
                                                           const float* a,
                                                           WinogradSums<kRows, kVectors>& sums) {
    const float* b = p.b;
    for (int64_t k = 0; k < p.depth; ++k, a += p.a_step, b += p.b_step) {
        Vector<float> row[kVectors];
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) row[v] = load(b + v * kLanes<float>);
#pragma GCC unroll 14
        for (int r = 0; r < kRows; ++r) {
            const Vector<float> value = broadcast(a[r]);
#pragma GCC unroll 2
            for (int v = 0; v < kVectors; ++v) sums[r][v] = multiply_add(value, row[v], sums[r][v]);
        }
    }
}

// The first kRows rows of c, or the kernel for fewer of them.
template <bool kTransposed, int kVectors, int kRows = kWinogradRows>
void winograd_rows(const sscaffe::WinogradProduct& p, int64_t first, int64_t rows) {
    if constexpr (kRows > 1) {
        if (rows < kRows) return winograd_rows<kTransposed, kVectors, kRows - 1>(p, first, rows);
    }
    WinogradSums<kRows, kVectors> sums = {};
    if constexpr (kTransposed) {
        winograd_sum_transposed<kRows, kVectors>(p, p.a + first, sums);
    } else {
        winograd_sum<kRows, kVectors>(p, p.a + first * p.a_step, sums);
    }
#pragma GCC unroll 14
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
            float* place = p.c + (first + r) * p.c_step + v * kLanes<float>;
            store(kTransposed ? load(place) + sums[r][v] : sums[r][v], place);
        }
    }
}

// All rows, in parts of about the same size.
template <bool kTransposed, int kVectors>
void winograd_product(const sscaffe::WinogradProduct& p) {
    const int64_t parts = (p.rows + kWinogradRows - 1) / kWinogradRows;
    for (int64_t i = 0; i < parts; ++i) {
        const int64_t first = p.rows * i / parts;
        winograd_rows<kTransposed, kVectors>(p, first, p.rows * (i + 1) / parts - first);
    }
}

}  // namespace
