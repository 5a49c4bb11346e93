#include "dense_winograd.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "cpu_features.h"
#include "elementwise.h"

namespace sscaffe {
namespace {

using dnnl::memory;
using desc = dnnl::memory::desc;

// The block of a layout that winograd.h knows, or 0; groups have to begin with a block.
int64_t known_block(const Layout& layout, int64_t group) {
    const int64_t block = layout.image_block(), lanes = vector_kernels().winograd.lanes;
    const int64_t channels = layout.dims()[1];
    if (block <= 1) return 0;
    if (block == channels) return block;
    const bool parts_groups = group == 1 || channels / group % block == 0;
    return block % lanes == 0 && parts_groups ? block : 0;
}

WinogradImages images_of(const Layout& layout, int64_t group, float* data) {
    const Dims& dims = layout.dims();
    const int64_t block = known_block(layout, group);
    if (!block) throw std::logic_error("WinogradConvolution: unknown layout of images");
    return {data, dims[1], dims[2], dims[3], block};
}

WinogradImages images_out(Memory& top, int64_t group, const desc& known) {
    if (top.layout().dims() != known.get_dims())
        throw std::invalid_argument("WinogradConvolution: expected a top of the layer's shape");
    return images_of(top.layout(), group, top.data());
}

// The images as they are, or moved to a layout that is known; a Reshape between two layers leaves
// them in that of the other shape.
WinogradImages images_in(const Memory& given, int64_t group, Operand& operand, const desc& known) {
    const bool has_shape = given.layout().dims() == known.get_dims();
    if (has_shape && known_block(given.layout(), group))
        return images_of(given.layout(), group, given.data());
    const memory& moved = operand.in(given, known);
    return images_of(Layout(known), group, static_cast<float*>(moved.get_data_handle()));
}

bool is_square(const Dims& dims, int64_t size) {
    return dims == Dims{size, size};
}

void check(const ConvolutionSizes& s, const WinogradPasses& passes) {
    const bool is_known = is_square(s.kernel, 3) || is_square(s.kernel, 5);
    const bool goes_back = passes.backward_data || passes.backward_weights;
    if (!is_known || !is_square(s.stride, 1) || !is_square(s.dilation, 1) || s.pad.size() != 2 ||
        *std::max_element(s.pad.begin(), s.pad.end()) >= s.kernel[0] ||
        (s.group != 1 && goes_back)) {
        throw std::invalid_argument(
            "WinogradConvolution: expected a kernel of 3 x 3 or 5 x 5, smaller pads, stride and "
            "dilation of 1, and one group for backward passes");
    }
}

// Weights [group][out][in][kernel][kernel] that lie [group][kernel][kernel][in][out], or with `in`
// and `out` exchanged.
desc taps_of(const ConvolutionSizes& s, bool turned) {
    const int64_t kernel = s.kernel[0], in = s.in_channels / s.group,
                  out = s.out_channels / s.group;
    const int64_t tap = in * out;
    Dims dims{s.group, out, in, kernel, kernel};
    Dims strides{kernel * kernel * tap, 1, out, kernel * tap, tap};
    if (turned) {
        strides[1] = in;
        strides[2] = 1;
    }
    if (s.group == 1) {
        dims.erase(dims.begin());
        strides.erase(strides.begin());
    }
    return desc(dims, memory::data_type::f32, strides);
}

desc points_of(const Winograd& w, int64_t in, int64_t out) {
    const int64_t lanes = vector_kernels().winograd.lanes;
    return Layout(Dims{w.points_room(in, out) / lanes, lanes}).desc();
}

}  // namespace

WinogradConvolution::WinogradConvolution(const ConvolutionSizes& sizes, const Extras& extras,
                                         const WinogradPasses& passes)
    : Convolution((check(sizes, passes), sizes), extras), passes_(passes) {
    const int64_t kernel = sizes.kernel[0], group = sizes.group;
    if (!known_block(Layout(forward_src_), group) || !known_block(Layout(forward_dst_), group) ||
        !border_.empty()) {
        passes_ = {false, false, false};
        return;
    }
    const int64_t height = sizes.pad[0], width = sizes.pad[1];
    forward_winograd_ = {sizes.batch, kernel, height, width, group};
    backward_winograd_ = {sizes.batch, kernel, kernel - 1 - height, kernel - 1 - width, group};
    taps_ = taps_of(sizes, false);
    turned_taps_ = taps_of(sizes, true);
    if (passes.forward)
        implementation_ = kernel == 3 ? "Winograd F(4x4, 3x3)" : "Winograd F(2x2, 5x5)";
}

desc WinogradConvolution::points() const {
    return points_of(forward_winograd_, sizes_.in_channels / sizes_.group,
                     sizes_.out_channels / sizes_.group);
}

desc WinogradConvolution::turned_points() const {
    return points_of(backward_winograd_, sizes_.out_channels, sizes_.in_channels);
}

Layout WinogradConvolution::weights_layout() const {
    return passes_.forward && !extras_.train ? Layout(taps_) : Convolution::weights_layout();
}

std::optional<Layout> WinogradConvolution::prepared_layout() const {
    return passes_.forward ? std::optional(Layout(points())) : std::nullopt;
}

void WinogradConvolution::prepare(const Memory& weights, Memory& prepared) {
    if (!passes_.forward || prepared.layout().desc() != points())
        throw std::invalid_argument("WinogradConvolution: expected memory of prepared_layout");
    const memory& taps = second_.in(weights, taps_);
    forward_winograd_.transform(
        sizes_.in_channels / sizes_.group, sizes_.out_channels / sizes_.group,
        static_cast<const float*>(taps.get_data_handle()), false, prepared.data());
}

Layout WinogradConvolution::bottom_diff_layout() {
    return passes_.backward_data ? Layout(forward_src_) : Convolution::bottom_diff_layout();
}

Layout WinogradConvolution::weights_diff_layout() {
    return passes_.backward_weights ? Layout(forward_weights_) : Convolution::weights_diff_layout();
}

void WinogradConvolution::forward(const Memory& bottom, const Memory& weights, const Memory* bias,
                                  Memory& top) {
    if (!passes_.forward) return Convolution::forward(bottom, weights, bias, top);
    const float* at_points = weights.data();
    if (const desc wanted = points(); weights.layout().desc() != wanted) {
        Memory& made = added_weights_.room(wanted);
        prepare(weights, made);
        at_points = made.data();
    }
    const int64_t group = sizes_.group;
    forward_winograd_.convolve(images_in(bottom, group, first_, forward_src_), at_points,
                               bias ? bias->data() : nullptr, extras_.add, extras_.relu,
                               images_out(top, group, forward_dst_), *scratchpad_of_thread());
}

void WinogradConvolution::backward_data(const Memory& top_diff, const Memory& weights,
                                        Memory& bottom_diff) {
    if (!passes_.backward_data) return Convolution::backward_data(top_diff, weights, bottom_diff);
    const memory& taps = second_.in(weights, turned_taps_);
    Memory& points = added_weights_.room(turned_points());
    backward_winograd_.transform(sizes_.out_channels, sizes_.in_channels,
                                 static_cast<const float*>(taps.get_data_handle()), true,
                                 points.data());
    backward_winograd_.convolve(images_in(top_diff, 1, first_, forward_dst_), points.data(),
                                nullptr, false, false, images_out(bottom_diff, 1, forward_src_),
                                *scratchpad_of_thread());
}

void WinogradConvolution::backward_weights(const Memory& bottom, const Memory& top_diff,
                                           Memory& weights_diff, Memory* bias_diff,
                                           bool accumulate) {
    if (!passes_.backward_weights) {
        return Convolution::backward_weights(bottom, top_diff, weights_diff, bias_diff, accumulate);
    }
    Memory& taps = added_weights_.room(taps_);
    std::vector<float> bias(sizes_.out_channels);
    forward_winograd_.gradient(images_in(bottom, 1, first_, forward_src_),
                               images_in(top_diff, 1, second_, forward_dst_), taps.data(),
                               bias.data(), *scratchpad_of_thread());
    if (!accumulate) {
        reorder(taps, weights_diff);
        if (bias_diff) std::copy(bias.begin(), bias.end(), bias_diff->data());
        return;
    }
    Memory& more = second_.room(weights_diff.layout().desc());
    reorder(taps, more);
    add_scaled(more.layout().stored(), 1.0f, more.data(), weights_diff.data());
    if (bias_diff) add_scaled(sizes_.out_channels, 1.0f, bias.data(), bias_diff->data());
}

}  // namespace sscaffe
