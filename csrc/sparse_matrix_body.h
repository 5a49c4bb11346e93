#pragma once

// Included by vector_body.h: the inner loops of sparse_matrix.cpp.

#include "simd.h"

namespace {

constexpr int kSparseVectors = 8;

// See SparseKernel::pack.
template <typename T>
void sparse_pack(int64_t depth, int64_t width, const T* source, int64_t stride, T* packed) {
    constexpr int64_t kLane = kLanes<T>;
    const int64_t whole = width / kLane, rest = width % kLane;
    for (int64_t k = 0; k < depth; ++k, source += stride) {
        for (int64_t v = 0; v < whole; ++v, packed += kLane) {
            store(load(source + v * kLane), packed);
        }
        if (rest == 0) continue;
        if ((whole + 1) * kLane <= (depth - 1 - k) * stride + width) {
            // What follows belongs to the next rows.
            store(load(source + whole * kLane), packed);
        } else {
            for (int64_t i = 0; i < rest; ++i) packed[i] = source[whole * kLane + i];
        }
        packed += kLane;
    }
}

// Sums of few vectors are each kept in several parts, or they would wait for one another.
template <int kVectors>
constexpr int kParts = kVectors >= 4 ? 1 : 4 / kVectors;

template <int kVectors, typename T>
void sparse_add(const sscaffe::SparsePart<T>& part) {
    constexpr int64_t kWidth = kVectors * kLanes<T>;
    constexpr int kSums = kParts<kVectors>;
    T* sums = part.sums;
    for (int64_t i = 0; i < part.rows; ++i, sums += kWidth) {
        Vector<T> s[kSums][kVectors] = {};
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) s[0][v] = load(sums + v * kLanes<T>);
        int64_t j = part.row_ptr[i];
        const int64_t last = part.row_ptr[i + 1];
        for (; j + kSums <= last; j += kSums) {
#pragma GCC unroll 4
            for (int u = 0; u < kSums; ++u) {
                const T* row = part.packed + part.places[j + u] * kWidth;
                const Vector<T> value = broadcast(part.values[j + u]);
#pragma GCC unroll 8
                for (int v = 0; v < kVectors; ++v) {
                    s[u][v] = multiply_add(value, load(row + v * kLanes<T>), s[u][v]);
                }
            }
        }
        for (; j < last; ++j) {
            const T* row = part.packed + part.places[j] * kWidth;
            const Vector<T> value = broadcast(part.values[j]);
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; ++v) {
                s[0][v] = multiply_add(value, load(row + v * kLanes<T>), s[0][v]);
            }
        }
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 4
            for (int u = 1; u < kSums; ++u) s[0][v] += s[u][v];
            store(s[0][v], sums + v * kLanes<T>);
        }
    }
}

// See SparseKernel::add: find the loop for so many vectors.
template <typename T, int kVectors = kSparseVectors>
void sparse_add_any(int64_t vectors, const sscaffe::SparsePart<T>& part) {
    if constexpr (kVectors > 1) {
        if (vectors < kVectors) return sparse_add_any<T, kVectors - 1>(vectors, part);
    }
    sparse_add<kVectors>(part);
}

// See SparseKernel::add_dots.
template <typename T>
void sparse_add_dots(const sscaffe::SparsePart<T>& part) {
    constexpr int kSums = 4;
    for (int64_t i = 0; i < part.rows; ++i) {
        T s[kSums] = {};
        int64_t j = part.row_ptr[i];
        const int64_t last = part.row_ptr[i + 1];
        for (; j + kSums <= last; j += kSums) {
#pragma GCC unroll 4
            for (int u = 0; u < kSums; ++u) {
                s[u] += part.values[j + u] * part.packed[part.places[j + u]];
            }
        }
        for (; j < last; ++j) s[0] += part.values[j] * part.packed[part.places[j]];
        part.sums[i] += (s[0] + s[1]) + (s[2] + s[3]);
    }
}

template <typename T>
constexpr sscaffe::SparseKernel<T> kSparseKernel = {
    kLanes<T>, kSparseVectors, sparse_pack<T>, sparse_add_any<T>, sparse_add_dots<T>,
};

}  // namespace
