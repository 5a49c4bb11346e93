#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "memory.h"

// Loops that treat each channel of an array (N, C, ...) apart, in any of the layouts that
// activations have.
//
// Every layout is taken as [outer][groups][inner][block], where the channel of an element is
// group * block + its place in the block:
//
//   plain          outer = N, groups = C, inner = positions, block = 1
//   channels last  outer = 1, groups = 1, inner = N * positions, block = C
//   blocked        outer = N, groups = C / block rounded up, inner = positions
//
// Channels that only fill a block up are 0, and stay 0.  Sums are taken in double precision, over
// pieces of memory that do not depend on the number of threads, and so give the same bits for any.

namespace sscaffe {

struct ChannelSizes {
    int64_t outer, groups, inner, block;
    int64_t channels;  // without those that fill a block up

    int64_t positions() const { return outer * inner; }  // elements of one channel
    int64_t padded() const { return groups * block; }
};

// How a layout is to be taken, or nothing if it is none of these.
std::optional<ChannelSizes> channel_sizes(const Layout& layout);

// Whether a position has all of its channels side by side, in a layout that is not plain.
bool is_channels_last(const Layout& layout);

// The layout of the same kind for other dims, of as many axes; plain where there is none.
Layout layout_like(const Layout& layout, const Dims& dims);

// Put arrays behind each other along axis 1, or take them apart.
//
// All are in layouts of one kind; in a blocked one all parts but the last have whole blocks.
//
// Parts that lie in the whole already, where they belong, are left alone.
void join_channels(const std::vector<const Memory*>& parts, Memory& whole);
void part_channels(const Memory& whole, const std::vector<Memory*>& parts);
// Whether join_channels has nothing to do.
bool are_joined(const std::vector<const Memory*>& parts, const Memory& whole);

// Copy one image in the layout of `sizes` to its plain form, on the calling thread.
//
//   x     in the layout, of one image
//   flat  [C][positions]   overwritten; must not overlap x
void flatten_image(const ChannelSizes& sizes, const float* x, float* flat);

// Set `whole` to `inside` with a border of `height` rows above and below it and of `width` columns
// on either side, in which each channel is `edge`.
//
//   inside  (N, C, H, W), channels last
//   edge    [C]
//   whole   (N, C, H + 2 height, W + 2 width), channels last; overwritten
void frame_channels(const Memory& inside, int64_t height, int64_t width, const float* edge,
                    Memory& whole);

// What is done to normalized values in the same pass: * factor + bias for each channel, and then
// perhaps 0 instead of less.
struct AfterNorm {
    const float *factor, *bias;  // [channels], or nullptr for 1 and for 0
    bool rectify;
};

// y = after((x - mean) * inverse_std) for each channel, by the mean and variance of the channel.
//
//   x                            in the layout
//   y                            in the layout; overwritten; may be the same array as x
//   mean, variance, inverse_std  [channels]   overwritten; inverse_std = 1 / sqrt(variance + eps)
//
// Cost: two passes over x, one over y.  Throws std::bad_alloc, as do all of these.
void batch_norm_forward(const ChannelSizes& sizes, double eps, const AfterNorm& after,
                        const float* x, float* y, float* mean, float* variance, float* inverse_std);

// The gradients of batch_norm_forward: with n = (x - mean) * inverse_std, and dy set to 0 where
// y was rectified, dx = factor inverse_std (dy - mean(dy) - n mean(n dy)).
//
//   x, dy              in the layout
//   mean, inverse_std  [channels]
//   factor_diff        [channels]   sum(n dy) is added to it; or nullptr
//   bias_diff          [channels]   sum(dy) is added to it; or nullptr
//   dx                 in the layout; overwritten; may be the same array as x or dy
void batch_norm_backward(const ChannelSizes& sizes, const AfterNorm& after, const float* mean,
                         const float* inverse_std, const float* x, const float* dy,
                         float* factor_diff, float* bias_diff, float* dx);

// y = (x - shift) * factor + bias for each channel.
//
//   shift, factor, bias  [channels]   shift and bias may be nullptr for 0
//   y                    in the layout; overwritten; may be the same array as x
void channel_affine(const ChannelSizes& sizes, const float* shift, const float* factor,
                    const float* bias, const float* x, float* y);

// The gradients of y = x * factor + bias.
//
//   x            in the layout, or nullptr if factor_diff is
//   factor       [channels], or nullptr if dx is
//   factor_diff  [channels]   added to, or nullptr
//   bias_diff    [channels]   added to, or nullptr
//   dx           in the layout; overwritten; may be the same array as dy; or nullptr
void channel_scale_backward(const ChannelSizes& sizes, const float* factor, const float* x,
                            const float* dy, float* factor_diff, float* bias_diff, float* dx);

}  // namespace sscaffe
