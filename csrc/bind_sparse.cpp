#include <memory>
#include <optional>

#include "bind_checks.h"
#include "bind_series.h"
#include "sparse.h"
#include "sparse_matrix.h"

using namespace sscaffe::binding;

namespace {

template <typename T>
py::tuple dense_to_csr(const Array<T>& matrix) {
    require_dims(matrix, 2, "matrix");
    sscaffe::Csr<T> csr;
    {
        py::gil_scoped_release unlocked;
        csr = sscaffe::dense_to_csr(matrix.shape(0), matrix.shape(1), matrix.data());
    }
    return py::make_tuple(Ints(csr.row_ptr.size(), csr.row_ptr.data()),
                          Ints(csr.indices.size(), csr.indices.data()),
                          Array<T>(csr.values.size(), csr.values.data()));
}

void require_ascending(const Ints& row_ptr, const Ints& indices) {
    const int32_t *first = row_ptr.data(), *column = indices.data();
    for (py::ssize_t row = 0; row + 1 < row_ptr.size(); ++row) {
        for (int32_t j = first[row] + 1; j < first[row + 1]; ++j) {
            if (column[j - 1] < column[j]) continue;
            throw py::value_error("indices: expected columns that ascend in each row");
        }
    }
}

template <typename T>
std::unique_ptr<sscaffe::SparseMatrix<T>> sparse_matrix(const Ints& row_ptr, const Ints& indices,
                                                        const Array<T>& values, int64_t columns,
                                                        int64_t width) {
    if (width < 0) refuse("width", 0, "or more", width);
    const int64_t rows = require_csr(row_ptr, indices, values, columns);
    require_ascending(row_ptr, indices);
    py::gil_scoped_release unlocked;
    return std::make_unique<sscaffe::SparseMatrix<T>>(rows, columns, row_ptr.data(), indices.data(),
                                                      values.data(), width);
}

template <typename T>
void multiply(sscaffe::SparseMatrix<T>& self, const Array<T>& x,
              const std::optional<Array<T>>& bias, bool relu, Array<T>& out) {
    require_dims(x, 3, "x");
    const int64_t batch = x.shape(0), p = x.shape(2);
    if (x.shape(1) != self.columns()) refuse("x", self.columns(), "rows", x.shape(1));
    if (bias) require_size(*bias, self.rows(), "bias");
    require_size(out, batch * self.rows() * p, "out");
    T* product = out.mutable_data();
    const T *from = x.data(), *start = bias ? bias->data() : nullptr;
    carry_out([=, &self] { self.multiply(batch, p, from, start, relu, product); });
}

template <typename T>
void multiply_vectors(sscaffe::SparseMatrix<T>& self, const Array<T>& x,
                      const std::optional<Array<T>>& bias, bool relu, Array<T>& out) {
    require_dims(x, 2, "x");
    const int64_t batch = x.shape(0);
    if (x.shape(1) != self.columns()) refuse("x", self.columns(), "columns", x.shape(1));
    if (bias) require_size(*bias, self.rows(), "bias");
    require_size(out, batch * self.rows(), "out");
    T* product = out.mutable_data();
    const T *from = x.data(), *start = bias ? bias->data() : nullptr;
    carry_out([=, &self] { self.multiply_vectors(batch, from, start, relu, product); });
}

template <typename T>
void bind_typed(py::module_& m, const char* name) {
    m.def("dense_to_csr", &dense_to_csr<T>, "matrix"_a.noconvert());
    py::class_<sscaffe::SparseMatrix<T>>(m, name)
        .def("multiply", &multiply<T>, "x"_a.noconvert(), "bias"_a.noconvert(), "relu"_a,
             "out"_a.noconvert())
        .def("multiply_vectors", &multiply_vectors<T>, "x"_a.noconvert(), "bias"_a.noconvert(),
             "relu"_a, "out"_a.noconvert());
    m.def("sparse_matrix", &sparse_matrix<T>, "row_ptr"_a.noconvert(), "indices"_a.noconvert(),
          "values"_a.noconvert(), "columns"_a, "width"_a);
}

}  // namespace

void bind_sparse(py::module_& m) {
    bind_typed<float>(m, "FloatSparseMatrix");
    bind_typed<double>(m, "DoubleSparseMatrix");
}
