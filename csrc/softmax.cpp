#include "softmax.h"

#include <cfloat>
#include <cmath>

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

LabelledLoss softmax_loss(const SoftmaxSizes& s, const float* probabilities, const float* labels,
                          float ignored, int32_t* indices) {
    const float classes = static_cast<float>(s.classes);
    LabelledLoss loss{0, 0};
    for (int64_t i = 0; i < s.outer * s.inner; ++i) {
        const float label = std::trunc(labels[i]);
        indices[i] = -1;
        if (label == ignored) continue;
        if (!(label >= 0 && label < classes)) return {0, -1};
        indices[i] = static_cast<int32_t>(label);
        const int64_t row = i / s.inner * s.classes + indices[i];
        const float p = probabilities[row * s.inner + i % s.inner];
        // Not std::max, which would hide NaN.
        const float positive = p < FLT_MIN ? FLT_MIN : p;
        loss.sum -= static_cast<double>(std::log(positive));
        ++loss.counted;
    }
    return loss;
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
