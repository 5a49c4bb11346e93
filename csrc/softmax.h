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

// The labels of a loss as integers, and the sum of -log of the probabilities that they have.
struct LabelledLoss {
    double sum;
    int64_t counted;  // places with a label; -1 if a label is no class, and then nothing is set
};

//   probabilities  [outer][classes][inner]
//   labels         [outer][inner]   what is behind the point is dropped
//   ignored        a label that does not count, or NaN
//   indices        [outer][inner]   overwritten: the labels, -1 for those that do not count
//
// Probabilities less than the smallest normal float count as that.
LabelledLoss softmax_loss(const SoftmaxSizes& sizes, const float* probabilities,
                          const float* labels, float ignored, int32_t* indices);

// dx = factor * (probabilities - [class is the place's label]), 0 for places without a label.
//
//   probabilities  [outer][classes][inner]
//   labels         [outer][inner]   below classes; negative where there is none
//   dx             like probabilities   overwritten
void softmax_loss_backward(const SoftmaxSizes& sizes, const float* probabilities,
                           const int32_t* labels, float factor, float* dx);

}  // namespace sscaffe
