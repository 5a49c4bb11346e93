#pragma once

// Included by vector_body.h: the loops of channels.cpp, for one piece of one group of channels.
//
// Each result is made by the same roundings whatever the instruction set, and sums have 16 lanes.

#include "simd.h"

namespace {

constexpr int kSumLanes = 16;

// Two sums, and what is added to them, for kWidth elements side by side.
template <int kWidth>
struct SumPair {
    static constexpr int kLanesOfSum = kWidth < kLanes<double> ? kWidth : kLanes<double>;
    static constexpr int kBytes = kLanesOfSum * sizeof(double), kParts = kWidth / kLanesOfSum;
    using Doubles = Vector<double, kBytes>;

    Doubles firsts[kParts] = {}, seconds[kParts] = {};

    static Doubles widened(const float* source, int part) {
        const auto floats = load<kBytes / 2>(source + part * kLanesOfSum);
        return __builtin_convertvector(floats, Doubles);
    }
    // The differences from `shift`, and their squares.
    void add_moments(const float* x, const Doubles* shift) {
        for (int part = 0; part < kParts; ++part) {
            const Doubles value = widened(x, part) - shift[part];
            firsts[part] += value;
            seconds[part] += value * value;
        }
    }
    // dy, and its products with the differences from `shift`.
    void add_products(const float* x, const float* dy, const Doubles* shift) {
        for (int part = 0; part < kParts; ++part) {
            const Doubles diff = widened(dy, part);
            firsts[part] += diff;
            seconds[part] += diff * (widened(x, part) - shift[part]);
        }
    }
};

// `kProducts` says which of the two sums are meant; x is dy's partner, or alone.
template <bool kProducts, int kWidth>
inline void add_to(SumPair<kWidth>& sums, const float* x, const float* dy, int64_t at,
                   const typename SumPair<kWidth>::Doubles* shift) {
    if constexpr (kProducts) {
        sums.add_products(x + at, dy + at, shift);
    } else {
        sums.add_moments(x + at, shift);
    }
}

// Columns [column, column + kWidth) of a block.
template <bool kProducts, int kWidth>
void sum_columns(const sscaffe::ChannelPiece& p, int64_t column, const float* x, const float* dy,
                 const float* shift, double* firsts, double* seconds) {
    using Sums = SumPair<kWidth>;
    Sums sums;
    typename Sums::Doubles from[Sums::kParts];
    for (int part = 0; part < Sums::kParts; ++part)
        from[part] = Sums::widened(shift + column, part);
    for (int64_t row = 0; row < p.rows; ++row) {
        const int64_t begin = row * p.stride + column;
        for (int64_t i = 0; i < p.count; ++i) {
            add_to<kProducts>(sums, x, dy, begin + i * p.block, from);
        }
    }
    __builtin_memcpy(firsts + column, sums.firsts, sizeof(sums.firsts));
    __builtin_memcpy(seconds + column, sums.seconds, sizeof(sums.seconds));
}

// All of a piece whose block is a single channel.
template <bool kProducts>
void sum_channel(const sscaffe::ChannelPiece& p, const float* x, const float* dy,
                 const float* shift, double* firsts, double* seconds) {
    using Sums = SumPair<kSumLanes>;
    Sums sums;
    SumPair<1> rest;
    typename Sums::Doubles from[Sums::kParts];
    for (auto& part : from)
        part = broadcast_to<typename Sums::Doubles>(static_cast<double>(*shift));
    const typename SumPair<1>::Doubles single[1] = {{static_cast<double>(*shift)}};
    const int64_t whole = p.count / kSumLanes * kSumLanes;
    for (int64_t row = 0; row < p.rows; ++row) {
        const int64_t begin = row * p.stride;
        for (int64_t i = 0; i < whole; i += kSumLanes) {
            add_to<kProducts>(sums, x, dy, begin + i, from);
        }
        for (int64_t i = whole; i < p.count; ++i) {
            add_to<kProducts>(rest, x, dy, begin + i, single);
        }
    }
    *firsts = rest.firsts[0][0];
    *seconds = rest.seconds[0][0];
    for (int lane = 0; lane < kSumLanes; ++lane) {
        *firsts += sums.firsts[lane / Sums::kLanesOfSum][lane % Sums::kLanesOfSum];
        *seconds += sums.seconds[lane / Sums::kLanesOfSum][lane % Sums::kLanesOfSum];
    }
}

template <bool kProducts>
void sum_piece(const sscaffe::ChannelPiece& p, const float* x, const float* dy, const float* shift,
               double* firsts, double* seconds) {
    if (p.block == 1) {
        sum_channel<kProducts>(p, x, dy, shift, firsts, seconds);
        return;
    }
    int64_t column = 0;
    for (; column + 16 <= p.block; column += 16) {
        sum_columns<kProducts, 16>(p, column, x, dy, shift, firsts, seconds);
    }
    for (; column + 8 <= p.block; column += 8) {
        sum_columns<kProducts, 8>(p, column, x, dy, shift, firsts, seconds);
    }
    for (; column < p.block; ++column) {
        sum_columns<kProducts, 1>(p, column, x, dy, shift, firsts, seconds);
    }
}

// See ChannelKernels::moments.
void channel_moments(const sscaffe::ChannelPiece& p, const float* x, const float* shift,
                     double* sums, double* squares) {
    sum_piece<false>(p, x, nullptr, shift, sums, squares);
}

// See ChannelKernels::products.
void channel_products(const sscaffe::ChannelPiece& p, const float* x, const float* dy,
                      const float* shift, double* sums, double* products) {
    sum_piece<true>(p, x, dy, shift, sums, products);
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
                    const float* bias, const float* x, float* y) {
    for_each_vector(p, [&](int64_t column, const auto& run) {
        const auto from = parameter(p, shift, column), times = parameter(p, factor, column),
                   plus = parameter(p, bias, column);
        run([&](int64_t i) { store((load(x + i) - from) * times + plus, y + i); },
            [&](int64_t i, int64_t n) {
                store_first((load_first(x + i, n) - from) * times + plus, y + i, n);
            });
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
        const auto combined = [&](Vector<float> a, Vector<float> b) {
            return (b - dy_from) * dy_times + (a - x_from) * x_times;
        };
        run([&](int64_t i) { store(combined(load(x + i), load(dy + i)), dx + i); },
            [&](int64_t i, int64_t n) {
                store_first(combined(load_first(x + i, n), load_first(dy + i, n)), dx + i, n);
            });
    });
}

}  // namespace
