#pragma once

#include <cstdint>
#include <vector>

#include "geometry.h"

// Pooling of planes over two spatial axes, as Caffe defines it.  All threads share the planes.

namespace sscaffe {

// Take the largest element of each window.
//
//   bottom  [planes][H][W]
//   top     [planes][out_H][out_W]   overwritten
//   mask    [planes][out_H][out_W]   overwritten: where in its plane the largest element is, the
//                                    first in row-major order of equal ones
//
// A window with no element above -FLT_MAX (empty, or all NaN or -inf) gives -FLT_MAX and mask -1.
template <typename T>
void max_pool_forward(const PoolGeometry& g, const T* bottom, T* top, int32_t* mask);

// Send each top's diff to the element that was largest.
//
//   top_diff     [planes][out_H][out_W]
//   mask         [planes][out_H][out_W]   from max_pool_forward
//   bottom_diff  [planes][H][W]           overwritten
template <typename T>
void max_pool_backward(const PoolGeometry& g, const T* top_diff, const int32_t* mask,
                       T* bottom_diff);

// Average each window.  Padding counts as zeros up to `pad` beyond the image, and not beyond that.
//
//   bottom  [planes][H][W]
//   top     [planes][out_H][out_W]   overwritten; 0 for a window with no element
template <typename T>
void ave_pool_forward(const PoolGeometry& g, const T* bottom, T* top);

// Share each top's diff among the elements of its window.
//
//   top_diff     [planes][out_H][out_W]
//   bottom_diff  [planes][H][W]           overwritten
template <typename T>
void ave_pool_backward(const PoolGeometry& g, const T* top_diff, T* bottom_diff);

// Max or average pooling, as above, of planes whose elements are blocks of channels.
//
// It does not find out where the largest elements are, so there is no backward pass.
class BlockPooling {
   public:
    BlockPooling(const PoolGeometry& g, bool max);

    //   bottom  [planes][H][W][block]
    //   top     [planes][out_H][out_W][block]   overwritten
    void forward(int64_t block, const float* bottom, float* top) const;

   private:
    PoolGeometry g_;
    std::vector<float> divisors_;  // [out_H][out_W] of averages
};

}  // namespace sscaffe
