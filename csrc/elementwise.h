#pragma once

#include <cstdint>

// Loops over flat arrays.  Each returns the same bits for any number of threads and any instruction
// set.  Cost: one pass over memory; arrays of less than 64 K elements stay on one thread.

namespace sscaffe {

// y += factor * x
//
//   x  [n]
//   y  [n]   must not overlap x
void add_scaled(int64_t n, float factor, const float* x, float* y);

// x *= factor
void scale(int64_t n, float factor, float* x);

// The sum of x[i]^2, in double precision.
//
// Chunks of 16384 elements are summed apart, then their sums in order.
double sum_of_squares(int64_t n, const float* x);

// Set to 0 each element with |x[i]| < limit; NaN stays.
void threshold(int64_t n, float limit, float* x);

// y = x where x >= 0, slope * x elsewhere; NaN stays NaN.
//
//   x  [n]
//   y  [n]   overwritten; may be the same array as x
void relu_forward(int64_t n, float slope, const float* x, float* y);

// dx = dy where x > 0, slope * dy elsewhere.
//
//   x   [n]   bottom of the forward pass, or its top if slope >= 0
//   dy  [n]
//   dx  [n]   overwritten; may be the same array as dy
void relu_backward(int64_t n, float slope, const float* x, const float* dy, float* dx);

}  // namespace sscaffe
