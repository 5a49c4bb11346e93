#include "channels.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu_features.h"
#include "parallel.h"

namespace sscaffe {
namespace {

// Elements that are worked on at a time: what is read twice stays in the first cache.
constexpr int64_t kPiece = 4096;

// A group's memory in pieces: some rows of `inner`, or part of one row.
class Pieces {
   public:
    explicit Pieces(const ChannelSizes& s) : s_(s) {
        constexpr int64_t kLeast = 16;  // positions, so that there are fewer sums than elements
        const int64_t positions = std::max(kLeast, kPiece / s.block);
        count_ = std::clamp<int64_t>(positions, 1, std::max<int64_t>(s.inner, 1));
        rows_ = std::clamp<int64_t>(positions / count_, 1, std::max<int64_t>(s.outer, 1));
        parts_ = (s.inner + count_ - 1) / count_;
        layers_ = (s.outer + rows_ - 1) / rows_;
    }

    int64_t size() const { return layers_ * s_.groups * parts_; }

    // Call fn(piece, offset of its first element, first channel, number) for each, on all threads.
    template <typename Function>
    void for_each(const Function& fn) const {
        parallel_for(0, size(), grain_of(rows_ * count_ * s_.block),
                     [&](int64_t first, int64_t last) {
                         for (int64_t i = first; i < last; ++i) call(i, fn);
                     });
    }

    // totals[c] = sum of parts[piece][c] over the pieces, in order; parts  [size()][block]
    void add_up(const std::vector<double>& parts, std::vector<double>& totals) const {
        totals.assign(s_.padded(), 0);
        for (int64_t i = 0; i < size(); ++i) {
            double* total = totals.data() + group_of(i) * s_.block;
            for (int64_t b = 0; b < s_.block; ++b) total[b] += parts[i * s_.block + b];
        }
    }

   private:
    int64_t group_of(int64_t i) const { return i / parts_ % s_.groups; }

    template <typename Function>
    void call(int64_t i, const Function& fn) const {
        const int64_t part = i % parts_, group = group_of(i), layer = i / parts_ / s_.groups;
        const int64_t row = layer * rows_, stride = s_.groups * s_.inner * s_.block;
        const ChannelPiece piece{std::min(rows_, s_.outer - row), stride,
                                 std::min(count_, s_.inner - part * count_), s_.block};
        fn(piece, row * stride + (group * s_.inner + part * count_) * s_.block, group * s_.block,
           i);
    }

    ChannelSizes s_;
    int64_t rows_, count_, parts_, layers_;
};

// Values by channel, with 0 for the channels that fill a block up.
std::vector<float> padded(const ChannelSizes& s, const float* values) {
    std::vector<float> result(s.padded());
    if (values) std::copy_n(values, s.channels, result.begin());
    return result;
}

struct Sums {
    std::vector<double> firsts, seconds;
};

// Call fn(piece, offset, first channel, sums, sums) for each piece, and add its sums up.
template <typename Function>
Sums sum_pieces(const ChannelSizes& s, const Function& fn) {
    const Pieces pieces(s);
    std::vector<double> firsts(pieces.size() * s.block), seconds(firsts.size());
    pieces.for_each([&](const ChannelPiece& piece, int64_t at, int64_t channel, int64_t i) {
        fn(piece, at, channel, firsts.data() + i * s.block, seconds.data() + i * s.block);
    });
    Sums sums;
    pieces.add_up(firsts, sums.firsts);
    pieces.add_up(seconds, sums.seconds);
    return sums;
}

// The factor and the bias of what is done to x - mean.
struct Affine {
    Affine(const ChannelSizes& s, const AfterNorm& after, const float* inverse_std)
        : factor(padded(s, inverse_std)), bias(padded(s, after.bias)) {
        for (int64_t c = 0; c < s.channels && after.factor; ++c) factor[c] *= after.factor[c];
    }

