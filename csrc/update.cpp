#include "update.h"

#include <algorithm>

#include "cpu_features.h"
#include "parallel.h"

namespace sscaffe {
namespace {

// Add factor * weight to the gradient of elements [first, last) of a row-major matrix.
void add_lasso(const LassoFactors& lasso, int64_t first, int64_t last, const float* weights,
               float* diff) {
    const ElementwiseKernels& kernels = vector_kernels().elementwise;
    const BlockTiling& t = lasso.tiling;
    const int64_t across = t.columns / t.xdimen;
    for (int64_t at = first, end; at < last; at = end) {
        const int64_t row = at / t.columns, start = row * t.columns;
        const float* factors = lasso.factors + row / t.ydimen * across;
        end = std::min(last, start + t.columns);
        if (t.xdimen == 1) {
            kernels.add_products(end - at, factors + (at - start), weights + at, diff + at);
            continue;
        }
        for (int64_t from = at, to; from < end; from = to) {
            const int64_t block = (from - start) / t.xdimen;
            to = std::min(end, start + (block + 1) * t.xdimen);
            kernels.add_scaled(to - from, factors[block], weights + from, diff + from);
        }
    }
}

void make_gradient(const UpdateStep& s, int64_t n, const float* weights, float* diff) {
    const ElementwiseKernels& kernels = vector_kernels().elementwise;
    if (s.clip != 1) kernels.scale(n, s.clip, diff);
    if (s.mean != 1) kernels.scale(n, s.mean, diff);
    if (s.l2 != 0) kernels.add_scaled(n, s.l2, weights, diff);
    if (s.l1 != 0) kernels.add_signs(n, s.l1, weights, diff);
}

UpdateArrays from(const UpdateArrays& a, int64_t at) {
    return {a.weights + at, a.diff + at, a.first + at, a.second ? a.second + at : nullptr,
            a.mask ? a.mask + at : nullptr};
}

}  // namespace

void update(const UpdateStep& step, int64_t n, const UpdateArrays& arrays,
            const std::vector<LassoFactors>& lassos) {
    constexpr int64_t kChunk = 1024;  // elements, small enough for all arrays to stay in L1
    const auto take_step = vector_kernels().elementwise.take_step[static_cast<int>(step.rule)];
    parallel_for(0, n, grain_of(1), [&](int64_t first, int64_t last) {
        for (int64_t at = first; at < last; at += kChunk) {
            const int64_t count = std::min(kChunk, last - at);
            const UpdateArrays chunk = from(arrays, at);
            make_gradient(step, count, chunk.weights, chunk.diff);
            for (const LassoFactors& lasso : lassos) {
                add_lasso(lasso, at, at + count, arrays.weights, arrays.diff);
            }
            take_step(step, count, chunk);
        }
    });
}

}  // namespace sscaffe
