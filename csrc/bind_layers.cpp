#include <algorithm>
#include <optional>

#include "bind_checks.h"
#include "bind_series.h"
#include "direct_sparse.h"
#include "geometry.h"
#include "implicit_gemm.h"
#include "lowering.h"
#include "memory.h"
#include "pooling.h"
#include "softmax.h"
#include "sparse_convolution.h"

namespace {

using namespace sscaffe::binding;

sscaffe::ConvGeometry conv_geometry(int64_t image_size, const Sizes& input, const Sizes& kernel,
                                    const Sizes& stride, const Sizes& pad, const Sizes& dilation) {
    const size_t axes = input.size();
    require_axes(input, axes, 1, "input");
    require_axes(kernel, axes, 1, "kernel");
    require_axes(stride, axes, 1, "stride");
    require_axes(pad, axes, 0, "pad");
    require_axes(dilation, axes, 1, "dilation");
    sscaffe::ConvGeometry g{0, {}};
    for (size_t i = 0; i < axes; ++i) {
        g.axes.push_back({input[i], kernel[i], stride[i], pad[i], dilation[i]});
        const int64_t room = input[i] + 2 * pad[i], extent = dilation[i] * (kernel[i] - 1) + 1;
        if (room < extent) refuse("input", extent, "or more with its padding", room);
    }
    g.channels = image_size / g.input_size();
    if (g.channels * g.input_size() != image_size) {
        refuse("image", g.channels * g.input_size(), "elements", image_size);
    }
    return g;
}

// Check that each number is in [0, bound).
template <typename T>
void im2col(const Array<T>& image, const Sizes& input, const Sizes& kernel, const Sizes& stride,
            const Sizes& pad, const Sizes& dilation, Array<T>& columns,
            const std::optional<Ints>& kept) {
    const auto g = conv_geometry(image.size(), input, kernel, stride, pad, dilation);
    const int64_t all = g.channels * g.kernel_size();
    const int64_t rows = kept ? kept->size() : all;
    if (kept) require_below(*kept, all, "kept", "rows");
    require_size(columns, rows * g.output_size(), "columns");
    T* out = columns.mutable_data();
    py::gil_scoped_release unlocked;
    sscaffe::im2col(g, image.data(), kept ? kept->data() : nullptr, rows, out);
}

template <typename T>
void col2im(const Array<T>& columns, const Sizes& input, const Sizes& kernel, const Sizes& stride,
            const Sizes& pad, const Sizes& dilation, Array<T>& image) {
    const auto g = conv_geometry(image.size(), input, kernel, stride, pad, dilation);
    require_size(columns, g.channels * g.kernel_size() * g.output_size(), "columns");
    T* out = image.mutable_data();
    py::gil_scoped_release unlocked;
    sscaffe::col2im(g, columns.data(), out);
}

// Sizes of a pooling, as every pooling function takes them.
sscaffe::PoolGeometry pool_geometry(int64_t planes, const Sizes& input, const Sizes& output,
                                    const Sizes& kernel, const Sizes& stride, const Sizes& pad) {
    if (planes < 0) refuse("planes", 0, "or more", planes);
    require_axes(input, 2, 1, "input");
    require_axes(output, 2, 1, "output");
    require_axes(kernel, 2, 1, "kernel");
    require_axes(stride, 2, 1, "stride");
    require_axes(pad, 2, 0, "pad");
    return {planes,
            {input[0], kernel[0], stride[0], pad[0], output[0]},
            {input[1], kernel[1], stride[1], pad[1], output[1]}};
}

void require_pooling(const sscaffe::PoolGeometry& g, const py::array& plain,
                     const py::array& pooled, bool forward) {
    require_size(plain, g.planes * g.rows.input * g.columns.input,
                 forward ? "bottom" : "bottom_diff");
    require_size(pooled, g.planes * g.rows.output * g.columns.output, forward ? "top" : "top_diff");
}

template <typename T>
void max_pool_forward(const Array<T>& bottom, int64_t planes, const Sizes& input,
                      const Sizes& output, const Sizes& kernel, const Sizes& stride,
                      const Sizes& pad, Array<T>& top, Ints& mask) {
    const auto g = pool_geometry(planes, input, output, kernel, stride, pad);
    require_pooling(g, bottom, top, true);
    require_size(mask, top.size(), "mask");
    T* out = top.mutable_data();
    int32_t* where = mask.mutable_data();
    carry_out([=, from = bottom.data()] { sscaffe::max_pool_forward(g, from, out, where); });
}

template <typename T>
void max_pool_backward(const Array<T>& top_diff, const Ints& mask, int64_t planes,
                       const Sizes& input, const Sizes& output, const Sizes& kernel,
                       const Sizes& stride, const Sizes& pad, Array<T>& bottom_diff) {
    const auto g = pool_geometry(planes, input, output, kernel, stride, pad);
    require_pooling(g, bottom_diff, top_diff, false);
    require_size(mask, top_diff.size(), "mask");
    T* out = bottom_diff.mutable_data();
    py::gil_scoped_release unlocked;
    sscaffe::max_pool_backward(g, top_diff.data(), mask.data(), out);
}

template <typename T>
void ave_pool_forward(const Array<T>& bottom, int64_t planes, const Sizes& input,
                      const Sizes& output, const Sizes& kernel, const Sizes& stride,
                      const Sizes& pad, Array<T>& top) {
    const auto g = pool_geometry(planes, input, output, kernel, stride, pad);
    require_pooling(g, bottom, top, true);
    T* out = top.mutable_data();
    carry_out([=, from = bottom.data()] { sscaffe::ave_pool_forward(g, from, out); });
}

template <typename T>
void ave_pool_backward(const Array<T>& top_diff, int64_t planes, const Sizes& input,
                       const Sizes& output, const Sizes& kernel, const Sizes& stride,
                       const Sizes& pad, Array<T>& bottom_diff) {
    const auto g = pool_geometry(planes, input, output, kernel, stride, pad);
    require_pooling(g, bottom_diff, top_diff, false);
    T* out = bottom_diff.mutable_data();
    py::gil_scoped_release unlocked;
    sscaffe::ave_pool_backward(g, top_diff.data(), out);
}

template <typename T>
void direct_sparse_conv(const Array<T>& image, int64_t group, const Sizes& input,
                        const Sizes& kernel, const Sizes& stride, const Sizes& pad,
                        const Sizes& dilation, const Ints& row_ptr, const Ints& indices,
                        const Array<T>& values, const std::optional<Array<T>>& bias,
                        Array<T>& out) {
    if (input.size() != 2) refuse("input", 2, "axes", input.size());
    const auto g = conv_geometry(image.size(), input, kernel, stride, pad, dilation);
    if (group < 1 || g.channels % group) refuse("group", g.channels, "or a divisor of it", group);
    const int64_t m = require_csr(row_ptr, indices, values, g.channels / group * g.kernel_size());
    if (m % group) refuse("row_ptr", group, "groups of equal rows", m);
    if (bias) require_size(*bias, m, "bias");
    require_size(out, m * g.output_size(), "out");
    T* top = out.mutable_data();
    py::gil_scoped_release unlocked;
    sscaffe::direct_sparse_conv(g, group, m, image.data(), row_ptr.data(), indices.data(),
                                values.data(), bias ? bias->data() : nullptr, top);
}

sscaffe::SoftmaxSizes softmax_sizes(const Floats& x) {
    require_dims(x, 3, "x");
    return {x.shape(0), x.shape(1), x.shape(2)};
}

void softmax(const Floats& x, Floats& y) {
    const auto sizes = softmax_sizes(x);
    require_size(y, x.size(), "y");
    float* out = y.mutable_data();
    carry_out([=, from = x.data()] { sscaffe::softmax(sizes, from, out); });
}

py::tuple softmax_loss(const Floats& probabilities, const Floats& labels, float ignored,
                       Ints& indices) {
    const auto sizes = softmax_sizes(probabilities);
    require_size(labels, sizes.outer * sizes.inner, "labels");
    require_size(indices, sizes.outer * sizes.inner, "indices");
    const auto [sum, counted] = sscaffe::softmax_loss(sizes, probabilities.data(), labels.data(),
                                                      ignored, indices.mutable_data());
    return py::make_tuple(sum, counted);
}

void softmax_loss_backward(const Floats& probabilities, const Ints& labels, float factor,
                           Floats& dx) {
    const auto sizes = softmax_sizes(probabilities);
    require_size(labels, sizes.outer * sizes.inner, "labels");
    require_size(dx, probabilities.size(), "dx");
    for (int64_t i = 0; i < labels.size(); ++i) {
        if (labels.data()[i] >= sizes.classes) {
            refuse("labels", sizes.classes, "classes", labels.data()[i]);
        }
    }
    float* out = dx.mutable_data();
    py::gil_scoped_release unlocked;
    sscaffe::softmax_loss_backward(sizes, probabilities.data(), labels.data(), factor, out);
}

// The weights of a convolution of two spatial axes, and all that is known about them.
struct Weights {
    sscaffe::ConvGeometry geometry;
    int64_t group, rows;
};

Weights conv_weights(const Floats& weights, int64_t in_channels, int64_t group, const Sizes& input,
                     const Sizes& kernel, const Sizes& stride, const Sizes& pad,
                     const Sizes& dilation) {
    if (input.size() != 2) refuse("input", 2, "axes", input.size());
    if (in_channels < 1) refuse("in_channels", 1, "or more", in_channels);
    auto g = conv_geometry(0, input, kernel, stride, pad, dilation);
    g.channels = in_channels;
    if (group < 1 || in_channels % group) {
        refuse("group", in_channels, "or a divisor of it", group);
    }
    if (weights.ndim() < 1) refuse("weights", 1, "or more axes", weights.ndim());
    const int64_t m = weights.shape(0);
    if (m < 1 || m % group) refuse("weights", group, "groups of equal rows", m);
    require_size(weights, m * (in_channels / group) * g.kernel_size(), "weights");
    return {g, group, m};
}

// What convolves with weights that it has packed.
template <typename Convolution>
Convolution make_packed(const Floats& weights, int64_t in_channels, int64_t group,
                        const Sizes& input, const Sizes& kernel, const Sizes& stride,
                        const Sizes& pad, const Sizes& dilation) {
    const auto w = conv_weights(weights, in_channels, group, input, kernel, stride, pad, dilation);
    py::gil_scoped_release unlocked;
    return Convolution(w.geometry, w.group, w.rows, weights.data());
}

sscaffe::SparseConvolution make_sparse_convolution(const Floats& weights, int64_t in_channels,
                                                   int64_t group, const Sizes& input,
                                                   const Sizes& kernel, const Sizes& stride,
                                                   const Sizes& pad, const Sizes& dilation) {
    if (!sscaffe::has_tiling(conv_geometry(0, input, kernel, stride, pad, dilation))) {
        throw py::value_error("kernel: expected one that fits, see SparseConvolution.fits");
    }
    return make_packed<sscaffe::SparseConvolution>(weights, in_channels, group, input, kernel,
                                                   stride, pad, dilation);
}

// The blocks of channels of a memory whose dims are (batch, *image).
sscaffe::ChannelBlocks channel_blocks(const sscaffe::Memory& memory, int64_t batch,
                                      const sscaffe::Dims& image, const char* name) {
    const int64_t block = memory.layout().image_block();
    if (block == 0) throw py::value_error(std::string(name) + ": expected blocks of channels");
    sscaffe::Dims dims{batch};
    dims.insert(dims.end(), image.begin(), image.end());
    const int64_t count = sscaffe::count_of(dims);
    if (memory.layout().count() != count) refuse(name, count, "elements", memory.layout().count());
    if (block > 1 && memory.layout().dims() != dims)
        refuse(name, count, "elements in its shape", 0);
    return {memory.data(), block, batch ? memory.layout().stored() / batch : 0};
}

// An ImplicitGemm or a SparseConvolution, on images in any layout of channels.
template <typename Kernel>
void sparse_forward(Kernel& self, const sscaffe::Memory& bottom, const std::optional<Floats>& bias,
                    bool relu, sscaffe::Memory& top) {
    const sscaffe::Dims in = self.bottom_dims(), out = self.top_dims();
    const int64_t batch = bottom.layout().count() / sscaffe::count_of(in);
    const auto from = channel_blocks(bottom, batch, in, "bottom");
    const auto to = channel_blocks(top, batch, out, "top");
    if (bias) require_size(*bias, out[0], "bias");
    const float* start = bias ? bias->data() : nullptr;
    carry_out([=, &self] { self.forward(batch, from, start, relu, to); });
}

template <typename T>
void bind_typed(py::module_& m) {
    m.def("im2col", &im2col<T>, "image"_a.noconvert(), "input"_a, "kernel"_a, "stride"_a, "pad"_a,
          "dilation"_a, "columns"_a.noconvert(), "kept"_a.noconvert() = py::none());
    m.def("col2im", &col2im<T>, "columns"_a.noconvert(), "input"_a, "kernel"_a, "stride"_a, "pad"_a,
          "dilation"_a, "image"_a.noconvert());
    m.def("max_pool_forward", &max_pool_forward<T>, "bottom"_a.noconvert(), "planes"_a, "input"_a,
          "output"_a, "kernel"_a, "stride"_a, "pad"_a, "top"_a.noconvert(), "mask"_a.noconvert());
    m.def("max_pool_backward", &max_pool_backward<T>, "top_diff"_a.noconvert(),
          "mask"_a.noconvert(), "planes"_a, "input"_a, "output"_a, "kernel"_a, "stride"_a, "pad"_a,
          "bottom_diff"_a.noconvert());
    m.def("ave_pool_forward", &ave_pool_forward<T>, "bottom"_a.noconvert(), "planes"_a, "input"_a,
          "output"_a, "kernel"_a, "stride"_a, "pad"_a, "top"_a.noconvert());
    m.def("ave_pool_backward", &ave_pool_backward<T>, "top_diff"_a.noconvert(), "planes"_a,
          "input"_a, "output"_a, "kernel"_a, "stride"_a, "pad"_a, "bottom_diff"_a.noconvert());
    m.def("direct_sparse_conv", &direct_sparse_conv<T>, "image"_a.noconvert(), "group"_a, "input"_a,
          "kernel"_a, "stride"_a, "pad"_a, "dilation"_a, "row_ptr"_a.noconvert(),
          "indices"_a.noconvert(), "values"_a.noconvert(), "bias"_a.noconvert(),
          "out"_a.noconvert());
}

}  // namespace

