#pragma once

#include <cstdint>

namespace sscaffe {

// A matrix W as its rows are laid out for products with one vector: [panels][depth][block], where
// element (row, k) is in panel row / block at (k, row % block).  Rows that only fill a panel up,
// and places in `depth` behind the last column, hold anything.
struct Panels {
    int64_t rows, columns;
    int64_t block, depth;  // depth: columns or more
    const float* data;
};

// out = W x + bias, and then the larger of that and 0 if `relu`.
//
//   x     [columns]
//   bias  [rows] or nullptr
//   out   [rows]   overwritten; must not overlap x
//
// 2 * rows * columns flops, and each weight read once.  The threads share the panels; a small
// product stays on the calling thread.
void multiply_panels(const Panels& w, const float* x, const float* bias, bool relu, float* out);

}  // namespace sscaffe
