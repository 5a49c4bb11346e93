#pragma once

// Included by vector_body.h: the inner loop of sparse.cpp and direct_sparse.cpp.

#include "simd.h"

namespace {

// One row of sparse_product, for the kVectors vectors of elements that start at `source`.
template <int kVectors, typename T>
void sparse_strip(int32_t first, int32_t last, const int32_t* places, const T* values,
                  const T* source, int64_t step, T start, T* out) {
    Vector<T> sums[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums[v] = broadcast(start);
    for (int32_t j = first; j < last; ++j) {
        const T* row = source + places[j] * step;
        const Vector<T> value = broadcast(values[j]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
            sums[v] = multiply_add(value, load(row + v * kLanes<T>), sums[v]);
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(sums[v], out + v * kLanes<T>);
}

template <int kVectors, typename T>
void sparse_strips(int64_t rows, const int32_t* row_ptr, const int32_t* places, const T* values,
                   const T* source, int64_t step, const T* bias, T* out, int64_t out_stride) {
    for (int64_t m = 0; m < rows; ++m) {
        sparse_strip<kVectors>(row_ptr[m], row_ptr[m + 1], places, values, source, step,
                               bias ? bias[m] : T{0}, out + m * out_stride);
    }
}

// Fewer elements than a vector has.
template <typename T>
void sparse_narrow(int64_t rows, const int32_t* row_ptr, const int32_t* places, const T* values,
                   const T* source, int64_t step, const T* bias, int64_t width, T* out,
                   int64_t out_stride) {
    for (int64_t m = 0; m < rows; ++m) {
        for (int64_t x = 0; x < width; ++x) {
            T sum = bias ? bias[m] : T{0};
            for (int32_t j = row_ptr[m]; j < row_ptr[m + 1]; ++j) {
                sum += values[j] * source[places[j] * step + x];
            }
            out[m * out_stride + x] = sum;
        }
    }
}

// See TypedKernels::sparse_product.
template <typename T>
void sparse_product(int64_t rows, const int32_t* row_ptr, const int32_t* places, const T* values,
                    const T* source, int64_t step, const T* bias, int64_t width, T* out,
                    int64_t out_stride) {
    constexpr int kWide = 4;
    constexpr int64_t kLane = kLanes<T>;
    if (width < kLane) {
        sparse_narrow(rows, row_ptr, places, values, source, step, bias, width, out, out_stride);
        return;
    }
    int64_t x = 0;
    for (; x + kWide * kLane <= width; x += kWide * kLane) {
        sparse_strips<kWide>(rows, row_ptr, places, values, source + x, step, bias, out + x,
                             out_stride);
    }
    while (x < width) {
        // The last vector may begin among elements that are there already, and write them again.
        x = x + kLane <= width ? x : width - kLane;
        sparse_strips<1>(rows, row_ptr, places, values, source + x, step, bias, out + x,
                         out_stride);
        x += kLane;
    }
}

}  // namespace
