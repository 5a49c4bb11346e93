#pragma once

// Included by vector_body.h: the loops of channels.cpp, for one piece of one group of channels.
//
// Each result is made by the same roundings whatever the instruction set, and sums have 16 lanes.

#include "simd.h"

namespace {

constexpr int kSumLanes = 16;

// Two sums for each of kWidth elements side by side.
template <int kWidth>
struct SumPair {
    static constexpr int kLanesOfSum = kWidth < kLanes<double> ? kWidth : kLanes<double>;
    static constexpr int kBytes = kLanesOfSum * sizeof(double), kParts = kWidth / kLanesOfSum;
    using Doubles = Vector<double, kBytes>;
    using Floats = Vector<float, kBytes / 2>;

    Doubles firsts[kParts] = {}, seconds[kParts] = {};
};

enum class Sums { kMoments, kProducts, kProductsWhereRectified };

// What the sums are taken over; dy and rectifier only where they are meant.
struct SumSource {
    const float *x, *dy, *shift;
    const sscaffe::ChannelRectifier* rectifier;
};

// dy where (x - shift) * factor + bias is above 0, and 0 elsewhere.
template <typename Floats>
inline Floats where_rectified(Floats x, Floats dy, Floats shift, Floats factor, Floats bias) {
    return (x - shift) * factor + bias > Floats{} ? dy : Floats{};
}

// The terms of the sums, for kWidth elements of the channels from `column` on.
template <Sums kSums, int kWidth>
class Terms {
    using Pair = SumPair<kWidth>;
    using Doubles = typename Pair::Doubles;
    using Floats = typename Pair::Floats;

   public:
    // `all_one` says that the elements are of one channel.
    Terms(const SumSource& source, int64_t column, bool all_one) : source_(source) {
        for (int part = 0; part < Pair::kParts; ++part) {
            const int64_t at = column + part * Pair::kLanesOfSum;
            const auto of_channels = [&](const float* values) {
                return all_one ? broadcast_to<Floats>(*values)
                               : load<Pair::kBytes / 2>(values + at);
            };
            shift_[part] = of_channels(source.shift);
            from_[part] = __builtin_convertvector(shift_[part], Doubles);
            if constexpr (kSums == Sums::kProductsWhereRectified) {
                factor_[part] = of_channels(source.rectifier->factor);
                bias_[part] = of_channels(source.rectifier->bias);
            }
        }
    }

    // Those of the elements from `at` on.
    void add_to(Pair& sums, int64_t at) const {
        for (int part = 0; part < Pair::kParts; ++part) {
            const int64_t i = at + part * Pair::kLanesOfSum;
            const Floats x = load<Pair::kBytes / 2>(source_.x + i);
            const Doubles difference = __builtin_convertvector(x, Doubles) - from_[part];
            Doubles first = difference;
            if constexpr (kSums != Sums::kMoments) {
                Floats dy = load<Pair::kBytes / 2>(source_.dy + i);
                if constexpr (kSums == Sums::kProductsWhereRectified)
                    dy = where_rectified(x, dy, shift_[part], factor_[part], bias_[part]);
                first = __builtin_convertvector(dy, Doubles);
            }
            sums.firsts[part] += first;
            sums.seconds[part] += first * difference;
        }
    }

