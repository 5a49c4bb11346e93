#include "group_lasso.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu_features.h"
#include "parallel.h"

namespace sscaffe {
namespace {

// Some neighbouring blocks of one row of blocks: blocks [first, last) of block row `y`.
struct Strip {
    int64_t y, first, last;
};

// sums[b] = sum of the squares of block b
void sum_squares(const BlockTiling& t, const Strip& strip, const float* weights, double* sums) {
    const ElementwiseKernels& kernels = vector_kernels().elementwise;
    std::fill(sums + strip.first, sums + strip.last, 0.0);
    for (int64_t row = strip.y * t.ydimen; row < (strip.y + 1) * t.ydimen; ++row) {
        const float* values = weights + row * t.columns;
        if (t.xdimen == 1) {
            kernels.add_squares(strip.last - strip.first, values + strip.first, sums + strip.first);
            continue;
        }
        for (int64_t b = strip.first; b < strip.last; ++b) {
            sums[b] += kernels.sum_of_squares(t.xdimen, values + b * t.xdimen);
        }
    }
}

// diff += factors[b] * weights for each block b
void add_gradient(const BlockTiling& t, const Strip& strip, const float* factors,
                  const float* weights, float* diff) {
    const ElementwiseKernels& kernels = vector_kernels().elementwise;
    for (int64_t row = strip.y * t.ydimen; row < (strip.y + 1) * t.ydimen; ++row) {
        const int64_t at = row * t.columns;
        if (t.xdimen == 1) {
            kernels.add_products(strip.last - strip.first, factors + strip.first,
                                 weights + at + strip.first, diff + at + strip.first);
            continue;
        }
        for (int64_t b = strip.first; b < strip.last; ++b) {
            const int64_t block = at + b * t.xdimen;
            kernels.add_scaled(t.xdimen, factors[b], weights + block, diff + block);
        }
    }
}

// Call fn(strip) for strips that cover the matrix, in several threads.
template <typename Function>
void for_each_strip(const BlockTiling& t, const Function& fn) {
    constexpr int64_t kStrip = 512;  // elements of a row that one task takes
    const int64_t down = t.rows / t.ydimen, across = t.columns / t.xdimen;
    const int64_t blocks = std::max<int64_t>(1, kStrip / t.xdimen);
    const int64_t strips = (across + blocks - 1) / blocks;
    const int64_t work = t.ydimen * t.xdimen * std::min(blocks, across);
    parallel_for(0, down * strips, grain_of(work), [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
            const int64_t y = i / strips, begin = i % strips * blocks;
            fn(Strip{y, begin, std::min(begin + blocks, across)});
        }
    });
}

// Set the factors of the blocks of a strip, and their norms.
void find_factors(const BlockTiling& t, const Strip& strip, float decay, const float* weights,
                  double* norms, float* factors) {
    sum_squares(t, strip, weights, norms);
    for (int64_t b = strip.first; b < strip.last; ++b) {
        norms[b] = std::sqrt(norms[b]);
        // A block that is all zero stays there: its subgradient is taken as 0.
        factors[b] = norms[b] > 0 ? static_cast<float>(decay / norms[b]) : 0.0f;
    }
}

// What a block of this norm is multiplied by; NaN for NaN.
float shrinkage(double norm, double limit) {
    return norm <= limit ? 0.0f : static_cast<float>(1 - limit / norm);
}

// Multiply each block b of a strip by factors[b].
void shrink_strip(const BlockTiling& t, const Strip& strip, const float* factors, float share,
                  float* weights, float* history) {
    const auto& [each, by_column] = vector_kernels().elementwise.shrink;
    for (int64_t row = strip.y * t.ydimen; row < (strip.y + 1) * t.ydimen; ++row) {
        const int64_t at = row * t.columns;
        const auto past = [&](int64_t i) { return history ? history + i : nullptr; };
        if (t.xdimen == 1) {
            const int64_t i = at + strip.first;
            by_column(strip.last - strip.first, factors + strip.first, share, weights + i, past(i));
            continue;
        }
        for (int64_t b = strip.first; b < strip.last; ++b) {
            const int64_t i = at + b * t.xdimen;
            each(t.xdimen, factors + b, share, weights + i, past(i));
        }
    }
}

double sum_of(const std::vector<double>& norms) {
    double total = 0;
    for (const double norm : norms) total += norm;
    return total;
}

}  // namespace

double group_lasso_factors(const BlockTiling& t, float decay, const float* weights,
                           float* factors) {
    const int64_t across = t.columns / t.xdimen;
    std::vector<double> norms(t.rows / t.ydimen * across);
    for_each_strip(t, [&](const Strip& strip) {
        const int64_t row = strip.y * across;
        find_factors(t, strip, decay, weights, norms.data() + row, factors + row);
    });
    return decay * sum_of(norms);
}

double group_lasso(const BlockTiling& t, float decay, const float* weights, float* diff) {
    const int64_t across = t.columns / t.xdimen;
    std::vector<double> norms(t.rows / t.ydimen * across);
    std::vector<float> factors(norms.size());
    for_each_strip(t, [&](const Strip& strip) {
        const int64_t row = strip.y * across;
        find_factors(t, strip, decay, weights, norms.data() + row, factors.data() + row);
        add_gradient(t, strip, factors.data() + row, weights, diff);
    });
    return decay * sum_of(norms);
}

void shrink_groups(const BlockTiling& t, double limit, double share, float* weights,
                   float* history) {
    const int64_t across = t.columns / t.xdimen;
    std::vector<double> norms(t.rows / t.ydimen * across);
    std::vector<float> factors(norms.size());
    for_each_strip(t, [&](const Strip& strip) {
        double* norm = norms.data() + strip.y * across;
        float* factor = factors.data() + strip.y * across;
        sum_squares(t, strip, weights, norm);
        for (int64_t b = strip.first; b < strip.last; ++b) {
            factor[b] = shrinkage(std::sqrt(norm[b]), limit);
        }
        shrink_strip(t, strip, factor, static_cast<float>(share), weights, history);
    });
}

}  // namespace sscaffe
