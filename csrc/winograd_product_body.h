#pragma once

// Included by vector_body.h: the matrix products of winograd.cpp, of few rows and columns each.

#include "simd.h"

namespace {

// Products of a sum; what b is for the next ones is asked for meanwhile.
constexpr int64_t kWinogradDepth = 64;

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
        for (int v = 0; v < kVectors; ++v) {
            row[v] = load(b + v * kLanes<float>);
            __builtin_prefetch(b + v * kLanes<float> + kWinogradDepth * kVectors * kLanes<float>);
        }
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
template <bool kTransposed, bool kAdds, int kVectors, int kRows = kWinogradRows>
void winograd_rows(const sscaffe::WinogradProduct& p, int64_t first, int64_t rows) {
    if constexpr (kRows > 1) {
        if (rows < kRows)
            return winograd_rows<kTransposed, kAdds, kVectors, kRows - 1>(p, first, rows);
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
            store(kAdds ? load(place) + sums[r][v] : sums[r][v], place);
        }
    }
}

// All rows, in parts of about the same size.
template <bool kTransposed, bool kAdds, int kVectors>
void winograd_all_rows(const sscaffe::WinogradProduct& p) {
    const int64_t parts = (p.rows + kWinogradRows - 1) / kWinogradRows;
    for (int64_t i = 0; i < parts; ++i) {
        const int64_t first = p.rows * i / parts;
        winograd_rows<kTransposed, kAdds, kVectors>(p, first, p.rows * (i + 1) / parts - first);
    }
}

// c = a * b.  Sums of many products are made of sums of some, which rounds less, and what is read
// of b meanwhile stays near.
template <int kVectors>
void winograd_multiply(const sscaffe::WinogradProduct& p) {
    const int64_t parts = (p.depth + kWinogradDepth - 1) / kWinogradDepth;
    for (int64_t i = 0; i < parts; ++i) {
        const int64_t first = p.depth * i / parts, last = p.depth * (i + 1) / parts;
        sscaffe::WinogradProduct part = p;
        part.depth = last - first;
        part.a += first;
        part.b += first * p.b_step;
        i == 0 ? winograd_all_rows<false, false, kVectors>(part)
               : winograd_all_rows<false, true, kVectors>(part);
    }
}

}  // namespace
