#pragma once

#include <cstdint>
#include <vector>

#include "group_lasso.h"
#include "vector_kernels.h"

namespace sscaffe {

// Factors of the weights in the gradient of a group lasso, one for each block.
struct LassoFactors {
    BlockTiling tiling;
    const float* factors;
};

// Make an update of a gradient and subtract it from the weights, in one pass over memory.
//
// For each element, in this order, each operation rounded alone:
//
//   g = diff * clip * mean + l2 * w + l1 * sign(w) + factor * w for each group lasso
//   SGD       h = momentum * h + rate * g;  u = h
//   Nesterov  h' = rate * g + momentum * h;  u = (1 + momentum) * h' - momentum * h
//   Adam      v = momentum2 * v + gain2 * g^2;  m = momentum * m + gain * g;
//             u = m / (sqrt(v) + delta) * rate
//   u = u * mask;  diff = u;  w = w - u, or 0 where that is smaller than the limit
//
//   arrays  [n]
//   lassos  their tilings are of n elements; weights and diff are then row-major
//
// The same bits for any number of threads and any instruction set.  Cost: each array is read once,
// and but for the mask written once.
void update(const UpdateStep& step, int64_t n, const UpdateArrays& arrays,
            const std::vector<LassoFactors>& lassos);

}  // namespace sscaffe