   private:
    const SumSource source_;
    Floats shift_[Pair::kParts], factor_[Pair::kParts], bias_[Pair::kParts];
    Doubles from_[Pair::kParts];
};

// Columns [column, column + kWidth) of a block.
template <Sums kSums, int kWidth>
void sum_columns(const sscaffe::ChannelPiece& p, int64_t column, const SumSource& source,
                 double* firsts, double* seconds) {
    const Terms<kSums, kWidth> terms(source, column, false);
    SumPair<kWidth> sums;
    for (int64_t row = 0; row < p.rows; ++row) {
        const int64_t begin = row * p.stride + column;
        for (int64_t i = 0; i < p.count; ++i) terms.add_to(sums, begin + i * p.block);
    }
    __builtin_memcpy(firsts + column, sums.firsts, sizeof(sums.firsts));
    __builtin_memcpy(seconds + column, sums.seconds, sizeof(sums.seconds));
}

// All of a piece whose block is a single channel.
template <Sums kSums>
void sum_channel(const sscaffe::ChannelPiece& p, const SumSource& source, double* firsts,
                 double* seconds) {
    using Pair = SumPair<kSumLanes>;
    const Terms<kSums, kSumLanes> terms(source, 0, true);
    const Terms<kSums, 1> single(source, 0, true);
    Pair sums;
    SumPair<1> rest;
    const int64_t whole = p.count / kSumLanes * kSumLanes;
    for (int64_t row = 0; row < p.rows; ++row) {
        const int64_t begin = row * p.stride;
        for (int64_t i = 0; i < whole; i += kSumLanes) terms.add_to(sums, begin + i);
        for (int64_t i = whole; i < p.count; ++i) single.add_to(rest, begin + i);
    }
    *firsts = rest.firsts[0][0];
    *seconds = rest.seconds[0][0];
    for (int lane = 0; lane < kSumLanes; ++lane) {
        *firsts += sums.firsts[lane / Pair::kLanesOfSum][lane % Pair::kLanesOfSum];
        *seconds += sums.seconds[lane / Pair::kLanesOfSum][lane % Pair::kLanesOfSum];
    }
}

template <Sums kSums>
void sum_piece(const sscaffe::ChannelPiece& p, const SumSource& source, double* firsts,
               double* seconds) {
    if (p.block == 1) {
        sum_channel<kSums>(p, source, firsts, seconds);
        return;
    }
    int64_t column = 0;
    for (; column + 16 <= p.block; column += 16)
        sum_columns<kSums, 16>(p, column, source, firsts, seconds);
    for (; column + 8 <= p.block; column += 8)
        sum_columns<kSums, 8>(p, column, source, firsts, seconds);
    for (; column < p.block; ++column) sum_columns<kSums, 1>(p, column, source, firsts, seconds);
}

// See ChannelKernels::moments.
void channel_moments(const sscaffe::ChannelPiece& p, const float* x, const float* shift,
                     double* sums, double* squares) {
    sum_piece<Sums::kMoments>(p, {x, nullptr, shift, nullptr}, sums, squares);
}

// See ChannelKernels::products.
void channel_products(const sscaffe::ChannelPiece& p, const float* x, const float* dy,
                      const float* shift, const sscaffe::ChannelRectifier* rectifier, double* sums,
                      double* products) {
    const SumSource source{x, dy, shift, rectifier};
    if (rectifier) {
        sum_piece<Sums::kProductsWhereRectified>(p, source, sums, products);
    } else {
        sum_piece<Sums::kProducts>(p, source, sums, products);
    }
}

// Call fn(first element, lanes, channel) for vectors that together cover a piece; all lanes of a
// vector have the channels from that one on, or that one alone where the block is a single channel.
template <typename Function>
inline void for_each_vector(const sscaffe::ChannelPiece& p, const Function& fn) {
    constexpr int64_t kWidth = kLanes<float>;
    const int64_t columns = p.block == 1 ? 1 : p.block, step = p.block == 1 ? kWidth : p.block;
    const int64_t end = p.count * p.block;
    for (int64_t column = 0; column < columns; column += kWidth) {
        const int64_t lanes = p.block == 1 ? kWidth : p.block - column;
        fn(column, [&](const auto& whole, const auto& part) {
            for (int64_t row = 0; row < p.rows; ++row) {
                const int64_t begin = row * p.stride + column;
                int64_t i = 0;
                if (lanes >= kWidth) {
                    for (; i + step <= end; i += step) whole(begin + i);
                }
                // What is left: an end of a channel, or a block's last columns.
                for (; i < end; i += step) part(begin + i, lanes < kWidth ? lanes : end - i);
            }
        });
    }
}

inline Vector<float> parameter(const sscaffe::ChannelPiece& p, const float* values,
                               int64_t column) {
    if (p.block == 1) return broadcast(*values);
    const int64_t lanes = p.block - column;
    return lanes >= kLanes<float> ? load(values + column) : load_first(values + column, lanes);
}

// See ChannelKernels::affine.
void channel_affine(const sscaffe::ChannelPiece& p, const float* shift, const float* factor,
                    const float* bias, bool rectify, const float* x, float* y) {
    for_each_vector(p, [&](int64_t column, const auto& run) {
        const auto from = parameter(p, shift, column), times = parameter(p, factor, column),
                   plus = parameter(p, bias, column);
        const auto apply = [&](const auto& finish) {
            run([&](int64_t i) { store(finish((load(x + i) - from) * times + plus), y + i); },
                [&](int64_t i, int64_t n) {
                    store_first(finish((load_first(x + i, n) - from) * times + plus), y + i, n);
                });
        };
        using Values = Vector<float>;
        if (rectify) {
            apply([](Values value) { return value < Values{} ? Values{} : value; });
        } else {
            apply([](Values value) { return value; });
        }
    });
}

// See ChannelKernels::combine.
void channel_combine(const sscaffe::ChannelPiece& p, const sscaffe::ChannelCombination& c,
                     const float* x, const float* dy, float* dx) {
    for_each_vector(p, [&](int64_t column, const auto& run) {
        const auto x_from = parameter(p, c.x_shift, column);
        const auto x_times = parameter(p, c.x_factor, column);
        const auto dy_from = parameter(p, c.dy_shift, column);
        const auto dy_times = parameter(p, c.dy_factor, column);
        using Values = Vector<float>;
        const auto apply = [&](const auto& passed) {
            const auto combined = [&](Values a, Values b) {
                return (passed(a, b) - dy_from) * dy_times + (a - x_from) * x_times;
            };
            run([&](int64_t i) { store(combined(load(x + i), load(dy + i)), dx + i); },
                [&](int64_t i, int64_t n) {
                    store_first(combined(load_first(x + i, n), load_first(dy + i, n)), dx + i, n);
                });
        };
        if (c.rectifier) {
            const auto times = parameter(p, c.rectifier->factor, column);
            const auto plus = parameter(p, c.rectifier->bias, column);
            apply([&](Values a, Values b) { return where_rectified(a, b, x_from, times, plus); });
        } else {
            apply([](Values, Values b) { return b; });
        }
    });
}

}  // namespace
