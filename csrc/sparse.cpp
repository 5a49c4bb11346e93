#include "sparse.h"

#include "cpu_features.h"
#include "parallel.h"

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

template <typename T>
void csrmm(int64_t m, int64_t p, const int32_t* row_ptr, const int32_t* indices, const T* values,
           const T* columns, T* out) {
    constexpr int64_t kStrip = 64;  // columns that a thread takes at least
    const auto product = typed_kernels<T>().sparse_product;
    const int64_t strips = (p + kStrip - 1) / kStrip;
    if (strips >= 4 * get_num_threads()) {
        const int64_t work = (row_ptr[m] + m) * kStrip / 8;
        parallel_for(0, strips, grain_of(work), [=](int64_t first, int64_t last) {
            const int64_t begin = first * kStrip, end = std::min(p, last * kStrip);
            product(m, row_ptr, indices, values, columns + begin, p, nullptr, end - begin,
                    out + begin, p);
        });
    } else if (m > 0) {
        const int64_t work = (row_ptr[m] / m + 1) * p / 8;
        parallel_for(0, m, grain_of(work), [=](int64_t first, int64_t last) {
            product(last - first, row_ptr + first, indices, values, columns, p, nullptr, p,
                    out + first * p, p);
        });
    }
}

template Csr<float> dense_to_csr(int64_t, int64_t, const float*);
template Csr<double> dense_to_csr(int64_t, int64_t, const double*);
template void csrmm(int64_t, int64_t, const int32_t*, const int32_t*, const float*, const float*,
                    float*);
template void csrmm(int64_t, int64_t, const int32_t*, const int32_t*, const double*, const double*,
                    double*);

}  // namespace sscaffe
