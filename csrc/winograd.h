#pragma once

#include <cstdint>

#include "aligned.h"

namespace sscaffe {

// The images of a blob: [batch][blocks of channels][height][width][block].  `block` is a multiple
// of the lanes of a vector, or all channels.  What fills up the last block is 0.  Where there are
// groups, their channels are whole blocks, or `block` is all channels.
struct WinogradImages {
    float* data;
    int64_t channels, height, width, block;
};

// Convolution of stride 1 with few multiplications: 36 for 4 x 4 outputs of a kernel of 3 x 3, and
// for 2 x 2 outputs of a kernel of 5 x 5, instead of 144 and 100.
//
// Some tiles at a time are transformed, multiplied and transformed back, and stay in the cache
// meanwhile.  It does not round as plain sums do: errors are 1e-6 to 8e-6 of the largest output.
// Zeros of whole channels and filters stay exact, others may become such errors; what is not
// finite spreads over its tile.
// An output depends neither on the batch nor on the number of threads; the gradients of weights and
// bias depend on both.
//
// Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016,
// arXiv:1509.09308; the transforms are in winograd_body.h.
struct Winograd {
    int64_t batch;
    int64_t kernel;  // 3 or 5, on both axes
    int64_t pad_height, pad_width;
    int64_t group = 1;

    // Floats of the weights at the points: those of all groups, each of `in` and `out` channels.
    int64_t points_room(int64_t in, int64_t out) const;

    // Set points, of points_room(in, out) floats, for the instruction set in use.
    //
    //   weights  [group][kernel][kernel][in][out]
    //
    // With `flip` each kernel is turned by 180 degrees.
    void transform(int64_t in, int64_t out, const float* weights, bool flip, float* points) const;

    // top = convolution of bottom + bias, + top where `add`, then 0 instead of less where `relu`
    //
    //   points  as transform sets them
    //   bias    [top.channels] or nullptr
    void convolve(const WinogradImages& bottom, const float* points, const float* bias, bool add,
                  bool relu, const WinogradImages& top, Scratch& scratch) const;

    // Of one group.
    //
    //   weights_diff  [kernel][kernel][bottom.channels][top.channels]   overwritten
    //   bias_diff     [top.channels] or nullptr                         overwritten
    void gradient(const WinogradImages& bottom, const WinogradImages& top_diff, float* weights_diff,
                  float* bias_diff, Scratch& scratch) const;

    int64_t tile() const { return 7 - kernel; }
};

}  // namespace sscaffe
