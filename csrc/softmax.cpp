#include "softmax.h"

#include "cpu_features.h"
#include "parallel.h"

namespace sscaffe {

void softmax(const SoftmaxSizes& s, const float* x, float* y) {
    if (s.classes == 0) return;
    constexpr int64_t kWorkOfAnElement = 10;
    const auto kernel = vector_kernels().softmax;
    const int64_t size = s.classes * s.inner;
    parallel_for(0, s.outer, grain_of(kWorkOfAnElement * size), [=](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
            kernel(s.classes, s.inner, x + i * size, y + i * size);
        }
    });
}

void softmax_loss_backward(const SoftmaxSizes& s, const float* probabilities, const int32_t* labels,
                           float factor, float* dx) {
    const int64_t size = s.classes * s.inner;
    parallel_for(0, s.outer, grain_of(size), [=](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
            const float* p = probabilities + i * size;
            const int32_t* label = labels + i * s.inner;
            float* diff = dx + i * size;
            for (int64_t c = 0; c < s.classes; ++c) {
                for (int64_t place = 0; place < s.inner; ++place) {
                    const int64_t at = c * s.inner + place;
                    diff[at] = label[place] < 0 ? 0.0f : factor * p[at];
                }
            }
            for (int64_t place = 0; place < s.inner; ++place) {
                if (label[place] >= 0) diff[label[place] * s.inner + place] -= factor;
            }
        }
    });
}

}  // namespace sscaffe
