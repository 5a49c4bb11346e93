#pragma once

#include <cstdint>

namespace sscaffe {

struct SoftmaxSizes {
    int64_t outer, classes, inner;
};

// y = exp(x - max) / (sum of exp(x - max)) over the classes of each place.
//
//   x  [outer][classes][inner]
//   y  like x   overwritten; may be the same array as x
//
// What is less than the smallest normal float is 0.  The same bits for any number of threads.
void softmax(const SoftmaxSizes& sizes, const float* x, float* y);

// dx = factor * (probabilities - [class is the place's label]), 0 for places without a label.
//
//   probabilities  [outer][classes][inner]
//   labels         [outer][inner]   below classes; negative where there is none
//   dx             like probabilities   overwritten
void softmax_loss_backward(const SoftmaxSizes& sizes, const float* probabilities,
                           const int32_t* labels, float factor, float* dx);

}  // namespace sscaffe
