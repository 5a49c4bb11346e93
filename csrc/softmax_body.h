#pragma once

// Included by vector_body.h: the loops of softmax.cpp, for one [classes][inner].

#include "simd.h"

namespace {

// exp(x) for x up to 0, with an error of 2 units in the last place; NaN stays NaN.
inline Vector<float> exponential(Vector<float> x) {
    typedef int32_t Integers __attribute__((vector_size(kVectorBytes)));
    constexpr float kLowest = -87.336544f;                          // of a normal result
    constexpr float kLog2E = 1.44269504f, kRounding = 12582912.0f;  // 1.5 * 2^23
    // ln 2 in two parts, the first of which has few digits.
    constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
    const auto is_low = x < kLowest;
    x = is_low ? broadcast(kLowest) : x;
    const Vector<float> whole = (x * kLog2E + kRounding) - kRounding;
    const Vector<float> rest = (x - whole * kLn2High) - whole * kLn2Low;
    // Its series, from 1 / 7! on.
    constexpr float kTerms[] = {1 / 720.0f, 1 / 120.0f, 1 / 24.0f, 1 / 6.0f, 0.5f, 1.0f, 1.0f};
    Vector<float> sum = broadcast(1 / 5040.0f);
    for (const float term : kTerms) sum = sum * rest + term;
    const Integers exponent = (__builtin_convertvector(whole, Integers) + 127) << 23;
    Vector<float> power;
    __builtin_memcpy(&power, &exponent, sizeof(power));
    return is_low ? Vector<float>{} : sum * power;
}

// What to do with up to kLanes places side by side: load and store them.
struct AllLanes {
    Vector<float> load_at(const float* source) const { return load(source); }
    void store_at(Vector<float> vector, float* target) const { store(vector, target); }
};

struct FirstLanes {
    int64_t count;
    Vector<float> load_at(const float* source) const { return load_first(source, count); }
    void store_at(Vector<float> vector, float* target) const { store_first(vector, target, count); }
};

template <typename Lanes>
inline void softmax_of_places(const Lanes& lanes, int64_t classes, int64_t stride, const float* x,
                              float* y) {
    Vector<float> most = lanes.load_at(x), sum{};
    for (int64_t c = 1; c < classes; ++c) {
        const Vector<float> value = lanes.load_at(x + c * stride);
        most = value > most ? value : most;
    }
    for (int64_t c = 0; c < classes; ++c) {
        const Vector<float> value = exponential(lanes.load_at(x + c * stride) - most);
        sum += value;
        lanes.store_at(value, y + c * stride);
    }
    for (int64_t c = 0; c < classes; ++c) {
        lanes.store_at(lanes.load_at(y + c * stride) / sum, y + c * stride);
    }
}

// The classes of one place, side by side.
void softmax_of_row(int64_t classes, const float* x, float* y) {
    constexpr int64_t kWidth = kLanes<float>;
    float most = x[0], sum = 0;
    for (int64_t c = 1; c < classes; ++c) most = x[c] > most ? x[c] : most;
    const int64_t whole = classes / kWidth * kWidth;
    Vector<float> sums{};
    for (int64_t c = 0; c < whole; c += kWidth) {
        const Vector<float> value = exponential(load(x + c) - most);
        sums += value;
        store(value, y + c);
    }
    for (int64_t lane = 0; lane < kWidth; ++lane) sum += sums[lane];
    if (whole < classes) {
        const Vector<float> value = exponential(load_first(x + whole, classes - whole) - most);
        store_first(value, y + whole, classes - whole);
        for (int64_t c = whole; c < classes; ++c) sum += y[c];
    }
    for (int64_t c = 0; c < classes; ++c) y[c] /= sum;
}

// See SoftmaxKernels::softmax.
void softmax(int64_t classes, int64_t inner, const float* x, float* y) {
    if (inner == 1) {
        softmax_of_row(classes, x, y);
        return;
    }
    int64_t i = 0;
    for (; i + kLanes<float> <= inner; i += kLanes<float>) {
        softmax_of_places(AllLanes{}, classes, inner, x + i, y + i);
    }
    if (i < inner) softmax_of_places(FirstLanes{inner - i}, classes, inner, x + i, y + i);
}

}  // namespace
