#pragma once

#include <cstdint>

#include "geometry.h"

namespace sscaffe {

// Lower one image: lay out each window of it as a column, so that convolution is a product.
//
// Row (c, k1, k2, ...) of `columns` holds, for each output position, the element of channel c under
// that place of the kernel; 0 where the kernel reaches into the padding.
//
//   image    [C][input]
//   rows     [row_count]           rows to lower, each in [0, C * kernel), or nullptr for the
//                                  first row_count of them
//   columns  [row_count][output]   overwritten; must not overlap image
//
// Cost: one write of `columns`, in as many threads as its rows allow.
template <typename T>
void im2col(const ConvGeometry& g, const T* image, const int32_t* rows, int64_t row_count,
            T* columns);

// Add up lowered columns into an image: the transpose of im2col.
//
//   columns  [C * kernel][output]
//   image    [C][input]             overwritten; must not overlap columns
//
// Cost: one read of `columns`, in as many threads as there are channels.
template <typename T>
void col2im(const ConvGeometry& g, const T* columns, T* image);

}  // namespace sscaffe
