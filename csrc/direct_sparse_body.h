#pragma once

// Included by vector_body.h: the inner loops of sparse_convolution.cpp.

#include "simd.h"

namespace {

constexpr int kSparseLanes = kLanes<float>;
// Sums of a tile, in registers next to a weight; a tile of several rows has kSparseColumns or less.
#if defined(__AVX512F__)
constexpr int kSparseSums = 24;
#else
constexpr int kSparseSums = 12;
#endif
constexpr int kSparseRows = 4, kSparseColumns = 8;

// The vectors that a weight reads for a tile: in each row of it neighbours, or some step apart.
template <int kRows, int kColumns, bool kStrides>
struct SparseWindow {
    const float* source;
    int64_t pitch;
    int64_t steps[kStrides ? kColumns : 1];

    explicit inline SparseWindow(const sscaffe::SparseTile& t) : source(t.source), pitch(t.pitch) {
        // The compiler shall keep each in a register, and not make up the one from the other.
        asm("" : "+r"(source), "+r"(pitch));
        if constexpr (kStrides) {
#pragma GCC unroll 8
            for (int x = 1; x < kColumns; ++x) {
                steps[x] = x * t.step;
                asm("" : "+r"(steps[x]));
            }
        }
    }

    inline void add(uint64_t place, float weight, Vector<float> (&sums)[kRows * kColumns]) const {
        const Vector<float> value = broadcast(weight);
        const float* row = source + place * sscaffe::kSparseStep;
#pragma GCC unroll 4
        for (int y = 0; y < kRows; ++y) {
            if (y > 0) row += pitch;
            if constexpr (kRows > 1) asm("" : "+r"(row));
#pragma GCC unroll 32
            for (int x = 0; x < kColumns; ++x) {
                const float* place = row;
                if constexpr (kStrides) {
                    if (x > 0) place += steps[x];
                } else {
                    place += x * kSparseLanes;
                }
                Vector<float>& sum = sums[y * kColumns + x];
                sum = multiply_add(value, load(place), sum);
            }
        }
    }
};

// See DirectSparseKernel::tile.
//
// The places of the next four weights are read early. A processor that is busy with loads of
// vectors starts those of places, which are younger, late, and then waits for them: with places of
// their own, each loaded when it is needed, the loop took a fifth longer.  The next filter's sums,
// from the second cache, need no such help: asking for them gained nothing.
template <int kRows, int kColumns, bool kStrides>
[[gnu::noinline]] void sparse_sums(const sscaffe::SparseTile& t) {
    constexpr int kCount = kRows * kColumns;
    constexpr int64_t kFilter = kCount * kSparseLanes;
    const SparseWindow<kRows, kColumns, kStrides> window(t);
    float* const all_sums = t.sums;
    const sscaffe::SparseFilter *filter = t.filters, *const last = filter + t.filter_count;
    const uint64_t* places = t.places;
    const float* values = t.values;
    uint64_t place = *places;
    const int64_t *ahead = t.ahead_places, *const last_ahead = ahead + t.ahead_count;
    for (; filter != last; ++filter) {
        float* target = all_sums + filter->filter * kFilter;
        Vector<float> sums[kCount];
        if (t.start) {
            const Vector<float> start = broadcast(t.bias ? t.bias[filter->filter] : 0.0f);
#pragma GCC unroll 32
            for (int j = 0; j < kCount; ++j) sums[j] = start;
        } else {
#pragma GCC unroll 32
            for (int j = 0; j < kCount; ++j) sums[j] = load(target + j * kSparseLanes);
        }
        // What the next channels have comes from further away than the second cache.
        if (ahead != last_ahead) {
            const float* wanted = t.ahead + *ahead++;
#pragma GCC unroll 8
            for (int i = 0; i < sscaffe::kSparseAhead; ++i) {
                __builtin_prefetch(wanted + i * kSparseLanes, 0, 2);
            }
        }
        const auto count = static_cast<uint32_t>(filter->count);
        if (count % 4) {
            const uint64_t coming = *++places;
            switch (count % 4) {
                case 3:
                    window.add(place >> 16 & 0xffff, values[1], sums);
                    [[fallthrough]];
                case 2:
                    window.add(place >> 32 & 0xffff, values[2], sums);
                    [[fallthrough]];
                default:
                    window.add(place >> 48, values[3], sums);
            }
            place = coming;
            values += 4;
        }
        for (const uint64_t* end = places + count / 4; places != end;) {
            const uint64_t coming = *++places;
            window.add(place & 0xffff, values[0], sums);
            window.add(place >> 16 & 0xffff, values[1], sums);
            window.add(place >> 32 & 0xffff, values[2], sums);
            window.add(place >> 48, values[3], sums);
            place = coming;
            values += 4;
        }
#pragma GCC unroll 32
        for (int j = 0; j < kCount; ++j) store(sums[j], target + j * kSparseLanes);
    }
}

// Find the loop for so many neighbours.
template <int kColumns>
void sparse_row(const sscaffe::SparseTile& t) {
    if constexpr (kColumns > 1) {
        if (t.columns < kColumns) return sparse_row<kColumns - 1>(t);
    }
    sparse_sums<1, kColumns, false>(t);
}

// Find the loop for so many rows and columns.
template <int kRows, int kColumns>
void sparse_rectangle(const sscaffe::SparseTile& t) {
    if constexpr (kRows * kColumns > kSparseSums) {
        return sparse_rectangle<kRows, kSparseSums / kRows>(t);
    } else {
        if constexpr (kRows > 1) {
            if (t.rows < kRows) return sparse_rectangle<kRows - 1, kSparseColumns>(t);
        }
        if constexpr (kColumns > 1) {
            if (t.columns < kColumns) return sparse_rectangle<kRows, kColumns - 1>(t);
        }
        sparse_sums<kRows, kColumns, true>(t);
    }
}

void sparse_tile(const sscaffe::SparseTile& t) {
    if (t.strides) {
        sparse_rectangle<kSparseRows, kSparseColumns>(t);
    } else {
        sparse_row<kSparseSums>(t);
    }
}

typedef int32_t SparseIndices __attribute__((vector_size(kVectorBytes)));

template <int kStep, int kCount>
inline void exchange(Vector<float> (&v)[kCount]) {
    SparseIndices low{}, high{};
    for (int i = 0; i < kSparseLanes; ++i) {
        low[i] = i & kStep ? kSparseLanes + i - kStep : i;
        high[i] = i & kStep ? kSparseLanes + i : i + kStep;
    }
#pragma GCC unroll 16
    for (int i = 0; i < kCount; ++i) {
        if (i & kStep) continue;
        const Vector<float> a = v[i], b = v[i + kStep];
        v[i] = __builtin_shuffle(a, b, low);
        v[i + kStep] = __builtin_shuffle(a, b, high);
    }
}

inline void transpose(Vector<float> (&v)[kSparseLanes]) {
    exchange<1>(v);
    exchange<2>(v);
    if constexpr (kSparseLanes > 4) exchange<4>(v);
    if constexpr (kSparseLanes > 8) exchange<8>(v);
}

// The lower half of a vector from one place, the upper half from another.
inline Vector<float> load_halves(const float* low, const float* high) {
#if defined(__AVX512F__)
    const __m512 first = _mm512_castps256_ps512(_mm256_loadu_ps(low));
    return _mm512_insertf32x8(first, _mm256_loadu_ps(high), 1);
#elif defined(__AVX2__)
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
#else
    return Vector<float>{low[0], low[1], high[0], high[1]};
#endif
}

// All lanes, of half as many neighbours: half the work.
void sparse_gather_half(const float* source, const int64_t* lanes, float* target, int64_t stride) {
    constexpr int kHalf = kSparseLanes / 2;
    Vector<float> v[kHalf];
#pragma GCC unroll 8
    for (int i = 0; i < kHalf; ++i)
        v[i] = load_halves(source + lanes[i], source + lanes[i + kHalf]);
    exchange<1>(v);
    if constexpr (kHalf > 2) exchange<2>(v);
    if constexpr (kHalf > 4) exchange<4>(v);
#pragma GCC unroll 8
    for (int k = 0; k < kHalf; ++k) store(v[k], target + k * stride);
}

// See DirectSparseKernel::gather.
void sparse_gather(const float* source, const int64_t* lanes, int64_t lane_count, int64_t count,
                   float* target, int64_t stride, int64_t ahead) {
    Vector<float> v[kSparseLanes];
    if (ahead) {
#pragma GCC unroll 16
        for (int i = 0; i < kSparseLanes; ++i) __builtin_prefetch(source + lanes[i] + ahead);
    }
    if (count == kSparseLanes / 2 && lane_count == kSparseLanes) {
        return sparse_gather_half(source, lanes, target, stride);
    }
    if (count == kSparseLanes) {
#pragma GCC unroll 16
        for (int i = 0; i < kSparseLanes; ++i) v[i] = load(source + lanes[i]);
    } else {
#pragma GCC unroll 16
        for (int i = 0; i < kSparseLanes; ++i) v[i] = load_first(source + lanes[i], count);
    }
    transpose(v);
    if (lane_count == kSparseLanes) {
#pragma GCC unroll 16
        for (int k = 0; k < kSparseLanes; ++k) {
            if (k < count) store(v[k], target + k * stride);
        }
        return;
    }
#pragma GCC unroll 16
    for (int k = 0; k < kSparseLanes; ++k) {
        if (k < count) store_first(v[k], target + k * stride, lane_count);
    }
}

// See DirectSparseKernel::scatter.
void sparse_scatter(const float* source, int64_t stride, int64_t count, const int64_t* lanes,
                    int64_t lane_count, float least, float* target, int64_t ahead) {
    if (ahead) {
        for (int64_t i = 0; i < lane_count; ++i) prefetch_to_write(target + lanes[i] + ahead);
    }
    const Vector<float> floor = broadcast(least);
    Vector<float> v[kSparseLanes];
#pragma GCC unroll 16
    for (int k = 0; k < kSparseLanes; ++k) {
        v[k] = Vector<float>{};
        if (k >= count) continue;
        v[k] = load(source + k * stride);
        v[k] = v[k] < floor ? floor : v[k];
    }
    transpose(v);
    if (count == kSparseLanes && lane_count == kSparseLanes) {
#pragma GCC unroll 16
        for (int i = 0; i < kSparseLanes; ++i) store(v[i], target + lanes[i]);
        return;
    }
#pragma GCC unroll 16
    for (int i = 0; i < kSparseLanes; ++i) {
        if (i < lane_count) store_first(v[i], target + lanes[i], count);
    }
}

// See DirectSparseKernel::write_runs.
void sparse_write_runs(const float* source, int64_t run_count, const sscaffe::SparseRun* runs,
                       float least, float* target) {
    const Vector<float> floor = broadcast(least);
    for (int64_t r = 0; r < run_count; ++r) {
        // All that is loaded belongs to the sums, which have room behind them.
        Vector<float> v = load(source + runs[r].lane);
        v = v < floor ? floor : v;
        store_first(v, target + runs[r].target, runs[r].count);
    }
}

// See DirectSparseKernel::copy_rows.  The rows come from far away: what comes next is asked for
// early.
void sparse_copy_rows(int64_t rows, int64_t width, const float* source, float* target,
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
void sparse_pack_runs(int64_t depth, const sscaffe::SparseSource* places, const float* image,
                      const sscaffe::SparseSource* runs, float* packed) {
    for (int64_t k = 0; k < depth; ++k) {
        const float* source = image + places[k].source;
        float* target = packed + places[k].target;
#pragma GCC unroll 8
        for (int r = 0; r < kRuns; ++r)
            store(load(source + runs[r].source), target + runs[r].target);
    }
}

// See DirectSparseKernel::pack.
template <int kRuns = 8>
void sparse_pack(int64_t depth, const sscaffe::SparseSource* places, const float* image,
                 int64_t run_count, const sscaffe::SparseSource* runs, float* packed) {
    if (run_count == kRuns) return sparse_pack_runs<kRuns>(depth, places, image, runs, packed);
    if constexpr (kRuns > 1) {
        if (run_count < kRuns) {
            return sparse_pack<kRuns - 1>(depth, places, image, run_count, runs, packed);
        }
    }
    for (int64_t k = 0; k < depth; ++k) {
        const float* source = image + places[k].source;
        float* target = packed + places[k].target;
        for (int64_t r = 0; r < run_count; ++r) {
            store(load(source + runs[r].source), target + runs[r].target);
        }
    }
}

constexpr sscaffe::DirectSparseKernel kDirectSparseKernel = {
    kSparseLanes,  kSparseSums, kSparseRows,   kSparseColumns, sparse_copy_rows,
    sparse_pack<>, sparse_tile, sparse_gather, sparse_scatter, sparse_write_runs,
};

}  // namespace
