#include "panels.h"

#include <algorithm>

#include "cpu_features.h"
#include "geometry.h"
#include "parallel.h"

namespace sscaffe {

void multiply_panels(const Panels& w, const float* x, const float* bias, bool relu, float* out) {
    const auto kernel = vector_kernels().panel_product;
    const int64_t panels = divide_up(w.rows, w.block), grain = grain_of(w.block * w.columns);
    parallel_for(0, panels, grain, [=](int64_t first, int64_t last) {
        for (int64_t panel = first; panel < last; ++panel) {
            const int64_t row = panel * w.block;
            kernel({std::min(w.block, w.rows - row), w.columns, w.block,
                    w.data + panel * w.depth * w.block},
                   x, bias ? bias + row : nullptr, relu, out + row);
        }
    });
}

}  // namespace sscaffe
