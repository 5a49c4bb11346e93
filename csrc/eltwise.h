#pragma once

#include <cstdint>
#include <vector>

// Several flat arrays combined element by element.  Each returns the same bits for any number of
// threads and any instruction set.  Cost: one pass over each array.

namespace sscaffe {

using Sources = std::vector<const float*>;
using Targets = std::vector<float*>;

// y = factors[0] * x[0] + factors[1] * x[1] + ..., added up in this order.
//
//   x  one or more of [n]
//   y  [n]   overwritten; may be the same array as x[0] or x[1], and no other
void weighted_sum(int64_t n, const std::vector<float>& factors, const Sources& x, float* y);

// y[i] = factors[i] * x for each i.
//
//   x  [n]
//   y  any number of [n]   overwritten; must not overlap x or each other
void scaled_copies(int64_t n, const std::vector<float>& factors, const float* x, const Targets& y);

// y = x[0] * x[1] * ..., in this order.
//
//   x  one or more of [n]
//   y  [n]   overwritten; may be the same array as x[0] or x[1], and no other
void product(int64_t n, const Sources& x, float* y);

// The largest of some arrays at each place, or NaN if one is, and which of them it is.
//
// Of equal ones the second array's counts before the first's, and both before the later ones'.
//
//   x       two or more of [n]
//   y       [n]   overwritten
//   winner  [n]   overwritten: an index into x
void largest(int64_t n, const Sources& x, float* y, int32_t* winner);

// y = x where winner is `index`, 0 elsewhere.
//
//   x, winner  [n]
//   y          [n]   overwritten
void select_winner(int64_t n, int32_t index, const int32_t* winner, const float* x, float* y);

}  // namespace sscaffe
