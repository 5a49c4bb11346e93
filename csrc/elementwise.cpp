#include "elementwise.h"

#include <vector>

#include "cpu_features.h"
#include "parallel.h"

namespace sscaffe {

void add_scaled(int64_t n, float factor, const float* x, float* y) {
    const auto kernel = vector_kernels().elementwise.add_scaled;
    parallel_for(0, n, grain_of(1), [=](int64_t first, int64_t last) {
        kernel(last - first, factor, x + first, y + first);
    });
}

void scale(int64_t n, float factor, float* x) {
    const auto kernel = vector_kernels().elementwise.scale;
    parallel_for(0, n, grain_of(1),
                 [=](int64_t first, int64_t last) { kernel(last - first, factor, x + first); });
}

double sum_of_squares(int64_t n, const float* x) {
    constexpr int64_t kChunk = 16384;
    const auto kernel = vector_kernels().elementwise.sum_of_squares;
    std::vector<double> sums((n + kChunk - 1) / kChunk);
    parallel_for(0, static_cast<int64_t>(sums.size()), grain_of(kChunk),
                 [&](int64_t first, int64_t last) {
                     for (int64_t i = first; i < last; ++i) {
                         sums[i] = kernel(std::min(kChunk, n - i * kChunk), x + i * kChunk);
                     }
                 });
    double total = 0;
    for (const double sum : sums) total += sum;
    return total;
}

void threshold(int64_t n, float limit, float* x) {
    const auto kernel = vector_kernels().elementwise.threshold;
    parallel_for(0, n, grain_of(1),
                 [=](int64_t first, int64_t last) { kernel(last - first, limit, x + first); });
}

void relu_forward(int64_t n, float slope, const float* x, float* y) {
    const auto kernel = vector_kernels().elementwise.relu_forward;
    parallel_for(0, n, grain_of(1), [=](int64_t first, int64_t last) {
        kernel(last - first, slope, x + first, y + first);
    });
}

void relu_backward(int64_t n, float slope, const float* x, const float* dy, float* dx) {
    const auto kernel = vector_kernels().elementwise.relu_backward;
    parallel_for(0, n, grain_of(1), [=](int64_t first, int64_t last) {
        kernel(last - first, slope, x + first, dy + first, dx + first);
    });
}

}  // namespace sscaffe
