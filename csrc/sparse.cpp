#include "sparse.h"

namespace sscaffe {

template <typename T>
Csr<T> dense_to_csr(int64_t rows, int64_t columns, const T* matrix) {
    Csr<T> csr;
    csr.row_ptr.reserve(rows + 1);
    csr.row_ptr.push_back(0);
    for (int64_t row = 0; row < rows; ++row) {
        for (int64_t column = 0; column < columns; ++column) {
            const T value = matrix[row * columns + column];
            if (value == 0) continue;
            csr.indices.push_back(static_cast<int32_t>(column));
            csr.values.push_back(value);
        }
        csr.row_ptr.push_back(static_cast<int32_t>(csr.values.size()));
    }
    return csr;
}

template Csr<float> dense_to_csr(int64_t, int64_t, const float*);
template Csr<double> dense_to_csr(int64_t, int64_t, const double*);

}  // namespace sscaffe
