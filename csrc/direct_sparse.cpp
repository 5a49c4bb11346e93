#include "direct_sparse.h"

#include <algorithm>
#include <vector>

#include "aligned.h"
#include "cpu_features.h"
#include "parallel.h"
#include "phases.h"

namespace sscaffe {
namespace {

// Where in the split image the window of each non-zero weight begins.
std::vector<int32_t> stretch_columns(const Phases& phases, int64_t nnz, const int32_t* indices) {
    std::vector<int32_t> places(nnz);
    for (int64_t j = 0; j < nnz; ++j) {
        places[j] = static_cast<int32_t>(place_of_column(phases, indices[j]));
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
            T* target = split.get() + c * channel;
            std::fill_n(target, channel, T{0});
            split_channel(phases, image + c * input, target);
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
