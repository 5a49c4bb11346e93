#include "bind_checks.h"
#include "bind_series.h"
#include "channels.h"
#include "memory.h"

using namespace sscaffe::binding;

namespace {

using sscaffe::ChannelSizes;
using sscaffe::Memory;

ChannelSizes sizes_of(const Memory& memory) {
    const auto sizes = sscaffe::channel_sizes(memory.layout());
    if (!sizes) throw py::value_error("expected a layout by channels, with elements");
    return *sizes;
}

void require_like(const Memory& a, const Memory& b, const char* name) {
    if (!(a.layout() == b.layout())) {
        throw py::value_error(std::string(name) + ": expected a memory of the other's layout");
    }
}

const float* optional_data(const std::optional<Floats>& values, int64_t size, const char* name) {
    if (!values) return nullptr;
    require_size(*values, size, name);
    return values->data();
}

float* optional_output(std::optional<Floats>& values, int64_t size, const char* name) {
    if (!values) return nullptr;
    require_size(*values, size, name);
    return values->mutable_data();
}

sscaffe::AfterNorm after_norm(const std::optional<Floats>& factor,
                              const std::optional<Floats>& bias, bool rectify, int64_t channels) {
    return {optional_data(factor, channels, "factor"), optional_data(bias, channels, "bias"),
            rectify};
}

void batch_norm_forward(float eps, const std::optional<Floats>& factor,
                        const std::optional<Floats>& bias, bool rectify, const Memory& x, Memory& y,
                        Floats& mean, Floats& variance, Floats& inverse_std) {
    const ChannelSizes sizes = sizes_of(x);
    const auto after = after_norm(factor, bias, rectify, sizes.channels);
    require_like(x, y, "y");
    require_size(mean, sizes.channels, "mean");
    require_size(variance, sizes.channels, "variance");
    require_size(inverse_std, sizes.channels, "inverse_std");
    float *m = mean.mutable_data(), *v = variance.mutable_data(), *i = inverse_std.mutable_data();
    py::gil_scoped_release unlocked;
    sscaffe::batch_norm_forward(sizes, eps, after, x.data(), y.data(), m, v, i);
}

void batch_norm_backward(const Floats& mean, const Floats& inverse_std,
                         const std::optional<Floats>& factor, const std::optional<Floats>& bias,
                         bool rectify, const Memory& x, const Memory& dy,
                         std::optional<Floats> factor_diff, std::optional<Floats> bias_diff,
                         Memory& dx) {
    const ChannelSizes sizes = sizes_of(x);
    const auto after = after_norm(factor, bias, rectify, sizes.channels);
    require_like(x, dy, "dy");
    require_like(x, dx, "dx");
    require_size(mean, sizes.channels, "mean");
    require_size(inverse_std, sizes.channels, "inverse_std");
    float* factors = optional_output(factor_diff, sizes.channels, "factor_diff");
    float* biases = optional_output(bias_diff, sizes.channels, "bias_diff");
    py::gil_scoped_release unlocked;
    sscaffe::batch_norm_backward(sizes, after, mean.data(), inverse_std.data(), x.data(), dy.data(),
                                 factors, biases, dx.data());
}

void channel_affine(const std::optional<Floats>& shift, const Floats& factor,
                    const std::optional<Floats>& bias, const Memory& x, Memory& y) {
    const ChannelSizes sizes = sizes_of(x);
    require_like(x, y, "y");
    require_size(factor, sizes.channels, "factor");
    const float* from = optional_data(shift, sizes.channels, "shift");
    const float* plus = optional_data(bias, sizes.channels, "bias");
    carry_out([=, times = factor.data(), &x, &y] {
        sscaffe::channel_affine(sizes, from, times, plus, x.data(), y.data());
    });
}

void channel_scale_backward(const Floats& factor, const Memory* x, const Memory& dy,
                            std::optional<Floats> factor_diff, std::optional<Floats> bias_diff,
                            Memory* dx) {
    const ChannelSizes sizes = sizes_of(dy);
    if (factor_diff && !x) throw py::value_error("x: expected a memory for factor_diff");
    if (x) require_like(dy, *x, "x");
    if (dx) require_like(dy, *dx, "dx");
    require_size(factor, sizes.channels, "factor");
    float* factors = optional_output(factor_diff, sizes.channels, "factor_diff");
    float* biases = optional_output(bias_diff, sizes.channels, "bias_diff");
    py::gil_scoped_release unlocked;
    sscaffe::channel_scale_backward(sizes, factor.data(), x ? x->data() : nullptr, dy.data(),
                                    factors, biases, dx ? dx->data() : nullptr);
}

// The parts must be what the whole is made of, in the order in which they lie in it.
void require_parts(const std::vector<const Memory*>& parts, const Memory& whole) {
    int64_t stored = 0, channels = 0, remainder = 0;
    for (const Memory* part : parts) {
        const auto dims = part->layout().dims();
        if (remainder) throw py::value_error("parts: expected whole blocks but in the last one");
        if (!(part->layout() == sscaffe::layout_like(whole.layout(), dims))) {
            throw py::value_error("parts: expected layouts of the whole's kind");
        }
        const ChannelSizes sizes = sizes_of(*part);
        remainder = sizes.padded() - sizes.channels;
        stored += part->layout().stored();
        channels += sizes.channels;
    }
    const ChannelSizes sizes = sizes_of(whole);
    if (channels != sizes.channels) refuse("parts", sizes.channels, "channels", channels);
    if (stored != whole.layout().stored()) {
        refuse("parts", whole.layout().stored(), "elements", stored);
    }
}

void join_channels(const std::vector<const Memory*>& parts, Memory& whole) {
    require_parts(parts, whole);
    carry_out([parts, &whole] { sscaffe::join_channels(parts, whole); });
}

void part_channels(const Memory& whole, const std::vector<Memory*>& parts) {
    require_parts({parts.begin(), parts.end()}, whole);
    py::gil_scoped_release unlocked;
    sscaffe::part_channels(whole, parts);
}

}  // namespace

void bind_channels(py::module_& m) {
    m.def("layout_like", &sscaffe::layout_like, "layout"_a, "dims"_a);
    m.def("join_channels", &join_channels, "parts"_a, "whole"_a);
    m.def(
        "are_joined",
        [](const std::vector<const Memory*>& parts, const Memory& whole) {
            require_parts(parts, whole);
            return sscaffe::are_joined(parts, whole);
        },
        "parts"_a, "whole"_a);
    m.def("part_channels", &part_channels, "whole"_a, "parts"_a);
    m.def("batch_norm_forward", &batch_norm_forward, "eps"_a, "factor"_a.noconvert(),
          "bias"_a.noconvert(), "rectify"_a, "x"_a, "y"_a, "mean"_a.noconvert(),
          "variance"_a.noconvert(), "inverse_std"_a.noconvert());
    m.def("batch_norm_backward", &batch_norm_backward, "mean"_a.noconvert(),
          "inverse_std"_a.noconvert(), "factor"_a.noconvert(), "bias"_a.noconvert(), "rectify"_a,
          "x"_a, "dy"_a, "factor_diff"_a.noconvert(), "bias_diff"_a.noconvert(), "dx"_a);
    m.def("channel_affine", &channel_affine, "shift"_a.noconvert().none(true),
          "factor"_a.noconvert(), "bias"_a.noconvert().none(true), "x"_a, "y"_a);
    m.def("channel_scale_backward", &channel_scale_backward, "factor"_a.noconvert(),
          "x"_a.none(true), "dy"_a, "factor_diff"_a.noconvert().none(true),
          "bias_diff"_a.noconvert().none(true), "dx"_a.none(true));
}
