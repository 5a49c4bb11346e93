#pragma once

// Included by vector_body.h: the inner loops of implicit_gemm.cpp.

#include "simd.h"

namespace {

// The sums fill the registers, but for those that weights and an element of the image pass through.
#if defined(__AVX512F__)
constexpr int kImplicitSums = 28, kImplicitHalvedSums = 25;
#elif defined(__AVX2__)
constexpr int kImplicitSums = 12, kImplicitHalvedSums = 12;
#else
constexpr int kImplicitSums = 9, kImplicitHalvedSums = 10;
#endif

// The most positions of a tile of so many vectors.
constexpr int implicit_positions(int vectors) {
    constexpr int kMost = 16;
    return kImplicitSums / vectors < kMost ? kImplicitSums / vectors : kMost;
}

// The same where the last vector is halved: two positions have a sum less than twice the vectors.
constexpr int halved_positions(int vectors) {
    return 2 * (kImplicitHalvedSums / (2 * vectors - 1));
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

// The sums of a tile whose vectors are all whole.
template <int kTilePositions, int kTileVectors>
struct WholeSums {
    static constexpr int kPositions = kTilePositions, kVectors = kTileVectors;

    [[gnu::always_inline]] void start(const float* values) {
#pragma GCC unroll 3
        for (int v = 0; v < kVectors; ++v) {
            const Vector<float> first = load(values + v * kLanes<float>);
#pragma GCC unroll 16
            for (int x = 0; x < kPositions; ++x) sums[x][v] = first;
        }
    }

    // Add the products of a column, whose weights are `row`, at the positions that are inside(x).
    template <typename Inside>
    [[gnu::always_inline]] void add(const Vector<float> (&row)[kVectors], const float* image,
                                    int64_t step, const Inside& inside) {
#pragma GCC unroll 16
        for (int x = 0; x < kPositions; ++x) {
            if (inside(x)) {
                const Vector<float> value = broadcast(image[x % 3 * step]);
#pragma GCC unroll 3
                for (int v = 0; v < kVectors; ++v) {
                    sums[x][v] = multiply_add(value, row[v], sums[x][v]);
                }
            }
            if (x % 3 == 2) {
                // Three addresses from one register; all of them from the first would take more
                // registers than there are.
                image += 3 * step;
                asm("" : "+r"(image));
            }
        }
    }

    // At a position, in the lanes that have rows.
    [[gnu::always_inline]] Vector<float> at(int x, int v) const { return sums[x][v]; }

    Vector<float> sums[kPositions][kVectors];
};

// The sums of a tile whose last vector is halved.  A position x of the first half of the tile has
// the lower half of that vector's lanes, and the upper half is position x + kPairs.
template <int kTilePositions, int kTileVectors>
struct HalvedSums {
    static constexpr int kPositions = kTilePositions, kVectors = kTileVectors;
    static constexpr int kWhole = kVectors - 1, kPairs = (kPositions + 1) / 2;

    [[gnu::always_inline]] void start(const float* values) {
#pragma GCC unroll 2
        for (int v = 0; v < kWhole; ++v) {
            const Vector<float> first = load(values + v * kLanes<float>);
#pragma GCC unroll 16
            for (int x = 0; x < kPositions; ++x) whole[x][v] = first;
        }
        const Vector<float> first = load(values + kWhole * kLanes<float>);
#pragma GCC unroll 8
        for (int x = 0; x < kPairs; ++x) pairs[x] = first;
    }

    template <typename Inside>
    [[gnu::always_inline]] void add(const Vector<float> (&row)[kVectors], const float* image,
                                    int64_t step, const Inside& inside) {
        const float* other = image + kPairs * step;
#pragma GCC unroll 8
        for (int x = 0; x < kPairs; ++x) {
            const bool has_other = x + kPairs < kPositions;
            const bool lower = inside(x), upper = has_other && inside(x + kPairs);
            Vector<float> value{}, other_value{};
            if (lower) value = add_whole(x, row, image + x % 3 * step);
            if (upper) other_value = add_whole(x + kPairs, row, other + x % 3 * step);
            const Vector<float> last = row[kWhole], before = pairs[x];
            if (lower && upper) {
                pairs[x] = multiply_add(join_halves(value, other_value), last, before);
            } else if (lower) {
                pairs[x] = join_halves(multiply_add(value, last, before), before);
            } else if (upper) {
                pairs[x] = join_halves(before, multiply_add(other_value, last, before));
            }
            if (x % 3 == 2) {
                // As above.
                image += 3 * step;
                other += 3 * step;
                asm("" : "+r"(image), "+r"(other));
            }
        }
    }

    [[gnu::always_inline]] Vector<float> at(int x, int v) const {
        if (v < kWhole) return whole[x][v];
        return x < kPairs ? pairs[x] : upper_half(pairs[x - kPairs]);
    }

    Vector<float> whole[kPositions][kWhole];
    Vector<float> pairs[kPairs];

   private:
    [[gnu::always_inline]] Vector<float> add_whole(int x, const Vector<float> (&row)[kVectors],
                                                   const float* element) {
        const Vector<float> value = broadcast(*element);
#pragma GCC unroll 2
        for (int v = 0; v < kWhole; ++v) {
            whole[x][v] = multiply_add(value, row[v], whole[x][v]);
        }
        return value;
    }
};

// The lanes of a vector that have sums, and what the rest is.
struct Filled {
    bool is_needed;
    SomeLanes sums;
    Vector<float> rest;
};

// For the target of a vector whose channels with sums come first.
inline Filled what_fills(const sscaffe::ImplicitTile& t, int64_t vector) {
    const sscaffe::ImplicitTarget& target = t.targets[vector];
    const int64_t sums = __builtin_popcount(target.mask);
    Filled filled{};
    filled.is_needed = sums < target.count;
    if (!filled.is_needed) return filled;
    filled.sums = some_lanes(0, sums);
    filled.rest = load(t.fill + vector * kLanes<float>);
    return filled;
}

template <typename Sums>
void store_sums(const sscaffe::ImplicitTile& t, const Sums& sums) {
    constexpr int64_t kLane = kLanes<float>;
    alignas(kVectorBytes) float room[Sums::kPositions * Sums::kVectors * kLane];
#pragma GCC unroll 3
    for (int v = 0; v < Sums::kVectors; ++v) {
        Filled filled{};
        if (t.is_direct) filled = what_fills(t, v);
#pragma GCC unroll 16
        for (int x = 0; x < Sums::kPositions; ++x) {
            const Vector<float> zero{}, sum = sums.at(x, v);
            Vector<float> value = t.relu ? (sum < zero ? zero : sum) : sum;
            if (!t.is_direct) {
                store(value, room + (x * Sums::kVectors + v) * kLane);
                continue;
            }
            if (filled.is_needed) value = choose(filled.sums, value, filled.rest);
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
template <typename Sums, typename Inside>
[[gnu::always_inline]] inline void add_columns(const sscaffe::ImplicitTile& t,
                                               const sscaffe::ImplicitSpan& span, Sums& sums,
                                               const Inside& inside) {
    constexpr int64_t kLane = kLanes<float>, kVectors = Sums::kVectors;
    const int32_t *place = t.places + span.first, *end = place + span.count;
    const float* weights = t.weights + int64_t{span.first} * kVectors * kLane;
    for (; place < end; ++place, weights += kVectors * kLane) {
        Vector<float> row[kVectors];
#pragma GCC unroll 3
        for (int v = 0; v < kVectors; ++v) row[v] = load(weights + v * kLane);
        sums.add(row, t.image + *place, t.step, inside);
    }
}

// Do so if the span reads beyond the image at just so many positions, which are known to the
// compiler then.
template <int kLeft, int kRight, typename Sums>
[[gnu::always_inline]] inline bool added(const sscaffe::ImplicitTile& t,
                                         const sscaffe::ImplicitSpan& span, Sums& sums) {
    if (span.left != kLeft || span.right != kRight) return false;
    add_columns(t, span, sums, [](int x) { return x >= kLeft && x < Sums::kPositions - kRight; });
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

template <typename Sums>
[[gnu::noinline]] void implicit_sums(const sscaffe::ImplicitTile& t) {
    ask_ahead(t);
    Sums sums;
    sums.start(t.start);
    for (const sscaffe::ImplicitSpan *s = t.spans, *end = s + t.span_count; s < end; ++s) {
        if (added<0, 0>(t, *s, sums) || added<1, 0>(t, *s, sums) || added<0, 1>(t, *s, sums) ||
            added<2, 0>(t, *s, sums) || added<0, 2>(t, *s, sums)) {
            continue;
        }
        const int first = s->left, last = Sums::kPositions - s->right;
        add_columns(t, *s, sums, [=](int x) { return x >= first && x < last; });
    }
    store_sums(t, sums);
}

// Find the loop for so many positions.
template <template <int, int> class Sums, int kVectors, int kPositions>
void implicit_tile_of(const sscaffe::ImplicitTile& t) {
    if constexpr (kPositions > 1) {
        if (t.positions < kPositions) return implicit_tile_of<Sums, kVectors, kPositions - 1>(t);
    }
    implicit_sums<Sums<kPositions, kVectors>>(t);
}

// See ImplicitGemmKernel::tile.
void implicit_tile(const sscaffe::ImplicitTile& t) {
    static_assert(sscaffe::ImplicitGemmKernel::kMostVectors == 3);
    switch (2 * t.vectors - t.is_halved) {
        case 0:
            return implicit_spread(t, nullptr);
        case 2:
            return implicit_tile_of<WholeSums, 1, implicit_positions(1)>(t);
        case 3:
            return implicit_tile_of<HalvedSums, 2, halved_positions(2)>(t);
        case 4:
            return implicit_tile_of<WholeSums, 2, implicit_positions(2)>(t);
        case 5:
            return implicit_tile_of<HalvedSums, 3, halved_positions(3)>(t);
        default:
            return implicit_tile_of<WholeSums, 3, implicit_positions(3)>(t);
    }
}

constexpr sscaffe::ImplicitGemmKernel kImplicitGemmKernel = {
    kLanes<float>,
    {{implicit_positions(1), implicit_positions(1), implicit_positions(2), implicit_positions(3)},
     {0, 0, halved_positions(2), halved_positions(3)}},
    implicit_tile,
};

}  // namespace
