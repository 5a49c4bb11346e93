#include "eltwise.h"

#include <algorithm>

#include "cpu_features.h"
#include "parallel.h"

namespace sscaffe {
namespace {

// Elements that are worked on at a time, so that a result which is read again is still near.
constexpr int64_t kPiece = 2048;

// Call fn(first, count) for pieces of [0, n), on all threads.
template <typename Function>
void for_each_piece(int64_t n, const Function& fn) {
    const int64_t pieces = (n + kPiece - 1) / kPiece;
    parallel_for(0, pieces, grain_of(kPiece), [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) fn(i * kPiece, std::min(kPiece, n - i * kPiece));
    });
}

}  // namespace

void weighted_sum(int64_t n, const std::vector<float>& factors, const Sources& x, float* y) {
    const EltwiseKernels& kernels = vector_kernels().eltwise;
    const auto add_scaled = vector_kernels().elementwise.add_scaled;
    for_each_piece(n, [&](int64_t at, int64_t count) {
        if (x.size() == 1) {
            kernels.scaled_copy(count, factors[0], x[0] + at, y + at);
            return;
        }
        kernels.sum_of_two(count, factors[0], x[0] + at, factors[1], x[1] + at, y + at);
        for (size_t i = 2; i < x.size(); ++i) add_scaled(count, factors[i], x[i] + at, y + at);
    });
}

void scaled_copies(int64_t n, const std::vector<float>& factors, const float* x, const Targets& y) {
    const auto copy = vector_kernels().eltwise.scaled_copy;
    for_each_piece(n, [&](int64_t at, int64_t count) {
        for (size_t i = 0; i < y.size(); ++i) copy(count, factors[i], x + at, y[i] + at);
    });
}

void product(int64_t n, const Sources& x, float* y) {
    const EltwiseKernels& kernels = vector_kernels().eltwise;
    for_each_piece(n, [&](int64_t at, int64_t count) {
        if (x.size() == 1) {
            kernels.scaled_copy(count, 1, x[0] + at, y + at);
            return;
        }
        kernels.product_of_two(count, x[0] + at, x[1] + at, y + at);
        for (size_t i = 2; i < x.size(); ++i) {
            kernels.product_of_two(count, y + at, x[i] + at, y + at);
        }
    });
}

void largest(int64_t n, const Sources& x, float* y, int32_t* winner) {
    const EltwiseKernels& kernels = vector_kernels().eltwise;
    for_each_piece(n, [&](int64_t at, int64_t count) {
        kernels.larger_of_two(count, x[0] + at, x[1] + at, y + at, winner + at);
        for (size_t i = 2; i < x.size(); ++i) {
            kernels.take_larger(count, static_cast<int32_t>(i), x[i] + at, y + at, winner + at);
        }
    });
}

void select_winner(int64_t n, int32_t index, const int32_t* winner, const float* x, float* y) {
    const auto kernel = vector_kernels().eltwise.select_winner;
    for_each_piece(
        n, [&](int64_t at, int64_t count) { kernel(count, index, winner + at, x + at, y + at); });
}

}  // namespace sscaffe
