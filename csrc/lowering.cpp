#include "lowering.h"

#include <algorithm>

#include "parallel.h"

namespace sscaffe {
namespace {

// The output positions [first, last) of one axis for which one place of the kernel lies inside the
// image, and the input position of output 0 (negative if it lies in the padding).
struct Span {
    int64_t first, last, origin;
};

struct Axis {
    int64_t stride, output;
    int64_t input_step, output_step, kernel_step;  // elements of the axes within this one
    std::vector<Span> spans;                       // one for each place of the kernel
};

int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

std::vector<Axis> make_axes(const ConvGeometry& g) {
    std::vector<Axis> axes(g.axes.size());
    int64_t input_step = 1, output_step = 1, kernel_step = 1;
    for (size_t i = axes.size(); i-- > 0;) {
        const ConvAxis& a = g.axes[i];
        const int64_t output = a.output();
        axes[i] = {a.stride, output, input_step, output_step, kernel_step, {}};
        for (int64_t k = 0; k < a.kernel; ++k) {
            const int64_t origin = k * a.dilation - a.pad;
            const int64_t first =
                std::min(output, ceil_div(std::max<int64_t>(0, -origin), a.stride));
            const int64_t last =
                std::min(output, ceil_div(std::max<int64_t>(0, a.input - origin), a.stride));
            axes[i].spans.push_back({first, std::max(first, last), origin});
        }
        input_step *= a.input;
        output_step *= output;
        kernel_step *= a.kernel;
    }
    return axes;
}

// column[o] = image[o * stride + origin], for place k of the kernel, over the axes [axis, end)
template <typename T>
void lower(const Axis* axis, const Axis* end, int64_t k, const T* image, T* column) {
    if (axis == end) {
        *column = *image;
        return;
    }
    const Span& span = axis->spans[k / axis->kernel_step];
    const int64_t step = axis->output_step;
    std::fill_n(column, span.first * step, T{0});
    std::fill_n(column + span.last * step, (axis->output - span.last) * step, T{0});
    if (axis + 1 == end && axis->stride == 1) {
        const T* source = image + span.origin;
        std::copy(source + span.first, source + span.last, column + span.first);
    } else if (axis + 1 == end) {
        for (int64_t o = span.first; o < span.last; ++o) {
            column[o] = image[o * axis->stride + span.origin];
        }
    } else {
        for (int64_t o = span.first; o < span.last; ++o) {
            const int64_t i = o * axis->stride + span.origin;
            lower(axis + 1, end, k % axis->kernel_step, image + i * axis->input_step,
                  column + o * step);
        }
    }
}

// image[o * stride + origin] += column[o], for place k of the kernel, over the axes [axis, end)
template <typename T>
void raise(const Axis* axis, const Axis* end, int64_t k, const T* column, T* image) {
    if (axis == end) {
        *image += *column;
        return;
    }
    const Span& span = axis->spans[k / axis->kernel_step];
    if (axis + 1 == end) {
        for (int64_t o = span.first; o < span.last; ++o) {
            image[o * axis->stride + span.origin] += column[o];
        }
        return;
    }
    for (int64_t o = span.first; o < span.last; ++o) {
        const int64_t i = o * axis->stride + span.origin;
        raise(axis + 1, end, k % axis->kernel_step, column + o * axis->output_step,
              image + i * axis->input_step);
    }
}

}  // namespace

template <typename T>
void im2col(const ConvGeometry& g, const T* image, const int32_t* rows, int64_t row_count,
            T* columns) {
    const std::vector<Axis> axes = make_axes(g);
    const Axis *begin = axes.data(), *end = begin + axes.size();
    const int64_t input = g.input_size(), kernel = g.kernel_size(), output = g.output_size();
    parallel_for(0, row_count, grain_of(output), [=](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
            const int64_t row = rows ? rows[i] : i;
            lower(begin, end, row % kernel, image + row / kernel * input, columns + i * output);
        }
    });
}

template <typename T>
void col2im(const ConvGeometry& g, const T* columns, T* image) {
    const std::vector<Axis> axes = make_axes(g);
    const Axis *begin = axes.data(), *end = begin + axes.size();
    const int64_t input = g.input_size(), kernel = g.kernel_size(), output = g.output_size();
    parallel_for(0, g.channels, grain_of(kernel * output), [=](int64_t first, int64_t last) {
        std::fill(image + first * input, image + last * input, T{0});
        for (int64_t row = first * kernel; row < last * kernel; ++row) {
            raise(begin, end, row % kernel, columns + row * output, image + row / kernel * input);
        }
    });
}

template void im2col(const ConvGeometry&, const float*, const int32_t*, int64_t, float*);
template void im2col(const ConvGeometry&, const double*, const int32_t*, int64_t, double*);
template void col2im(const ConvGeometry&, const float*, float*);
template void col2im(const ConvGeometry&, const double*, double*);

}  // namespace sscaffe
