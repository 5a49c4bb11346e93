#include "direct_sparse.h"

#include <algorithm>
#include <vector>

#include "aligned.h"
#include "cpu_features.h"
#include "parallel.h"

namespace sscaffe {
namespace {

// The padded image, its rows and columns dealt out to phases: element (y, x) is in phase
// (y % stride_H, x % stride_W), at (y / stride_H, x / stride_W).
struct Phases {
    ConvAxis down, across;
    int64_t rows, columns;  // of one phase

    explicit Phases(const ConvGeometry& g)
        : down(g.axes[0]),
          across(g.axes[1]),
          rows((down.input + 2 * down.pad + down.stride - 1) / down.stride),
          columns((across.input + 2 * across.pad + across.stride - 1) / across.stride) {}

    int64_t channel_size() const { return down.stride * across.stride * rows * columns; }

    int64_t row_at(int64_t y, int64_t phase_x) const {
        return ((y % down.stride * across.stride + phase_x) * rows + y / down.stride) * columns;
    }

    int64_t at(int64_t y, int64_t x) const {
        return row_at(y, x % across.stride) + x / across.stride;
    }
};

// Copy one channel into its phases, the padding included.
template <typename T>
void split_channel(const Phases& phases, const T* plane, T* split) {
    const ConvAxis &down = phases.down, &across = phases.across;
    std::fill_n(split, phases.channel_size(), T{0});
    for (int64_t y = 0; y < down.input; ++y) {
        const T* row = plane + y * across.input;
        for (int64_t phase = 0; phase < across.stride; ++phase) {
            T* target = split + phases.row_at(y + down.pad, phase);
            // The first element of the row whose padded place is in this phase.
            int64_t x = (phase + across.pad * (across.stride - 1)) % across.stride;
            for (; x < across.input; x += across.stride) {
                target[(x + across.pad) / across.stride] = row[x];
            }
        }
    }
}

// Where in the split image the window of each non-zero weight begins.
std::vector<int32_t> stretch_columns(const Phases& phases, int64_t nnz, const int32_t* indices) {
    std::vector<int32_t> places(nnz);
    for (int64_t j = 0; j < nnz; ++j) {
        const int64_t kw = indices[j] % phases.across.kernel;
        const int64_t kh = indices[j] / phases.across.kernel % phases.down.kernel;
        const int64_t c = indices[j] / (phases.across.kernel * phases.down.kernel);
        places[j] =
            static_cast<int32_t>(c * phases.channel_size() +
                                 phases.at(kh * phases.down.dilation, kw * phases.across.dilation));
    }
    return places;
}

}  // namespace

template <typename T>
void direct_sparse_conv(const ConvGeometry& g, int64_t group, int64_t m, const T* image,
                        const int32_t* row_ptr, const int32_t* indices, const T* values,
                        const T* bias, T* out) {
    const Phases phases(g);
    const int64_t channel = phases.channel_size(), input = g.input_size();
    const int64_t height = phases.down.output(), width = phases.across.output();
    // Whole rows of the phases are computed; what lies beyond `width` is dropped.
    const int64_t span = (height - 1) * phases.columns + width;
    const std::vector<int32_t> places = stretch_columns(phases, row_ptr[m], indices);
    const AlignedArray<T> split = make_aligned<T>(g.channels * channel);
    const AlignedArray<T> spans = make_aligned<T>(m * span);
    parallel_for(0, g.channels, grain_of(channel), [&](int64_t first, int64_t last) {
        for (int64_t c = first; c < last; ++c) {
            split_channel(phases, image + c * input, split.get() + c * channel);
        }
    });
    const auto product = typed_kernels<T>().sparse_product;
    const int64_t work = (m ? row_ptr[m] / m + 1 : 1) * span / 8;
    parallel_for(0, m, grain_of(work), [&](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row) {
            const int64_t first_channel = row / (m / group) * (g.channels / group);
            T* sums = spans.get() + row * span;
            product(1, row_ptr + row, places.data(), values, split.get() + first_channel * channel,
                    1, bias ? bias + row : nullptr, span, sums, span);
            for (int64_t y = 0; y < height; ++y) {
                std::copy_n(sums + y * phases.columns, width, out + (row * height + y) * width);
            }
        }
    });
}

template void direct_sparse_conv(const ConvGeometry&, int64_t, int64_t, const float*,
                                 const int32_t*, const int32_t*, const float*, const float*,
                                 float*);
template void direct_sparse_conv(const ConvGeometry&, int64_t, int64_t, const double*,
                                 const int32_t*, const int32_t*, const double*, const double*,
                                 double*);

}  // namespace sscaffe