    std::vector<float> factor, bias;
};

// y = (x - shift) * factor + bias, rectified or not, of padded values by channel.
void set_affine(const ChannelSizes& s, const float* shift, const float* factor, const float* bias,
                bool rectify, const float* x, float* y) {
    const auto kernel = vector_kernels().channels.affine;
    Pieces(s).for_each([&](const ChannelPiece& piece, int64_t at, int64_t c, int64_t) {
        kernel(piece, shift + c, factor + c, bias + c, rectify, x + at, y + at);
    });
}

// The first element of each channel: differences from it make sums that cancel less.
std::vector<float> first_elements(const ChannelSizes& s, const float* x) {
    std::vector<float> result(s.padded());
    for (int64_t c = 0; c < s.channels; ++c) {
        result[c] = x[c / s.block * s.inner * s.block + c % s.block];
    }
    return result;
}

}  // namespace

void batch_norm_forward(const ChannelSizes& s, double eps, const AfterNorm& after, const float* x,
                        float* y, float* mean, float* variance, float* inverse_std) {
    const auto kernel = vector_kernels().channels.moments;
    const std::vector<float> shift = first_elements(s, x);
    const Sums sums = sum_pieces(s, [&](const ChannelPiece& piece, int64_t at, int64_t channel,
                                        double* firsts, double* seconds) {
        kernel(piece, x + at, shift.data() + channel, firsts, seconds);
    });
    const double count = static_cast<double>(s.positions());
    for (int64_t c = 0; c < s.channels; ++c) {
        const double difference = sums.firsts[c] / count;
        // Not std::max, which would make 0 of NaN.
        const double spread = sums.seconds[c] / count - difference * difference;
        const double positive = spread < 0 ? 0 : spread;
        mean[c] = static_cast<float>(shift[c] + difference);
        variance[c] = static_cast<float>(positive);
        inverse_std[c] = static_cast<float>(1 / std::sqrt(positive + eps));
    }
    const Affine affine(s, after, inverse_std);
    set_affine(s, padded(s, mean).data(), affine.factor.data(), affine.bias.data(), after.rectify,
               x, y);
}

void batch_norm_backward(const ChannelSizes& s, const AfterNorm& after, const float* mean,
                         const float* inverse_std, const float* x, const float* dy,
                         float* factor_diff, float* bias_diff, float* dx) {
    const ChannelKernels& kernels = vector_kernels().channels;
    const std::vector<float> x_shift = padded(s, mean);
    const Affine affine(s, after, inverse_std);
    const auto rectifier_of = [&](int64_t channel) {
        return ChannelRectifier{affine.factor.data() + channel, affine.bias.data() + channel};
    };
    const Sums sums = sum_pieces(s, [&](const ChannelPiece& piece, int64_t at, int64_t channel,
                                        double* firsts, double* seconds) {
        const ChannelRectifier rectifier = rectifier_of(channel);
        kernels.products(piece, x + at, dy + at, x_shift.data() + channel,
                         after.rectify ? &rectifier : nullptr, firsts, seconds);
    });
    std::vector<float> x_factor(s.padded()), dy_shift(s.padded());
    const double count = static_cast<double>(s.positions());
    for (int64_t c = 0; c < s.channels; ++c) {
        const double inverse = inverse_std[c], factor = after.factor ? after.factor[c] : 1;
        dy_shift[c] = static_cast<float>(sums.firsts[c] / count);
        x_factor[c] =
            static_cast<float>(-factor * inverse * inverse * inverse * sums.seconds[c] / count);
        if (factor_diff) factor_diff[c] += static_cast<float>(inverse * sums.seconds[c]);
        if (bias_diff) bias_diff[c] += static_cast<float>(sums.firsts[c]);
    }
    Pieces(s).for_each([&](const ChannelPiece& piece, int64_t at, int64_t c, int64_t) {
        const ChannelRectifier rectifier = rectifier_of(c);
        const ChannelCombination combination{x_shift.data() + c, x_factor.data() + c,
                                             dy_shift.data() + c, affine.factor.data() + c,
                                             after.rectify ? &rectifier : nullptr};
        kernels.combine(piece, combination, x + at, dy + at, dx + at);
    });
}

void channel_affine(const ChannelSizes& s, const float* shift, const float* factor,
                    const float* bias, const float* x, float* y) {
    set_affine(s, padded(s, shift).data(), padded(s, factor).data(), padded(s, bias).data(), false,
               x, y);
}

void channel_scale_backward(const ChannelSizes& s, const float* factor, const float* x,
                            const float* dy, float* factor_diff, float* bias_diff, float* dx) {
    const ChannelKernels& kernels = vector_kernels().channels;
    const std::vector<float> zeros(s.padded()), times = padded(s, factor);
    const auto scale = [&](const ChannelPiece& piece, int64_t at, int64_t c) {
        kernels.affine(piece, zeros.data(), times.data() + c, zeros.data(), false, dy + at,
                       dx + at);
    };
    if (!factor_diff && !bias_diff) {
        if (dx) channel_affine(s, nullptr, factor, nullptr, dy, dx);
        return;
    }
    // Where only the bias is asked for, dy stands in for x.
    const float* partner = factor_diff ? x : dy;
    const Sums sums = sum_pieces(s, [&](const ChannelPiece& piece, int64_t at, int64_t channel,
                                        double* firsts, double* seconds) {
        kernels.products(piece, partner + at, dy + at, zeros.data(), nullptr, firsts, seconds);
        if (dx) scale(piece, at, channel);
    });
    for (int64_t c = 0; c < s.channels; ++c) {
        if (factor_diff) factor_diff[c] += static_cast<float>(sums.seconds[c]);
        if (bias_diff) bias_diff[c] += static_cast<float>(sums.firsts[c]);
    }
}

}  // namespace sscaffe
