#pragma once

#include <cstdint>

#include "geometry.h"

namespace sscaffe {

// The padded image, its rows and columns dealt out to stride_H * stride_W phases, in which each
// weight reads neighbouring elements whatever the stride: element (y, x) is in phase
// (y % stride_H, x % stride_W), at (y / stride_H, x / stride_W).
struct Phases {
    ConvAxis down, across;
    int64_t rows, columns;  // of one phase

    explicit Phases(const ConvGeometry& g);  // of two spatial axes

    int64_t channel_size() const { return down.stride * across.stride * rows * columns; }

    // Where the first of the row's elements of a phase is.
    int64_t row_at(int64_t y, int64_t phase_x) const {
        return ((y % down.stride * across.stride + phase_x) * rows + y / down.stride) * columns;
    }

    // Where an element of the padded image is if the phases are not apart, but as in the image.
    int64_t position(int64_t y, int64_t x) const { return y * columns * across.stride + x; }

    int64_t at(int64_t y, int64_t x) const {
        return row_at(y, x % across.stride) + x / across.stride;
    }
};

// Copy one channel into its phases, all but the padding.
//
//   plane  [H][W]
//   split  [stride_H * stride_W][rows][columns]   must not overlap plane
template <typename T>
void split_channel(const Phases& phases, const T* plane, T* split);

// Where in the split image, from the output's first position, the weight of column
// c * Kh * Kw + kh * Kw + kw of the weight matrix reads.
int64_t place_of_column(const Phases& phases, int64_t column);

}  // namespace sscaffe
