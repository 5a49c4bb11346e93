#pragma once

#include <cstdint>

// Local response normalization across channels.
//
//   scale[c] = k + alpha / size * (sum of x[c']^2 over the window of `size` channels around c)
//   y[c] = x[c] * scale[c]^-beta
//
// The window of channel c is [c - (size - 1) / 2, c + size / 2], cut at the first and last channel.
//
// Source: Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks",
// NIPS 2012, 3.3; alpha is divided by size as Caffe does.

namespace sscaffe {

struct LrnSizes {
    int64_t images, channels, positions;  // positions: elements of one channel of one image
    int64_t size;                         // channels in a window
};

template <typename T>
struct LrnConstants {
    T alpha, beta, k;
};

//   x      [images][channels][positions]
//   scale  like x   overwritten; lrn_across_backward needs it
//   y      like x   overwritten; no two of the three may overlap
//
// Cost: images * channels * positions * (size + two square roots if beta is 0.75, else a power).
template <typename T>
void lrn_across_forward(const LrnSizes& sizes, const LrnConstants<T>& constants, const T* x,
                        T* scale, T* y);

//   x, scale  [images][channels][positions]   from the forward pass
//   dy           like x
//   dx           like x   overwritten; must not overlap the others
//
// dx[c] = dy[c] scale[c]^-beta - 2 alpha beta / size x[c] (sum of dy[c'] x[c'] scale[c']^-(beta +
// 1) over the channels c' whose windows hold c)
//
// Throws std::bad_alloc.
template <typename T>
void lrn_across_backward(const LrnSizes& sizes, const LrnConstants<T>& constants, const T* x,
                         const T* scale, const T* dy, T* dx);

}  // namespace sscaffe
