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

}  // namespace sscaffe
