#pragma once

// Included by vector_body.h: the inner loops of implicit_gemm.cpp.

#include "gemm_body.h"
#include "simd.h"

namespace {

// See ImplicitGemmKernel::copy_rows.  The rows come from far away: what comes next is asked for
// early.
void copy_rows(int64_t rows, int64_t width, const float* source, float* target,
               int64_t target_stride) {
    constexpr int64_t kLane = kLanes<float>, kAhead = 1024;
    for (int64_t y = 0; y < rows; ++y, source += width, target += target_stride) {
        int64_t x = 0;
        for (; x + kLane <= width; x += kLane) {
            __builtin_prefetch(source + x + kAhead);
            store(load(source + x), target + x);
        }
        __builtin_prefetch(source + x + kAhead);
        if (x < width) store_first(load_first(source + x, width - x), target + x, width - x);
    }
}

template <int kRuns>
void pack_runs(int64_t depth, const int64_t* places, const float* image,
               const sscaffe::ImplicitRun* runs, int64_t width, float* packed) {
    for (int64_t k = 0; k < depth; ++k, packed += width) {
        const float* source = image + places[k];
#pragma GCC unroll 8
        for (int r = 0; r < kRuns; ++r)
            store(load(source + runs[r].source), packed + runs[r].target);
    }
}

// See ImplicitGemmKernel::pack.
template <int kRuns = 8>
void implicit_pack(int64_t depth, const int64_t* places, const float* image, int64_t run_count,
                   const sscaffe::ImplicitRun* runs, int64_t width, float* packed) {
    if (run_count == kRuns) return pack_runs<kRuns>(depth, places, image, runs, width, packed);
    if constexpr (kRuns > 1) {
        if (run_count < kRuns) {
            return implicit_pack<kRuns - 1>(depth, places, image, run_count, runs, width, packed);
        }
    }
    for (int64_t k = 0; k < depth; ++k, packed += width) {
        const float* source = image + places[k];
        for (int64_t r = 0; r < run_count; ++r) {
            store(load(source + runs[r].source), packed + runs[r].target);
        }
    }
}

template <int kRows, int kVectors>
[[gnu::noinline]] void implicit_sums(const sscaffe::ImplicitTile& t) {
    constexpr int64_t kLane = kLanes<float>;
    Vector<float> sums[kRows][kVectors];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
        const Vector<float> start = broadcast(t.bias ? t.bias[t.rows[i]] : 0.0f);
#pragma GCC unroll 3
        for (int j = 0; j < kVectors; ++j) sums[i][j] = start;
    }
    const float *weights = t.weights, *packed = t.packed;
    for (int64_t k = 0; k < t.depth; ++k, weights += kRows, packed += kVectors * kLane) {
        Vector<float> row[kVectors];
#pragma GCC unroll 3
        for (int j = 0; j < kVectors; ++j) row[j] = load(packed + j * kLane);
#pragma GCC unroll 8
        for (int i = 0; i < kRows; ++i) {
            const Vector<float> value = broadcast(weights[i]);
#pragma GCC unroll 3
            for (int j = 0; j < kVectors; ++j) {
                sums[i][j] = multiply_add(value, row[j], sums[i][j]);
            }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
        float* target = t.out + t.rows[i] * t.out_stride;
#pragma GCC unroll 3
        for (int j = 0; j < kVectors; ++j) {
            const sscaffe::ImplicitVector& v = t.vectors[j];
            if (v.count == kLane) {
                store(sums[i][j], target + v.place);
            } else {
                store_first(sums[i][j], target + v.place, v.count);
            }
        }
    }
}

// See ImplicitGemmKernel::tile: find the loop for so many rows and vectors.
template <int kRows = kTileRows, int kVectors = kTileVectors>
void implicit_tile(const sscaffe::ImplicitTile& t) {
    if constexpr (kRows > 1) {
        if (t.row_count < kRows) return implicit_tile<kRows - 1, kVectors>(t);
    }
    if constexpr (kVectors > 1) {
        if (t.vector_count < kVectors) return implicit_tile<kRows, kVectors - 1>(t);
    }
    implicit_sums<kRows, kVectors>(t);
}

constexpr sscaffe::ImplicitGemmKernel kImplicitGemmKernel = {
    kTileRows, kTileVectors, kLanes<float>, copy_rows, implicit_pack<>, implicit_tile<>,
};

}  // namespace
