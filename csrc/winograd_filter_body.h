#pragma once

// Included by vector_body.h: the transforms of the weights for winograd.cpp.

#include "simd.h"

namespace {

// The scales of G go here alone, so that the other matrices have small integers.
inline void winograd_filter_line(const Vector<float>* w, int kernel, Vector<float>* u) {
    Vector<float> even = w[0] + w[2], odd = w[1], far = multiply_add(4.0f, w[2], w[0]);
    Vector<float> step = w[1];
    if (kernel == 5) {
        even += w[4];
        odd += w[3];
        far = multiply_add(16.0f, w[4], far);
        step = multiply_add(4.0f, w[3], step);
    }
    u[0] = broadcast(1.0f / 4) * w[0];
    u[1] = broadcast(-1.0f / 6) * (even + odd);
    u[2] = broadcast(-1.0f / 6) * (even - odd);
    u[3] = broadcast(1.0f / 24) * multiply_add(2.0f, step, far);
    u[4] = broadcast(1.0f / 24) * multiply_add(-2.0f, step, far);
    u[5] = w[kernel - 1];
}

// G^T u
inline void winograd_gradient_line(const Vector<float>* u, int kernel, Vector<float>* w) {
    const Vector<float> near = broadcast(-1.0f / 6) * (u[1] + u[2]);
    const Vector<float> one = broadcast(-1.0f / 6) * (u[1] - u[2]);
    const Vector<float> far = broadcast(1.0f / 24) * (u[3] + u[4]);
    const Vector<float> two = broadcast(1.0f / 24) * (u[3] - u[4]);
    w[0] = multiply_add(1.0f / 4, u[0], near + far);
    w[1] = multiply_add(2.0f, two, one);
    w[2] = multiply_add(4.0f, far, near);
    if (kernel == 5) {
        w[3] = multiply_add(8.0f, two, one);
        w[4] = multiply_add(16.0f, far, near);
    }
    w[kernel - 1] += u[5];
}

template <int kKernel>
void winograd_scatter_filter(const sscaffe::WinogradFilter& f, bool flip) {
    Vector<float> lines[kWinogradPoints][kKernel];
    for (int x = 0; x < kKernel; ++x) {
        Vector<float> line[kKernel];
        WinogradLine out;
        for (int y = 0; y < kKernel; ++y) {
            const int64_t row = flip ? kKernel - 1 - y : y, tap = flip ? kKernel - 1 - x : x;
            const float* place = f.weights + row * f.row_step + tap * f.tap_step;
            line[y] = f.channels == kLanes<float> ? load(place) : load_first(place, f.channels);
        }
        winograd_filter_line(line, kKernel, out);
        for (int i = 0; i < kWinogradPoints; ++i) lines[i][x] = out[i];
    }
    float* points = f.points;
    for (int i = 0; i < kWinogradPoints; ++i) {
        WinogradLine out;
        winograd_filter_line(lines[i], kKernel, out);
        for (int j = 0; j < kWinogradPoints; ++j, points += f.point_step) store(out[j], points);
    }
}

template <int kKernel>
void winograd_gather_filter(const sscaffe::WinogradFilter& f) {
    WinogradLine lines[kKernel];
    for (int i = 0; i < kWinogradPoints; ++i) {
        WinogradLine line;
        Vector<float> out[kKernel];
        for (int j = 0; j < kWinogradPoints; ++j)
            line[j] = load(f.points + (kWinogradPoints * j + i) * f.point_step);
        winograd_gradient_line(line, kKernel, out);
        for (int y = 0; y < kKernel; ++y) lines[y][i] = out[y];
    }
    for (int y = 0; y < kKernel; ++y) {
        Vector<float> out[kKernel];
        winograd_gradient_line(lines[y], kKernel, out);
        for (int x = 0; x < kKernel; ++x) {
            float* place = f.weights + y * f.row_step + x * f.tap_step;
            if (f.channels == kLanes<float>) {
                store(out[x], place);
            } else {
                store_first(out[x], place, f.channels);
            }
        }
    }
}

constexpr sscaffe::WinogradKernels kWinogradKernels = {
    kLanes<float>,
    winograd_scatter,
    {winograd_spread<2>, winograd_spread<4>},
    {winograd_gather<2>, winograd_gather<4>},
    {winograd_multiply<1>, winograd_multiply<2>},
    {winograd_all_rows<true, true, 1>, winograd_all_rows<true, true, 2>},
    {winograd_scatter_filter<5>, winograd_scatter_filter<3>},
    {winograd_gather_filter<5>, winograd_gather_filter<3>},
};

}  // namespace