void bind_layers(py::module_& m) {
    bind_typed<float>(m);
    bind_typed<double>(m);
    m.def("softmax", &softmax, "x"_a.noconvert(), "y"_a.noconvert());
    m.def("softmax_loss", &softmax_loss, "probabilities"_a.noconvert(), "labels"_a.noconvert(),
          "ignored"_a, "indices"_a.noconvert());
    m.def("softmax_loss_backward", &softmax_loss_backward, "probabilities"_a.noconvert(),
          "labels"_a.noconvert(), "factor"_a, "dx"_a.noconvert());
    py::class_<sscaffe::ImplicitGemm>(m, "ImplicitGemm")
        .def(py::init(&make_packed<sscaffe::ImplicitGemm>), "weights"_a.noconvert(),
             "in_channels"_a, "group"_a, "input"_a, "kernel"_a, "stride"_a, "pad"_a, "dilation"_a)
        .def_property_readonly("kept", &sscaffe::ImplicitGemm::kept)
        .def("forward", &sparse_forward<sscaffe::ImplicitGemm>, "bottom"_a, "bias"_a.noconvert(),
             "relu"_a, "top"_a);
    py::class_<sscaffe::SparseConvolution>(m, "SparseConvolution")
        .def(py::init(&make_sparse_convolution), "weights"_a.noconvert(), "in_channels"_a,
             "group"_a, "input"_a, "kernel"_a, "stride"_a, "pad"_a, "dilation"_a)
        .def_static(
            "fits",
            [](const Sizes& input, const Sizes& kernel, const Sizes& stride, const Sizes& pad,
               const Sizes& dilation) {
                return sscaffe::has_tiling(conv_geometry(0, input, kernel, stride, pad, dilation));
            },
            "input"_a, "kernel"_a, "stride"_a, "pad"_a, "dilation"_a)
        .def_property_readonly("nnz", &sscaffe::SparseConvolution::nnz)
        .def("forward", &sparse_forward<sscaffe::SparseConvolution>, "bottom"_a,
             "bias"_a.noconvert(), "relu"_a, "top"_a);
}
