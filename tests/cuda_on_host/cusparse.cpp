// A stand-in for some of cuSPARSE, on the host: CSR times dense.

#include <cstddef>

#include "deferred.hpp"

namespace {

constexpr int kInvalidValue = 3, kNotSupported = 10;
constexpr int kInt32 = 2, kRowMajor = 2, kFloat = 0, kDouble = 1;

struct Csr {
    int64_t rows, columns, count;
    const int* row_ptr;
    const int* indices;
    const void* values;
    int type;
};
struct Dense {
    int64_t rows, columns, stride;
    void* values;
    int type;
};

template <typename T>
struct Product {
    T alpha, beta;
    Csr matrix;
    Dense factor, product;

    void run() const {
        const T* values = static_cast<const T*>(matrix.values);
        const T* x = static_cast<const T*>(factor.values);
        T* out = static_cast<T*>(product.values);
        for (int64_t row = 0; row < matrix.rows; ++row) {
            for (int64_t j = 0; j < product.columns; ++j) {
                double sum = 0;
                for (int e = matrix.row_ptr[row]; e < matrix.row_ptr[row + 1]; ++e) {
                    sum += double(values[e]) * x[matrix.indices[e] * factor.stride + j];
                }
                T& place = out[row * product.stride + j];
                place = T(alpha * sum) + (beta == 0 ? T(0) : beta * place);
            }
        }
    }
};

bool fit(const Csr* matrix, const Dense* factor, const Dense* product) {
    return matrix->columns == factor->rows && matrix->rows == product->rows &&
           factor->columns == product->columns && matrix->type == factor->type &&
           matrix->type == product->type;
}

}  // namespace

extern "C" {

int cusparseCreate(shim::Handle** handle) {
    *handle = new shim::Handle;
    return 0;
}
int cusparseSetStream(shim::Handle* handle, void* stream) {
    handle->stream = stream;
    return 0;
}
int cusparseCreateCsr(Csr** matrix, int64_t rows, int64_t columns, int64_t count,
                      const void* row_ptr, const void* indices, const void* values, int row_type,
                      int index_type, int base, int type) {
    if (row_type != kInt32 || index_type != kInt32 || base != 0) return kNotSupported;
    *matrix = new Csr{
        rows,   columns, count, static_cast<const int*>(row_ptr), static_cast<const int*>(indices),
        values, type};
    return 0;
}
int cusparseDestroySpMat(const Csr* matrix) {
    delete matrix;
    return 0;
}
int cusparseCreateDnMat(Dense** matrix, int64_t rows, int64_t columns, int64_t stride, void* values,
                        int type, int order) {
    if (order != kRowMajor) return kNotSupported;
    if (stride < columns) return kInvalidValue;
    *matrix = new Dense{rows, columns, stride, values, type};
    return 0;
}
int cusparseDestroyDnMat(const Dense* matrix) {
    delete matrix;
    return 0;
}
int cusparseSpMM_bufferSize(const shim::Handle*, int, int, const void*, const Csr* matrix,
                            const Dense* factor, const void*, const Dense* product, int, int,
                            size_t* size) {
    *size = 256;
    return fit(matrix, factor, product) ? 0 : kInvalidValue;
}
int cusparseSpMM(const shim::Handle* handle, int transpose, int transpose_factor, const void* alpha,
                 const Csr* matrix, const Dense* factor, const void* beta, const Dense* product,
                 int type, int, void* buffer) {
    if (transpose || transpose_factor) return kNotSupported;
    if (!fit(matrix, factor, product) || type != matrix->type || !buffer) return kInvalidValue;
    if (type == kFloat) {
        return shim::submit_call(
            handle, Product<float>{*static_cast<const float*>(alpha),
                                   *static_cast<const float*>(beta), *matrix, *factor, *product});
    }
    if (type != kDouble) return kNotSupported;
    return shim::submit_call(
        handle, Product<double>{*static_cast<const double*>(alpha),
                                *static_cast<const double*>(beta), *matrix, *factor, *product});
}

}  // extern "C"
