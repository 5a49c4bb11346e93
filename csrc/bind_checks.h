#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

// What the bind_*.cpp files share: the types of arguments, and the checks of their sizes.

namespace sscaffe::binding {

namespace py = pybind11;
using namespace py::literals;

// Float or double arrays, which must be C-contiguous; with noconvert() they are never copied.
template <typename T>
using Array = py::array_t<T, py::array::c_style>;
using Ints = Array<int32_t>;
using Floats = Array<float>;
using Sizes = std::vector<int64_t>;

[[noreturn]] inline void refuse(const std::string& name, int64_t expected, const std::string& what,
                                int64_t got) {
    throw py::value_error(name + ": expected " + std::to_string(expected) + " " + what + ", got " +
                          std::to_string(got));
}

inline void require_size(const py::array& array, int64_t size, const char* name) {
    if (array.size() != size) refuse(name, size, "elements", array.size());
}

inline void require_dims(const py::array& array, int64_t dims, const char* name) {
    if (array.ndim() != dims) refuse(name, dims, "axes", array.ndim());
}

inline void require_axes(const Sizes& sizes, size_t axes, int64_t least, const char* name) {
    if (sizes.size() != axes) refuse(name, axes, "axes", sizes.size());
    for (const int64_t size : sizes) {
        if (size < least) refuse(name, least, "or more on each axis", size);
    }
}

inline void require_below(const Ints& numbers, int64_t bound, const char* name, const char* what) {
    const int32_t *first = numbers.data(), *last = first + numbers.size();
    // A negative number becomes a large one; this loop is vectorized, a search would not be.
    uint32_t largest = 0;
    for (const int32_t* n = first; n < last; ++n) {
        largest = std::max(largest, static_cast<uint32_t>(*n));
    }
    if (first == last || largest < bound) return;
    throw py::value_error(std::string(name) + ": expected " + what + " below " +
                          std::to_string(bound) + ", got " +
                          std::to_string(static_cast<int32_t>(largest)));
}

// Check a CSR matrix of `columns` columns; return its rows.
inline int64_t require_csr(const Ints& row_ptr, const Ints& indices, const py::array& values,
                           int64_t columns) {
    const int32_t* first = row_ptr.data();
    const int64_t rows = row_ptr.size() - 1;
    if (rows < 0 || first[0] != 0 || !std::is_sorted(first, first + rows + 1)) {
        throw py::value_error("row_ptr: expected numbers that ascend from 0");
    }
    require_size(indices, first[rows], "indices");
    require_size(values, first[rows], "values");
    require_below(indices, columns, "indices", "columns");
    return rows;
}

// The sizes of a product of two matrices, each of which may be stored transposed.
struct ProductSizes {
    int64_t m, n, k;
};

inline ProductSizes product_sizes(const py::array& a, const py::array& b, const py::array& out,
                                  bool transpose_a, bool transpose_b) {
    require_dims(a, 2, "a");
    require_dims(b, 2, "b");
    require_dims(out, 2, "out");
    const int64_t m = a.shape(transpose_a), k = a.shape(!transpose_a), n = b.shape(!transpose_b);
    if (b.shape(transpose_b) != k) refuse("b", k, "rows after transposing", b.shape(transpose_b));
    if (out.shape(0) != m) refuse("out", m, "rows", out.shape(0));
    if (out.shape(1) != n) refuse("out", n, "columns", out.shape(1));
    return {m, n, k};
}

}  // namespace sscaffe::binding
