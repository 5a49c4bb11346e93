#include <cstdlib>

#include "aligned.h"
#include "bind_checks.h"
#include "cpu_features.h"
#include "elementwise.h"
#include "gemm.h"
#include "parallel.h"
#include "twister.h"

using namespace sscaffe::binding;

void bind_channels(py::module_& m);
void bind_data(py::module_& m);
void bind_eltwise(py::module_& m);
void bind_layers(py::module_& m);
void bind_lrn(py::module_& m);
void bind_memory(py::module_& m);
void bind_series(py::module_& m);
void bind_update(py::module_& m);
void bind_sparse(py::module_& m);
#ifdef SSCAFFE_ONEDNN
void bind_onednn(py::module_& m);
#endif

namespace {

py::array aligned_array(int64_t count, const py::object& dtype) {
    if (count < 0) refuse("count", 0, "or more", count);
    const py::dtype type = py::dtype::from_args(dtype);
    if (std::string("biuf").find(type.kind()) == std::string::npos) {
        throw py::type_error("dtype: expected numbers, got " + std::string(py::str(type)));
    }
    void* data = sscaffe::aligned_allocate(count * type.itemsize());
    return py::array(type, {count}, {}, data, py::capsule(data, std::free));
}

void add_scaled(float factor, const Floats& x, Floats& y) {
    require_size(y, x.size(), "y");
    float* out = y.mutable_data();
    py::gil_scoped_release unlocked;
    sscaffe::add_scaled(x.size(), factor, x.data(), out);
}

void scale(float factor, Floats& x) {
    float* out = x.mutable_data();
    py::gil_scoped_release unlocked;
    sscaffe::scale(x.size(), factor, out);
}

double sum_of_squares(const Floats& x) {
    py::gil_scoped_release unlocked;
    return sscaffe::sum_of_squares(x.size(), x.data());
}

void threshold(float limit, Floats& x) {
    float* out = x.mutable_data();
    py::gil_scoped_release unlocked;
    sscaffe::threshold(x.size(), limit, out);
}

void relu_forward(float slope, const Floats& x, Floats& y) {
    require_size(y, x.size(), "y");
    float* out = y.mutable_data();
    py::gil_scoped_release unlocked;
    sscaffe::relu_forward(x.size(), slope, x.data(), out);
}

void relu_backward(float slope, const Floats& x, const Floats& dy, Floats& dx) {
    require_size(dy, x.size(), "dy");
    require_size(dx, x.size(), "dx");
    float* out = dx.mutable_data();
    py::gil_scoped_release unlocked;
    sscaffe::relu_backward(x.size(), slope, x.data(), dy.data(), out);
}

template <typename T>
void gemm(const Array<T>& a, const Array<T>& b, Array<T>& out, bool transpose_a, bool transpose_b,
          bool accumulate) {
    const auto [m, n, k] = product_sizes(a, b, out, transpose_a, transpose_b);
    T* product = out.mutable_data();
    py::gil_scoped_release unlocked;
    sscaffe::gemm(transpose_a, transpose_b, m, n, k, a.data(), b.data(), accumulate, product);
}

int64_t twister_draw(Array<uint32_t>& state, int64_t position, Array<uint32_t>& draws) {
    require_size(state, sscaffe::kTwisterWords, "state");
    if (position < 0 || position > sscaffe::kTwisterWords) {
        refuse("position", sscaffe::kTwisterWords, "at most", position);
    }
    uint32_t *words = state.mutable_data(), *out = draws.mutable_data();
    py::gil_scoped_release unlocked;
    return sscaffe::twister_draw(words, position, draws.size(), out);
}

void bind_machine(py::module_& m) {
    m.def("twister_draw", &twister_draw, "state"_a.noconvert(), "position"_a,
          "draws"_a.noconvert());
    m.def(
        "set_num_threads",
        [](int threads) {
            if (threads < 1) refuse("threads", 1, "or more", threads);
            sscaffe::set_num_threads(threads);
        },
        "threads"_a);
    m.def("get_num_threads", &sscaffe::get_num_threads);
    m.def("cpu_features", &sscaffe::get_isa);
    m.def("set_isa", &sscaffe::set_isa, "name"_a);
    m.def("aligned_array", &aligned_array, "count"_a, "dtype"_a);
}

void bind_arrays(py::module_& m) {
    m.def("add_scaled", &add_scaled, "factor"_a, "x"_a.noconvert(), "y"_a.noconvert());
    m.def("scale", &scale, "factor"_a, "x"_a.noconvert());
    m.def("sum_of_squares", &sum_of_squares, "x"_a.noconvert());
    m.def("threshold", &threshold, "limit"_a, "x"_a.noconvert());
    m.def("relu_forward", &relu_forward, "slope"_a, "x"_a.noconvert(), "y"_a.noconvert());
    m.def("relu_backward", &relu_backward, "slope"_a, "x"_a.noconvert(), "dy"_a.noconvert(),
          "dx"_a.noconvert());
    m.def("gemm", &gemm<float>, "a"_a.noconvert(), "b"_a.noconvert(), "out"_a.noconvert(),
          "transpose_a"_a, "transpose_b"_a, "accumulate"_a);
    m.def("gemm", &gemm<double>, "a"_a.noconvert(), "b"_a.noconvert(), "out"_a.noconvert(),
          "transpose_a"_a, "transpose_b"_a, "accumulate"_a);
}

}  // namespace

PYBIND11_MODULE(_core, m) {
    m.doc() = "The kernels of sscaffe for the CPU; sscaffe.kernels says what they compute.";
    if (const char* isa = std::getenv("SSCAFFE_ISA")) sscaffe::set_isa(isa);
    bind_machine(m);
    bind_arrays(m);
    bind_data(m);
    bind_layers(m);
    bind_memory(m);
    bind_series(m);
    bind_channels(m);
    bind_eltwise(m);
    bind_lrn(m);

    bind_update(m);
    bind_sparse(m);
#ifdef SSCAFFE_ONEDNN
    m.attr("has_onednn") = true;
    bind_onednn(m);
#else
    m.attr("has_onednn") = false;
#endif
}
