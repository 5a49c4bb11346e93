#pragma once

#include <cstdint>

namespace sscaffe {

// What becomes of images (channels, height, width): a part of each, less a mean, times a scale.
struct ImageTransform {
    int64_t channels, height, width;
    int64_t out_height, out_width;
    const float* image_mean;    // [channels][height][width], cut as the image is; or nullptr
    const float* channel_mean;  // [channels], if there is no image_mean; or nullptr
    float scale;
};

// Set out = (image - mean) * scale, each operation rounded alone.
//
//   images    [count][channels][height][width]
//   corners   [count][2]   first row and column of the part, which is within the image
//   mirrored  [count]      whether rows are written from right to left; nullptr for never
//   out       [count][channels][out_height][out_width]   overwritten
//
// T is uint8_t or float.
template <typename T>
void transform_images(const ImageTransform& t, int64_t count, const T* images,
                      const int64_t* corners, const bool* mirrored, float* out);

}  // namespace sscaffe
