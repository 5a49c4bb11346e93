#pragma once

#include <cstdint>

#include "geometry.h"

namespace sscaffe {

// Convolve one image with weights in CSR form, without lowering it.
//
// Row m of the matrix is output channel m; its column c * Kh * Kw + kh * Kw + kw is the weight at
// (c, kh, kw), where c counts from the first channel of m's group.
//
//   g                two spatial axes, all channels of the image
//   group            divides the channels and m
//   image            [C][H][W]
//   row_ptr          [m + 1]
//   indices, values  [nnz]               indices in [0, C / group * Kh * Kw)
//   bias             [m] or nullptr
//   out              [m][out_H][out_W]   overwritten; must not overlap image
//
// The image is copied once, padded, and split into stride_H * stride_W phases so that each weight
// reads neighbouring elements whatever the stride.  Then 2 * nnz * out_H * (out_W + the rest of a
// phase's row) flops, the threads sharing the output channels.  Throws std::bad_alloc.
//
// Source: Park et al., "Faster CNNs with Direct Sparse Convolutions and Guided Pruning", ICLR 2017,
// arXiv:1608.01409.
template <typename T>
void direct_sparse_conv(const ConvGeometry& g, int64_t group, int64_t m, const T* image,
                        const int32_t* row_ptr, const int32_t* indices, const T* values,
                        const T* bias, T* out);

}  // namespace sscaffe
