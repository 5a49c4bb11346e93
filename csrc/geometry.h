#pragma once

#include <cstdint>
#include <vector>

namespace sscaffe {

inline int64_t divide_up(int64_t value, int64_t unit) {
    return (value + unit - 1) / unit;
}

// One spatial axis of a convolution.
struct ConvAxis {
    int64_t input, kernel, stride, pad, dilation;

    // floor((input + 2 pad - extent) / stride) + 1, where extent is dilation (kernel - 1) + 1
    int64_t output() const {
        return (input + 2 * pad - (dilation * (kernel - 1) + 1)) / stride + 1;
    }
};

// What im2col lowers: an image of `channels` planes, over any number of spatial axes.
struct ConvGeometry {
    int64_t channels;
    std::vector<ConvAxis> axes;

    int64_t input_size() const;   // elements of one channel of the image; 1 without axes
    int64_t kernel_size() const;  // elements of one channel of the kernel
    int64_t output_size() const;  // output positions
};

// Images [N][C / block][H][W][block], floats: plain for block 1, channels last for block C, else in
// blocks of channels, the last one filled up.
struct ChannelBlocks {
    float* data;
    int64_t block;
    int64_t image;  // elements from one image to the next
};

// One spatial axis of a pooling; Python decides how output is rounded.
struct PoolAxis {
    int64_t input, kernel, stride, pad, output;
};

// A pooling of `planes` independent planes (images times channels).
struct PoolGeometry {
    int64_t planes;
    PoolAxis rows, columns;
};

}  // namespace sscaffe
