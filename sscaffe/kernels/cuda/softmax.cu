// Softmax over the middle axis of an array (outer, classes, inner), and the loss of labels.
#include "common.cuh"
#include "sums.cuh"

constexpr unsigned kAll = 0xffffffffu;

// One warp for each row of classes; inner is 1, and y may be x.
extern "C" __global__ void softmax_rows(const Real* x, Real* y, int outer, int classes) {
    const int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    // Warps without a row go along with the others.
    const int count = row < outer ? classes : 0;
    const size_t start = size_t(min(row, outer - 1)) * classes;
    Real largest = x[start];
    for (int c = lane; c < count; c += 32) largest = fmax(largest, x[start + c]);
    for (int distance = 16; distance > 0; distance /= 2) {
        largest = fmax(largest, __shfl_xor_sync(kAll, largest, distance));
    }
    Real sum = Real(0);
    for (int c = lane; c < count; c += 32) {
        const Real power = exp(x[start + c] - largest);
        y[start + c] = power;
        sum += power;
    }
    for (int distance = 16; distance > 0; distance /= 2) {
        sum += __shfl_xor_sync(kAll, sum, distance);
    }
    const Real times = Real(1) / sum;
    for (int c = lane; c < count; c += 32) y[start + c] *= times;
}

// One thread for each place of the other axes; y may be x.
extern "C" __global__ void softmax_places(int places, const Real* x, Real* y, int classes,
                                          int inner) {
    FOR_EACH(place, places) {
        const size_t start = size_t(place / inner) * classes * inner + place % inner;
        Real largest = x[start], sum = Real(0);
        for (int c = 1; c < classes; ++c) largest = fmax(largest, x[start + size_t(c) * inner]);
        for (int c = 0; c < classes; ++c) {
            const size_t at = start + size_t(c) * inner;
            const Real power = exp(x[at] - largest);
            y[at] = power;
            sum += power;
        }
        const Real times = Real(1) / sum;
        for (int c = 0; c < classes; ++c) y[start + size_t(c) * inner] *= times;
    }
}

// Set the loss and what it was divided by: `divisor`, or the number of labels where that is 0.
__device__ inline void finish(double sum, double counted, int divisor, Real* loss,
                              double* divided_by) {
    if (threadIdx.x != 0) return;
    const double by = divisor > 0 ? double(divisor) : counted > 1 ? counted : 1.0;
    *loss = Real(sum / by);
    *divided_by = by;
}

// The sum of -log of the labels' probabilities. One block sets loss and divided_by; each of several
// leaves its sum and count in parts, for softmax_loss_of_parts.
//
//   labels   [outer * inner]
//   ignored  the label that does not count; NaN if all do
//   indices  [outer * inner]  overwritten by the labels, -1 where they do not count
//   parts    [blocks][2]
//
// A label that is no class makes the sum NaN.
extern "C" __global__ void softmax_loss(int places, const Real* probabilities, const Real* labels,
                                        Real ignored, int* indices, double* parts, int classes,
                                        int inner, int divisor, Real* loss, double* divided_by) {
    double sum = 0, counted = 0;
    FOR_EACH(place, places) {
        const Real label = trunc(labels[place]);
        int index = -1;
        if (!(label == ignored)) {
            if (label >= Real(0) && label < Real(classes)) {
                index = int(label);
                const size_t row = size_t(place / inner) * classes + index;
                const Real p = probabilities[row * inner + place % inner];
                const Real smallest = Real(1.17549435e-38f);
                // Not fmax, which would hide NaN.
                sum -= double(log(p < smallest ? smallest : p));
                counted += 1;
            } else {
                sum = sqrt(-1.0);
            }
        }
        indices[place] = index;
    }
    sum = sum_of_block(sum);
    counted = sum_of_block(counted);
    if (gridDim.x == 1) {
        finish(sum, counted, divisor, loss, divided_by);
    } else if (threadIdx.x == 0) {
        parts[2 * blockIdx.x] = sum;
        parts[2 * blockIdx.x + 1] = counted;
    }
}

// Finish what several blocks of softmax_loss left, by one block.
extern "C" __global__ void softmax_loss_of_parts(const double* parts, int blocks, int divisor,
                                                 Real* loss, double* divided_by) {
    double sum = 0, counted = 0;
    for (int i = threadIdx.x; i < blocks; i += blockDim.x) {
        sum += parts[2 * i];
        counted += parts[2 * i + 1];
    }
    sum = sum_of_block(sum);
    counted = sum_of_block(counted);
    finish(sum, counted, divisor, loss, divided_by);
}

// diff = weight / divided_by * (probability - [class is label]), and 0 where there is no label.
extern "C" __global__ void softmax_loss_backward(int count, const Real* probabilities,
                                                 const int* labels, Real weight,
                                                 const double* divided_by, Real* diff, int classes,
                                                 int inner) {
    const Real factor = Real(double(weight) / *divided_by);
    FOR_EACH(i, count) {
        const int row = i / inner, place = row / classes * inner + i % inner;
        const int label = labels[place];
        const Real one = label == row % classes ? Real(1) : Real(0);
        diff[i] = label < 0 ? Real(0) : factor * (probabilities[i] - one);
    }
}
