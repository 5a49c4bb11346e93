#pragma once

#include <cstdint>

namespace sscaffe {

// Multiply two matrices: out = op(a) * op(b), or out += op(a) * op(b).
//
//   a    [m][k], or [k][m] if transpose_a
//   b    [k][n], or [n][k] if transpose_b
//   out  [m][n]   must not overlap a or b
//
// Cost: 2 * m * n * k flops; a thread for each 2 Mflop.  Throws std::bad_alloc.
//
// Source: Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34
// (2008), 12: panels packed for the caches around a tile that stays in registers.
template <typename T>
void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const T* a,
          const T* b, bool accumulate, T* out);

}  // namespace sscaffe
