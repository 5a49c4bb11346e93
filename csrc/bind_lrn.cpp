#include "bind_checks.h"
#include "bind_series.h"
#include "lrn.h"
#include "memory.h"

using namespace sscaffe::binding;

namespace {

using sscaffe::ChannelSizes;
using sscaffe::ImageSize;
using sscaffe::LrnConstants;
using sscaffe::Memory;

ChannelSizes sizes_of(const Memory& x, int64_t size) {
    if (size < 1) refuse("size", 1, "or more", size);
    const auto sizes = sscaffe::channel_sizes(x.layout());
    if (!sizes) throw py::value_error("x: expected a layout by channels, with elements");
    return *sizes;
}

ImageSize image_of(const Memory& x, int64_t size) {
    const sscaffe::Dims& dims = x.layout().dims();
    if (dims.size() != 4) refuse("x", 4, "axes", dims.size());
    if (size % 2 == 0) throw py::value_error("size: expected an odd number");
    return {dims[2], dims[3]};
}

void require_like(const Memory& x, const Memory& other, const char* name) {
    if (!(x.layout() == other.layout())) {
        throw py::value_error(std::string(name) + ": expected a memory of x's layout");
    }
}

void require_apart(const Memory& x, const Memory& other, const char* name) {
    require_like(x, other, name);
    if (x.data() == other.data()) {
        throw py::value_error(std::string(name) + ": expected other memory than x's");
    }
}

void across_forward(int64_t size, float alpha, float beta, float k, const Memory& x, Memory& scale,
                    Memory& y) {
    const ChannelSizes sizes = sizes_of(x, size);
    require_apart(x, scale, "scale");
    require_apart(x, y, "y");
    carry_out([=, &x, &scale, &y] {
        sscaffe::lrn_across_forward(sizes, {size, alpha, beta, k}, x.data(), scale.data(),
                                    y.data());
    });
}

void across_backward(int64_t size, float alpha, float beta, const Memory& x, const Memory& scale,
                     const Memory& dy, Memory& dx) {
    const ChannelSizes sizes = sizes_of(x, size);
    require_apart(x, scale, "scale");
    require_like(x, dy, "dy");
    require_apart(x, dx, "dx");
    py::gil_scoped_release unlocked;
    sscaffe::lrn_across_backward(sizes, {size, alpha, beta, 0}, x.data(), scale.data(), dy.data(),
                                 dx.data());
}

void within_forward(int64_t size, float alpha, float beta, float k, const Memory& x, Memory& scale,
                    Memory& y) {
    const ChannelSizes sizes = sizes_of(x, size);
    const ImageSize image = image_of(x, size);
    require_apart(x, scale, "scale");
    require_apart(x, y, "y");
    carry_out([=, &x, &scale, &y] {
        sscaffe::lrn_within_forward(sizes, image, {size, alpha, beta, k}, x.data(), scale.data(),
                                    y.data());
    });
}

void within_backward(int64_t size, float alpha, float beta, const Memory& x, const Memory& scale,
                     const Memory& dy, Memory& dx) {
    const ChannelSizes sizes = sizes_of(x, size);
    const ImageSize image = image_of(x, size);
    require_apart(x, scale, "scale");
    require_like(x, dy, "dy");
    require_apart(x, dx, "dx");
    py::gil_scoped_release unlocked;
    sscaffe::lrn_within_backward(sizes, image, {size, alpha, beta, 0}, x.data(), scale.data(),
                                 dy.data(), dx.data());
}

}  // namespace

void bind_lrn(py::module_& m) {
    m.def("lrn_across_forward", &across_forward, "size"_a, "alpha"_a, "beta"_a, "k"_a, "x"_a,
          "scale"_a, "y"_a);
    m.def("lrn_across_backward", &across_backward, "size"_a, "alpha"_a, "beta"_a, "x"_a, "scale"_a,
          "dy"_a, "dx"_a);
    m.def("lrn_within_forward", &within_forward, "size"_a, "alpha"_a, "beta"_a, "k"_a, "x"_a,
          "scale"_a, "y"_a);
    m.def("lrn_within_backward", &within_backward, "size"_a, "alpha"_a, "beta"_a, "x"_a, "scale"_a,
          "dy"_a, "dx"_a);
}
