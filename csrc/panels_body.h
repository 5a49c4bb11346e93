#pragma once

// Included by vector_body.h: the loops of panels.cpp, for one panel.

#include "simd.h"

namespace {

// The next kVectors vectors of rows; with few, several columns have sums of their own, so that no
// addition waits for the one before it.
template <int kVectors>
void multiply_rows(const sscaffe::Panel& p, int64_t row, const float* x, const float* bias,
                   bool relu, float* out) {
    constexpr int64_t kWidth = kLanes<float>;
    constexpr int kSums = kVectors == 1 ? 8 : kVectors == 2 ? 4 : kVectors == 3 ? 3 : 2;
    Vector<float> sums[kSums][kVectors] = {};
    const float* weights = p.weights + row;
    int64_t k = 0;
    for (; k + kSums <= p.columns; k += kSums) {
#pragma GCC unroll 8
        for (int s = 0; s < kSums; ++s, weights += p.block) {
            const Vector<float> factor = broadcast(x[k + s]);
#pragma GCC unroll 4
            for (int v = 0; v < kVectors; ++v) {
                sums[s][v] = multiply_add(factor, load(weights + v * kWidth), sums[s][v]);
            }
        }
    }
    for (; k < p.columns; ++k, weights += p.block) {
        for (int v = 0; v < kVectors; ++v) {
            sums[0][v] = multiply_add(broadcast(x[k]), load(weights + v * kWidth), sums[0][v]);
        }
    }
    for (int v = 0; v < kVectors && row + v * kWidth < p.rows; ++v) {
        const int64_t first = row + v * kWidth, left = p.rows - first;
        const int64_t count = left < kWidth ? left : kWidth;
        Vector<float> sum = sums[0][v];
        for (int s = 1; s < kSums; ++s) sum += sums[s][v];
        if (bias) sum += load_first(bias + first, count);
        if (relu) sum = sum < Vector<float>{} ? Vector<float>{} : sum;
        store_first(sum, out + first, count);
    }
}

// See VectorKernels::panel_product.
void panel_product(const sscaffe::Panel& p, const float* x, const float* bias, bool relu,
                   float* out) {
    constexpr int64_t kWidth = kLanes<float>, kMost = 4;
    constexpr decltype(&multiply_rows<1>) kMultiply[] = {multiply_rows<1>, multiply_rows<2>,
                                                         multiply_rows<3>, multiply_rows<4>};
    for (int64_t row = 0; row < p.rows; row += kMost * kWidth) {
        const int64_t vectors = (p.rows - row + kWidth - 1) / kWidth;
        kMultiply[(vectors < kMost ? vectors : kMost) - 1](p, row, x, bias, relu, out);
    }
}

}  // namespace
