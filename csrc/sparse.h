#pragma once

#include <cstdint>
#include <vector>

namespace sscaffe {

// A sparse matrix in CSR form: row_ptr [M + 1]; indices and values [nnz], ascending in each row.
template <typename T>
struct Csr {
    std::vector<int32_t> row_ptr, indices;
    std::vector<T> values;
};

// Keep the elements of a matrix that are not 0 (nor -0).
//
//   matrix  [rows][columns]
template <typename T>
Csr<T> dense_to_csr(int64_t rows, int64_t columns, const T* matrix);

// Multiply a sparse matrix by a dense one: out = W * columns.
//
//   row_ptr          [m + 1]
//   indices, values  [nnz]      indices in [0, K)
//   columns          [K][p]
//   out              [m][p]     overwritten; must not overlap columns
//
// Cost: 2 * nnz * p flops.  The threads share the columns of `out` if there are many, else its
// rows.
template <typename T>
void csrmm(int64_t m, int64_t p, const int32_t* row_ptr, const int32_t* indices, const T* values,
           const T* columns, T* out);

}  // namespace sscaffe
