#include <pybind11/stl.h>

#include <array>
#include <vector>

#include "bind_checks.h"
#include "bind_series.h"
#include "dense_onednn.h"
#include "dense_winograd.h"

using namespace sscaffe::binding;

namespace {

using sscaffe::Convolution;
using sscaffe::ConvolutionSizes;
using sscaffe::Dims;
using sscaffe::Extras;
using sscaffe::InnerProduct;
using sscaffe::Memory;
using sscaffe::Pooling;
using sscaffe::PoolingSizes;
using sscaffe::WeightedPrimitive;
using sscaffe::WinogradConvolution;
using Unlocked = py::call_guard<py::gil_scoped_release>;

void sgemm(const Floats& a, const Floats& b, Floats& out, bool transpose_a, bool transpose_b,
           bool accumulate) {
    const auto [m, n, k] = product_sizes(a, b, out, transpose_a, transpose_b);
    float* result = out.mutable_data();
    py::gil_scoped_release unlocked;
    sscaffe::onednn_sgemm(transpose_a, transpose_b, m, n, k, a.data(), b.data(), accumulate,
                          result);
}

void forward(WeightedPrimitive& self, const Memory& bottom, const Memory& weights,
             const Memory* bias, Memory& top) {
    carry_out([=, &self, &bottom, &weights, &top] { self.forward(bottom, weights, bias, top); });
}

void pool(Pooling& self, const Memory& bottom, Memory& top) {
    carry_out([&self, &bottom, &top] { self.forward(bottom, top); });
}

void pool_to_infer(Pooling& self, const Memory& bottom, Memory& top) {
    carry_out([&self, &bottom, &top] { self.infer(bottom, top); });
}

}  // namespace

void bind_onednn(py::module_& m) {
    py::register_local_exception_translator([](std::exception_ptr thrown) {
        try {
            if (thrown) std::rethrow_exception(thrown);
        } catch (const dnnl::error& error) {
            if (error.status != dnnl_out_of_memory) throw;  // for the next translator
            PyErr_SetString(PyExc_MemoryError, error.what());
        }
    });
    m.def("onednn_sgemm", &sgemm, "a"_a.noconvert(), "b"_a.noconvert(), "out"_a.noconvert(),
          "transpose_a"_a, "transpose_b"_a, "accumulate"_a);
    m.def("onednn_version", [] {
        const dnnl_version_t* version = dnnl_version();
        return std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
               std::to_string(version->patch);
    });

    py::class_<WeightedPrimitive>(m, "WeightedPrimitive")
        .def_property_readonly("top_layout", &WeightedPrimitive::top_layout)
        .def_property_readonly("weights_layout", &WeightedPrimitive::weights_layout)
        .def_property_readonly("bottom_diff_layout", &WeightedPrimitive::bottom_diff_layout)
        .def_property_readonly("weights_diff_layout", &WeightedPrimitive::weights_diff_layout)
        .def_property_readonly("implementation", &WeightedPrimitive::implementation)
        .def("forward", &forward, "bottom"_a, "weights"_a, "bias"_a.none(true), "top"_a)
        .def("backward_data", &WeightedPrimitive::backward_data, "top_diff"_a, "weights"_a,
             "bottom_diff"_a, Unlocked())
        .def("backward_weights", &WeightedPrimitive::backward_weights, "bottom"_a, "top_diff"_a,
             "weights_diff"_a, "bias_diff"_a.none(true), "accumulate"_a, Unlocked());

    py::class_<Convolution, WeightedPrimitive>(m, "Convolution")
        .def(py::init([](int64_t batch, int64_t in_channels, int64_t out_channels, int64_t group,
                         Dims input, Dims output, Dims kernel, Dims stride, Dims pad, Dims dilation,
                         bool bias, bool train, bool add, bool relu, bool blocks) {
                 return Convolution(ConvolutionSizes{batch, in_channels, out_channels, group, input,
                                                     output, kernel, stride, pad, dilation},
                                    Extras{bias, add, relu, train, blocks});
             }),
             "batch"_a, "in_channels"_a, "out_channels"_a, "group"_a, "input"_a, "output"_a,
             "kernel"_a, "stride"_a, "pad"_a, "dilation"_a, "bias"_a, "train"_a, "add"_a = false,
             "relu"_a = false, "blocks"_a = false);

    py::class_<WinogradConvolution, WeightedPrimitive>(m, "WinogradConvolution")
        .def(py::init([](int64_t batch, int64_t in_channels, int64_t out_channels, int64_t group,
                         Dims input, Dims output, Dims kernel, Dims pad, bool bias, bool train,
                         bool add, bool relu, bool blocks, std::array<bool, 3> passes) {
                 const Dims ones(kernel.size(), 1);
                 return WinogradConvolution(
                     ConvolutionSizes{batch, in_channels, out_channels, group, input, output,
                                      kernel, ones, pad, ones},
                     Extras{bias, add, relu, train, blocks}, {passes[0], passes[1], passes[2]});
             }),
             "batch"_a, "in_channels"_a, "out_channels"_a, "group"_a, "input"_a, "output"_a,
             "kernel"_a, "pad"_a, "bias"_a, "train"_a, "add"_a = false, "relu"_a = false,
             "blocks"_a = false, "passes"_a)
        .def_property_readonly("prepared_layout", &WinogradConvolution::prepared_layout)
        .def("prepare", &WinogradConvolution::prepare, "weights"_a, "prepared"_a, Unlocked());

    py::class_<InnerProduct, WeightedPrimitive>(m, "InnerProduct")
        .def(py::init([](const Dims& bottom, int64_t outputs, bool bias, bool train, bool add,
                         bool relu) {
                 return InnerProduct(bottom, outputs, Extras{bias, add, relu, train});
             }),
             "bottom"_a, "outputs"_a, "bias"_a, "train"_a, "add"_a = false, "relu"_a = false);

    py::class_<Pooling>(m, "Pooling")
        .def(py::init([](int64_t batch, int64_t channels, Dims input, Dims output, Dims kernel,
                         Dims stride, Dims pad, bool max) {
                 return Pooling(
                     PoolingSizes{batch, channels, input, output, kernel, stride, pad, max});
             }),
             "batch"_a, "channels"_a, "input"_a, "output"_a, "kernel"_a, "stride"_a, "pad"_a,
             "max"_a)
        .def("top_layout", &Pooling::top_layout, "bottom"_a)
        .def("forward", &pool, "bottom"_a, "top"_a)
        .def("infer", &pool_to_infer, "bottom"_a, "top"_a)
        .def("backward", &Pooling::backward, "top_diff"_a, "bottom_diff"_a, Unlocked());
}
