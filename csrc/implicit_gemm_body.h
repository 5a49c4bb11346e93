#pragma once

// Included by vector_body.h: the inner loops of implicit_gemm.cpp.

#include "simd.h"

namespace {

// The sums fill the registers, but for those that weights and an element of the image pass through.
#if defined(__AVX512F__)
constexpr int kImplicitSums = 28;
#elif defined(__AVX2__)
constexpr int kImplicitSums = 12;
#else
constexpr int kImplicitSums = 9;
#endif

// The most positions of a tile of so many vectors.
constexpr int implicit_positions(int vectors) {
    constexpr int kMost = 14;
    return kImplicitSums / vectors < kMost ? kImplicitSums / vectors : kMost;
}

// What is written goes to the targets, by way of memory: [positions][vectors][lanes].
void implicit_spread(const sscaffe::ImplicitTile& t, const float* sums) {
    constexpr int64_t kLane = kLanes<float>;
    const int64_t pitch = t.vectors * kLane;
    for (int64_t i = 0; i < t.target_count; ++i) {
        const sscaffe::ImplicitTarget& target = t.targets[i];
        const float *source = sums + target.source, *fill = t.fill + i * kLane;
        float* out = t.out + target.place;
        for (int64_t x = 0; x < t.positions; ++x, source += pitch, out += t.out_step) {
            if (target.count == 1) {
                *out = target.mask ? *source : *fill;
                continue;
            }
            const Vector<float> value = load_expanded(source, target.mask, load(fill));
            if (target.count == kLane) {
                store(value, out);
            } else {
                store_first(value, out, target.count);
            }
        }
    }
}

template <int kPositions, int kVectors>
void store_sums(const sscaffe::ImplicitTile& t, const Vector<float> (&sums)[kPositions][kVectors]) {
    constexpr int64_t kLane = kLanes<float>;
    alignas(kVectorBytes) float room[kPositions * kVectors * kLane];
#pragma GCC unroll 16
    for (int x = 0; x < kPositions; ++x) {
#pragma GCC unroll 3
        for (int v = 0; v < kVectors; ++v) {
            const Vector<float> zero{}, sum = sums[x][v];
            const Vector<float> value = t.relu ? (sum < zero ? zero : sum) : sum;
            if (!t.is_direct) {
                store(value, room + (x * kVectors + v) * kLane);
                continue;
            }
            float* out = t.out + t.targets[v].place + x * t.out_step;
            if (t.targets[v].count == kLane) {
                store(value, out);
            } else {
                store_first(value, out, t.targets[v].count);
            }
        }
    }
    if (!t.is_direct) implicit_spread(t, room);
}

// Add the columns of a span at the positions that are inside(x).
template <int kPositions, int kVectors, typename Inside>
[[gnu::always_inline]] inline void add_columns(const sscaffe::ImplicitTile& t,
                                               const sscaffe::ImplicitSpan& span,
                                               Vector<float> (&sums)[kPositions][kVectors],
                                               const Inside& inside) {
    constexpr int64_t kLane = kLanes<float>;
    const int32_t *place = t.places + span.first, *end = place + span.count;
    const float* weights = t.weights + int64_t{span.first} * kVectors * kLane;
    for (; place < end; ++place, weights += kVectors * kLane) {
        Vector<float> row[kVectors];
#pragma GCC unroll 3
        for (int v = 0; v < kVectors; ++v) row[v] = load(weights + v * kLane);
        const float* image = t.image + *place;
#pragma GCC unroll 16
        for (int x = 0; x < kPositions; ++x) {
            if (inside(x)) {
                const Vector<float> value = broadcast(image[x % 3 * t.step]);
#pragma GCC unroll 3
                for (int v = 0; v < kVectors; ++v) {
                    sums[x][v] = multiply_add(value, row[v], sums[x][v]);
                }
            }
            if (x % 3 == 2) {
                // Three addresses from one register; all of them from the first would take more
                // registers than there are.
                image += 3 * t.step;
                asm("" : "+r"(image));
            }
        }
    }
}

// Do so if the span reads beyond the image at just so many positions, which are known to the
// compiler then.
template <int kLeft, int kRight, int kPositions, int kVectors>
[[gnu::always_inline]] inline bool added(const sscaffe::ImplicitTile& t,
                                         const sscaffe::ImplicitSpan& span,
                                         Vector<float> (&sums)[kPositions][kVectors]) {
    if (span.left != kLeft || span.right != kRight) return false;
    add_columns(t, span, sums, [](int x) { return x >= kLeft && x < kPositions - kRight; });
    return true;
}

// The sums go far away; their place is asked for early.  So are elements that others will want.
inline void ask_ahead(const sscaffe::ImplicitTile& t) {
    constexpr int64_t kLine = 64 / sizeof(float);
    for (int64_t i = 0; i < t.target_count; ++i) {
        // One channel a target: positions lie side by side.
        const int64_t step = t.targets[i].count == 1 && t.out_step < kLine ? kLine : 1;
        float* out = t.out + t.targets[i].place;
        for (int64_t x = 0; x < t.positions; x += step) prefetch_to_write(out + x * t.out_step);
    }
    for (int64_t i = 0; i < t.ahead_count; i += kLine) __builtin_prefetch(t.ahead + i, 0, 2);
}

template <int kPositions, int kVectors>
[[gnu::noinline]] void implicit_sums(const sscaffe::ImplicitTile& t) {
    ask_ahead(t);
    Vector<float> sums[kPositions][kVectors];
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) {
        const Vector<float> start = load(t.start + v * kLanes<float>);
#pragma GCC unroll 16
        for (int x = 0; x < kPositions; ++x) sums[x][v] = start;
    }
    for (const sscaffe::ImplicitSpan *s = t.spans, *end = s + t.span_count; s < end; ++s) {
        if (added<0, 0>(t, *s, sums) || added<1, 0>(t, *s, sums) || added<0, 1>(t, *s, sums) ||
            added<2, 0>(t, *s, sums) || added<0, 2>(t, *s, sums)) {
            continue;
        }
        const int first = s->left, last = kPositions - s->right;
        add_columns(t, *s, sums, [=](int x) { return x >= first && x < last; });
    }
    store_sums<kPositions, kVectors>(t, sums);
}

// See ImplicitGemmKernel::tile: find the loop for so many positions and vectors.
template <int kPositions = implicit_positions(1), int kVectors = 1>
void implicit_tile(const sscaffe::ImplicitTile& t) {
    constexpr int kMost = sscaffe::ImplicitGemmKernel::kMostVectors;
    if (t.vectors == 0) return implicit_spread(t, nullptr);
    if constexpr (kVectors < kMost && kPositions == implicit_positions(kVectors)) {
        if (t.vectors > kVectors) {
            return implicit_tile<implicit_positions(kVectors + 1), kVectors + 1>(t);
        }
    }
    if constexpr (kPositions > 1) {
        if (t.positions < kPositions) return implicit_tile<kPositions - 1, kVectors>(t);
    }
    implicit_sums<kPositions, kVectors>(t);
}

constexpr sscaffe::ImplicitGemmKernel kImplicitGemmKernel = {
    kLanes<float>,
    {implicit_positions(1), implicit_positions(1), implicit_positions(2), implicit_positions(3)},
    implicit_tile<>,
};

}  // namespace
