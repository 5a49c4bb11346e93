#pragma once

#include <cstdint>

namespace sscaffe {

// A weight matrix as blocks of ydimen rows times xdimen columns, which tile it.
struct BlockTiling {
    int64_t rows, columns;   // of the matrix
    int64_t ydimen, xdimen;  // divide rows and columns
};

// Add the gradient of `decay` times the sum of the L2 norms of the blocks, and return that term.
//
//   weights  [rows][columns]
//   diff     [rows][columns]   += decay * weights / norm of the block; nothing for a block of zeros
//
// Norms are summed in double precision, in an order that the number of threads does not change.
// Cost: two passes over the weights, one over diff.  Throws std::bad_alloc.
//
// Source: Wen et al., "Learning Structured Sparsity in Deep Neural Networks", NIPS 2016, eq. 2.
double group_lasso(const BlockTiling& tiling, float decay, const float* weights, float* diff);

// Set the factors of the weights in that gradient, decay / norm, and return the term.
//
//   weights  [rows][columns]
//   factors  [rows / ydimen][columns / xdimen]   overwritten
double group_lasso_factors(const BlockTiling& tiling, float decay, const float* weights,
                           float* factors);

}  // namespace sscaffe
