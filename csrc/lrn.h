#pragma once

#include "channels.h"

// Local response normalization.
//
//   y = x * scale^-beta, where scale = k + alpha / count * (sum of x^2 over a window)
//
// Across channels the window holds `size` channels, those from c - (size - 1) / 2 to c + size / 2,
// cut at the first and last channel, and count is size.  Within a channel it is a square of size x
// size positions, size odd, cut at the sides of the image, and count is size^2.
//
// The gradient, a sum over the places whose windows hold this one:
//
//   dx = dy scale^-beta - 2 alpha beta / count x (sum of dy x scale^-(beta + 1))
//
// Source: Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks",
// NIPS 2012, 3.3; alpha is divided by count as Caffe does.

namespace sscaffe {

struct LrnConstants {
    int64_t size;
    float alpha, beta, k;
};

// In a layout by channels:
//
//   x, dy  given
//   scale  overwritten by forward; backward needs it
//   y      overwritten; must not overlap x
//   dx     overwritten; may be the same array as dy
//
// Cost: an element takes size additions, and two square roots if beta is 0.75, else a power.
// Throws std::bad_alloc.
void lrn_across_forward(const ChannelSizes& sizes, const LrnConstants& constants, const float* x,
                        float* scale, float* y);
void lrn_across_backward(const ChannelSizes& sizes, const LrnConstants& constants, const float* x,
                         const float* scale, const float* dy, float* dx);

// The same within channels: sizes are those of an array (N, C, height, width), so that inner is a
// multiple of height * width.
struct ImageSize {
    int64_t height, width;
};

void lrn_within_forward(const ChannelSizes& sizes, const ImageSize& image,
                        const LrnConstants& constants, const float* x, float* scale, float* y);
void lrn_within_backward(const ChannelSizes& sizes, const ImageSize& image,
                         const LrnConstants& constants, const float* x, const float* scale,
                         const float* dy, float* dx);

}  // namespace sscaffe
