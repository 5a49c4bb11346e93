#include "transform.h"

#include <algorithm>

#include "cpu_features.h"
#include "parallel.h"

namespace sscaffe {
namespace {

using Kernels = ElementwiseKernels;

void transform_row(const Kernels& kernels, int64_t n, const uint8_t* x, const float* mean,
                   float value, float scale, float* y) {
    kernels.transform_bytes(n, x, mean, value, scale, y);
}

void transform_row(const Kernels& kernels, int64_t n, const float* x, const float* mean,
                   float value, float scale, float* y) {
    kernels.transform_floats(n, x, mean, value, scale, y);
}

template <typename T>
void transform_image(const ImageTransform& t, const T* image, const int64_t* corner, bool mirrored,
                     float* out) {
    const Kernels& kernels = vector_kernels().elementwise;
    // Whole rows one after the other are as good as one long row.
    const bool joins = t.out_width == t.width && !mirrored;
    const int64_t rows = joins ? 1 : t.out_height;
    const int64_t length = joins ? t.out_height * t.width : t.out_width;
    for (int64_t c = 0; c < t.channels; ++c) {
        const float value = t.channel_mean ? t.channel_mean[c] : 0.0f;
        for (int64_t row = 0; row < rows; ++row, out += length) {
            const int64_t at = (c * t.height + corner[0] + row) * t.width + corner[1];
            const float* mean = t.image_mean ? t.image_mean + at : nullptr;
            transform_row(kernels, length, image + at, mean, value, t.scale, out);
            if (mirrored) std::reverse(out, out + length);
        }
    }
}

}  // namespace

template <typename T>
void transform_images(const ImageTransform& t, int64_t count, const T* images,
                      const int64_t* corners, const bool* mirrored, float* out) {
    const int64_t size = t.channels * t.height * t.width;
    const int64_t out_size = t.channels * t.out_height * t.out_width;
    parallel_for(0, count, grain_of(out_size), [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
            transform_image(t, images + i * size, corners + 2 * i, mirrored && mirrored[i],
                            out + i * out_size);
        }
    });
}

template void transform_images(const ImageTransform&, int64_t, const uint8_t*, const int64_t*,
                               const bool*, float*);
template void transform_images(const ImageTransform&, int64_t, const float*, const int64_t*,
                               const bool*, float*);

}  // namespace sscaffe
