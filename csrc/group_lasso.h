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

// Take the proximal step of a group lasso: move each block towards 0 by `limit`, in the L2 norm.
//
//   weights  [rows][columns]   *= max(0, 1 - limit / norm of the block), so that a block whose norm
//                              is at most `limit` becomes exactly 0
//   history  [rows][columns]   += share * what the weights lost; nullptr for none
//
// A block with a NaN becomes NaN.  Norms as above; factors are rounded once from double precision.
// Cost: one pass over both, as a strip of blocks stays in the cache between norm and product.
//
// Source: Parikh and Boyd, "Proximal Algorithms", 2014, section 6.5.1.
void shrink_groups(const BlockTiling& tiling, double limit, double share, float* weights,
                   float* history);

}  // namespace sscaffe
