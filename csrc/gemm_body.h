#pragma once

// Included by vector_body.h: the inner loop of gemm.cpp.

#include "simd.h"

namespace {

// The tile of sums fills the vector registers, but for those that a row of b and one number of a
// pass through: 24 + 4 of 32, or 12 + 3 of 16.
#if defined(__AVX512F__)
constexpr int kTileRows = 8, kTileVectors = 3;
#elif defined(__AVX2__)
constexpr int kTileRows = 6, kTileVectors = 2;
#else
constexpr int kTileRows = 4, kTileVectors = 2;
#endif

template <typename T>
constexpr int kTileColumns = kTileVectors * kLanes<T>;

// c (+)= edge, for the first `rows` and `columns` of a tile
template <typename T>
void copy_edge(const T* edge, int64_t rows, int64_t columns, bool accumulate, T* c,
               int64_t c_stride) {
    for (int64_t i = 0; i < rows; ++i) {
        const T* source = edge + i * kTileColumns<T>;
        T* target = c + i * c_stride;
        for (int64_t j = 0; j < columns; ++j) {
            target[j] = accumulate ? target[j] + source[j] : source[j];
        }
    }
}

// See GemmKernel::tile.
template <typename T>
void gemm_tile(int64_t depth, const T* a, const T* b, int64_t rows, int64_t columns,
               bool accumulate, T* c, int64_t c_stride) {
    constexpr int kWidth = kTileColumns<T>;
    Vector<T> sums[kTileRows][kTileVectors] = {};
    for (int64_t k = 0; k < depth; ++k, a += kTileRows, b += kWidth) {
        Vector<T> row[kTileVectors];
#pragma GCC unroll 3
        for (int j = 0; j < kTileVectors; ++j) row[j] = load(b + j * kLanes<T>);
#pragma GCC unroll 8
        for (int i = 0; i < kTileRows; ++i) {
            const Vector<T> value = broadcast(a[i]);
#pragma GCC unroll 3
            for (int j = 0; j < kTileVectors; ++j) {
                sums[i][j] = multiply_add(value, row[j], sums[i][j]);
            }
        }
    }
    const bool whole = rows == kTileRows && columns == kWidth;
    T edge[kTileRows * kWidth];
    T* target = whole ? c : edge;
    const int64_t stride = whole ? c_stride : kWidth;
#pragma GCC unroll 8
    for (int i = 0; i < kTileRows; ++i) {
#pragma GCC unroll 3
        for (int j = 0; j < kTileVectors; ++j) {
            T* place = target + i * stride + j * kLanes<T>;
            store(whole && accumulate ? load(place) + sums[i][j] : sums[i][j], place);
        }
    }
    if (!whole) copy_edge(edge, rows, columns, accumulate, c, c_stride);
}

template <typename T>
constexpr sscaffe::GemmKernel<T> kGemmKernel = {kTileRows, kTileColumns<T>, gemm_tile<T>};

}  // namespace
