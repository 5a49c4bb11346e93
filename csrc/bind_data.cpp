#include <optional>

#include "bind_checks.h"
#include "transform.h"

using namespace sscaffe::binding;

namespace {

using sscaffe::ImageTransform;

void require_corners(const Array<int64_t>& corners, const ImageTransform& t, int64_t count) {
    require_size(corners, 2 * count, "corners");
    const int64_t last[] = {t.height - t.out_height, t.width - t.out_width};
    for (int64_t i = 0; i < 2 * count; ++i) {
        const int64_t corner = corners.data()[i];
        if (corner < 0 || corner > last[i % 2]) refuse("corners", last[i % 2], "or less", corner);
    }
}

template <typename T>
void transform_images(const Array<T>& images, const std::optional<Floats>& image_mean,
                      const std::optional<Floats>& channel_mean, float scale,
                      const Array<int64_t>& corners, const std::optional<Array<bool>>& mirrored,
                      Floats& out) {
    require_dims(images, 4, "images");
    require_dims(out, 4, "out");
    const int64_t count = images.shape(0);
    ImageTransform t{images.shape(1), images.shape(2), images.shape(3), out.shape(2),
                     out.shape(3),    nullptr,         nullptr,         scale};
    if (out.shape(0) != count) refuse("out", count, "images", out.shape(0));
    if (out.shape(1) != t.channels) refuse("out", t.channels, "channels", out.shape(1));
    require_corners(corners, t, count);
    if (image_mean) {
        require_size(*image_mean, t.channels * t.height * t.width, "image_mean");
        t.image_mean = image_mean->data();
    }
    if (channel_mean) {
        require_size(*channel_mean, t.channels, "channel_mean");
        t.channel_mean = channel_mean->data();
    }
    if (mirrored) require_size(*mirrored, count, "mirrored");
    const bool* mirrors = mirrored ? mirrored->data() : nullptr;
    float* target = out.mutable_data();
    py::gil_scoped_release unlocked;
    sscaffe::transform_images<T>(t, count, images.data(), corners.data(), mirrors, target);
}

template <typename T>
void bind_typed(py::module_& m) {
    m.def("transform_images", &transform_images<T>, "images"_a.noconvert(),
          "image_mean"_a.noconvert(), "channel_mean"_a.noconvert(), "scale"_a,
          "corners"_a.noconvert(), "mirrored"_a.noconvert(), "out"_a.noconvert());
}

}  // namespace

void bind_data(py::module_& m) {
    bind_typed<uint8_t>(m);
    bind_typed<float>(m);
}
