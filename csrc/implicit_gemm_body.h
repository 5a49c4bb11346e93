#pragma once

// Included by vector_body.h: the inner loops of implicit_gemm.cpp.

#include "gemm_body.h"
#include "simd.h"

namespace {

// As in gemm_body.h, the sums fill the registers; the fewer vectors are read for each weight, the
// better, for they come from the second cache.
#if defined(__AVX512F__)
constexpr int kImplicitRows = 14, kImplicitVectors = 2;
#else
constexpr int kImplicitRows = kTileRows, kImplicitVectors = kTileVectors;
#endif

// See ImplicitGemmKernel::fill.
void implicit_fill(int64_t count, float value, float* target, const float* next) {
    constexpr int64_t kLane = kLanes<float>;
    const Vector<float> values = broadcast(value);
    int64_t x = 0;
    for (; x + kLane <= count; x += kLane) {
        prefetch_to_write(next + x);
        store(values, target + x);
    }
    prefetch_to_write(next + count - 1);
    if (x < count) store_first(values, target + x, count - x);
}

void lower_strided(const sscaffe::ImplicitLowering& l, const sscaffe::ImplicitPlane& p,
                   const float* image, float* target) {
    target += l.above * l.columns;
    for (int64_t y = l.above; y < p.rows - l.below; ++y, target += l.columns) {
        const bool inside = y >= p.top && y < p.bottom;
        const float* source = image + p.source + y * l.row_step;
        for (int64_t x = 0; x < l.columns; ++x) {
            target[x] = inside && x >= p.left && x < p.right ? source[x * l.column_step] : 0.0f;
        }
    }
}

// Copy kCount vectors of each row of a plane, from column x on; the last vector ends where the row
// does, or within the next row, which is written afterwards.
template <int kCount>
void lower_vectors(const sscaffe::ImplicitLowering& l, const sscaffe::ImplicitPlane& p,
                   const float* image, float* target, int64_t x) {
    constexpr int64_t kLane = kLanes<float>;
    const int64_t end = l.columns > kLane ? l.columns - kLane : 0;
    int64_t at[kCount];
    SomeLanes lanes[kCount];
    for (int i = 0; i < kCount; ++i) {
        at[i] = x + i * kLane < end ? x + i * kLane : end;
        lanes[i] = some_lanes(p.left - at[i], p.right - at[i]);
    }
    const float* source = image + p.source + l.above * l.row_step;
    target += l.above * l.columns;
    for (int64_t y = l.above; y < p.rows - l.below; ++y, target += l.columns) {
        const bool inside = y >= p.top && y < p.bottom;
#pragma GCC unroll 2
        for (int i = 0; i < kCount; ++i) {
            // What comes from far away is asked for early.
            __builtin_prefetch(source + at[i] + p.ahead);
            store(load_lanes(source + at[i], only_if(inside, lanes[i])), target + at[i]);
        }
        source += l.row_step;
    }
}

// See ImplicitGemmKernel::lower.
void implicit_lower(const sscaffe::ImplicitLowering& l, int64_t count,
                    const sscaffe::ImplicitPlane* planes, const float* image, float* target) {
    constexpr int64_t kLane = kLanes<float>;
    for (const sscaffe::ImplicitPlane* p = planes; p < planes + count; ++p) {
        float* plane = target + p->target;
        if (l.column_step != 1) {
            lower_strided(l, *p, image, plane);
            continue;
        }
        int64_t x = 0;
        for (; l.columns - x > kLane; x += 2 * kLane) lower_vectors<2>(l, *p, image, plane, x);
        if (l.columns > x) lower_vectors<1>(l, *p, image, plane, x);
    }
}

template <int kRows, int kVectors>
void store_sums(const sscaffe::ImplicitTile& t, const Vector<float> (&sums)[kRows][kVectors]) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
        float* target = t.out + t.rows[i] * t.out_stride;
#pragma GCC unroll 3
        for (int j = 0; j < kVectors; ++j) {
            const sscaffe::ImplicitVector& v = t.vectors[j];
            const Vector<float> zero{}, sum = sums[i][j];
            const Vector<float> value = t.relu ? (sum < zero ? zero : sum) : sum;
            if (v.count == kLanes<float>) {
                store(value, target + v.place);
            } else {
                store_first(value, target + v.place, v.count);
            }
        }
    }
}

template <int kRows, int kVectors>
[[gnu::noinline]] void implicit_sums(const sscaffe::ImplicitTile& t) {
    Vector<float> sums[kRows][kVectors];
    const float* planes[kVectors];
#pragma GCC unroll 3
    for (int j = 0; j < kVectors; ++j) planes[j] = t.planes + t.vectors[j].source;
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
        const Vector<float> start = broadcast(t.bias ? t.bias[t.rows[i]] : 0.0f);
        const float* target = t.out + t.rows[i] * t.out_stride;
#pragma GCC unroll 3
        for (int j = 0; j < kVectors; ++j) {
            sums[i][j] = start;
            // The sums go far away; their place is asked for now.
            prefetch_to_write(target + t.vectors[j].place);
        }
        const sscaffe::ImplicitVector& last = t.vectors[kVectors - 1];
        prefetch_to_write(target + last.place + last.count - 1);
    }
    const float* weights = t.weights;
    for (int64_t k = 0; k < t.depth; ++k, weights += kRows) {
        Vector<float> row[kVectors];
#pragma GCC unroll 3
        for (int j = 0; j < kVectors; ++j) row[j] = load(planes[j] + t.places[k]);
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) {
            const Vector<float> value = broadcast(weights[i]);
#pragma GCC unroll 3
            for (int j = 0; j < kVectors; ++j) {
                sums[i][j] = multiply_add(value, row[j], sums[i][j]);
            }
        }
    }
    store_sums<kRows, kVectors>(t, sums);
}

// See ImplicitGemmKernel::tile: find the loop for so many rows and vectors.
template <int kRows = kImplicitRows, int kVectors = kImplicitVectors>
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
    kImplicitRows, kImplicitVectors, kLanes<float>, implicit_fill, implicit_lower, implicit_tile<>,
};

}  // namespace
