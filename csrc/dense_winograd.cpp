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

// The block of a layout that winograd.h knows, or 0.
int64_t known_block(const Layout& layout) {
    const int64_t block = layout.image_block(), lanes = vector_kernels().winograd.lanes;
    const bool is_known = block % lanes == 0 || block == layout.dims()[1];
    return block > 1 && is_known ? block : 0;
}

WinogradImages images_of(const Layout& layout, float* data) {
    const Dims& dims = layout.dims();
    const int64_t block = known_block(layout);
    if (!block) throw std::logic_error("WinogradConvolution: unknown layout of images");
    return {data, dims[1], dims[2], dims[3], block};
}

WinogradImages images_out(Memory& top, const desc& known) {
    if (top.layout().dims() != known.get_dims())
        throw std::invalid_argument("WinogradConvolution: expected a top of the layer's shape");
    return images_of(top.layout(), top.data());
}

// The images as they are, or moved to a layout that is known; a Reshape between two layers leaves
// them in that of the other shape.
WinogradImages images_in(const Memory& given, Operand& operand, const desc& known) {
    const bool has_shape = given.layout().dims() == known.get_dims();
    if (has_shape && known_block(given.layout())) return images_of(given.layout(), given.data());
    const memory& moved = operand.in(given, known);
    return images_of(Layout(known), static_cast<float*>(moved.get_data_handle()));
}

const float* taps_in(const Memory& weights, Operand& operand, const desc& taps) {
    return static_cast<const float*>(operand.in(weights, taps).get_data_handle());
}

bool is_square(const Dims& dims, int64_t size) {
    return dims == Dims{size, size};
}

void check(const ConvolutionSizes& s, const Extras& extras) {
    const bool is_known = is_square(s.kernel, 3) || is_square(s.kernel, 5);
    if (!is_known || !is_square(s.stride, 1) || !is_square(s.dilation, 1) || s.group != 1 ||
        s.pad.size() != 2 || *std::max_element(s.pad.begin(), s.pad.end()) >= s.kernel[0] ||
        extras.add) {
        throw std::invalid_argument(
            "WinogradConvolution: expected a kernel of 3 x 3 or 5 x 5, smaller pads, stride, "
            "dilation and group of 1, and nothing to add to");
    }
}

}  // namespace

WinogradConvolution::WinogradConvolution(const ConvolutionSizes& sizes, const Extras& extras,
                                         const WinogradPasses& passes)
    : Convolution((check(sizes, extras), sizes), extras), relu_(extras.relu), passes_(passes) {
    if (!known_block(Layout(forward_src_)) || !known_block(Layout(forward_dst_)) ||
        !border_.empty()) {
        passes_ = {false, false, false};
        return;
    }
    const int64_t kernel = sizes.kernel[0], in = sizes.in_channels, out = sizes.out_channels;
    const int64_t tap = in * out;
    const Dims dims{out, in, kernel, kernel};
    taps_ = desc(dims, memory::data_type::f32, Dims{1, out, kernel * tap, tap});
    turned_taps_ = desc(dims, memory::data_type::f32, Dims{in, 1, kernel * tap, tap});
    forward_winograd_ = {sizes.batch, kernel, sizes.pad[0], sizes.pad[1]};
    backward_winograd_ = {sizes.batch, kernel, kernel - 1 - sizes.pad[0],
                          kernel - 1 - sizes.pad[1]};
    if (passes.forward)
        implementation_ = kernel == 3 ? "Winograd F(4x4, 3x3)" : "Winograd F(2x2, 5x5)";
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
    forward_winograd_.convolve(images_in(bottom, first_, forward_src_),
                               taps_in(weights, second_, taps_), false,
                               bias ? bias->data() : nullptr, relu_, images_out(top, forward_dst_),
                               *scratchpad_of_thread());
}

void WinogradConvolution::backward_data(const Memory& top_diff, const Memory& weights,
                                        Memory& bottom_diff) {
    if (!passes_.backward_data) return Convolution::backward_data(top_diff, weights, bottom_diff);
    backward_winograd_.convolve(images_in(top_diff, first_, forward_dst_),
                                taps_in(weights, second_, turned_taps_), true, nullptr, false,
                                images_out(bottom_diff, forward_src_), *scratchpad_of_thread());
}

void WinogradConvolution::backward_weights(const Memory& bottom, const Memory& top_diff,
                                           Memory& weights_diff, Memory* bias_diff,
                                           bool accumulate) {
    if (!passes_.backward_weights) {
        return Convolution::backward_weights(bottom, top_diff, weights_diff, bias_diff, accumulate);
    }
    Memory& taps = added_weights_.room(taps_);
    std::vector<float> bias(sizes_.out_channels);
    forward_winograd_.gradient(images_in(bottom, first_, forward_src_),
                               images_in(top_diff, second_, forward_dst_), taps.data(), bias.data(),
                               *scratchpad_of_thread());
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
