#include "phases.h"

#include <algorithm>

namespace sscaffe {

Phases::Phases(const ConvGeometry& g)
    : down(g.axes[0]),
      across(g.axes[1]),
      rows((down.input + 2 * down.pad + down.stride - 1) / down.stride),
      columns((across.input + 2 * across.pad + across.stride - 1) / across.stride) {}

template <typename T>
void split_channel(const Phases& phases, const T* plane, T* split) {
    const ConvAxis &down = phases.down, &across = phases.across;
    for (int64_t y = 0; y < down.input; ++y) {
        const T* row = plane + y * across.input;
        for (int64_t phase = 0; phase < across.stride; ++phase) {
            // The first element of the row whose padded place is in this phase.
            const int64_t x = (phase + across.pad * (across.stride - 1)) % across.stride;
            T* target =
                split + phases.row_at(y + down.pad, phase) + (x + across.pad) / across.stride;
            if (across.stride == 1) {
                std::copy_n(row, across.input, target);
                continue;
            }
            for (int64_t i = x; i < across.input; i += across.stride) *target++ = row[i];
        }
    }
}

int64_t place_of_column(const Phases& phases, int64_t column) {
    const ConvAxis &down = phases.down, &across = phases.across;
    const int64_t kw = column % across.kernel, kh = column / across.kernel % down.kernel;
    const int64_t c = column / (across.kernel * down.kernel);
    return c * phases.channel_size() + phases.at(kh * down.dilation, kw * across.dilation);
}

template void split_channel(const Phases&, const float*, float*);
template void split_channel(const Phases&, const double*, double*);

}  // namespace sscaffe
