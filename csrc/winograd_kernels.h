#pragma once

#include <cstdint>

// Part of vector_kernels.h: the inner loops of winograd.cpp.

namespace sscaffe {

// Neighbouring tiles of one row of one image, of as many channels as a vector has, in the image and
// in points.
struct WinogradStrip {
    float* image;  // [y * row_step + x * pixel_step]
    int64_t row_step, pixel_step;
    int64_t height, width;
    int64_t channels;       // a vector or less
    int64_t top, left;      // of the first tile, perhaps outside of the image
    int64_t tiles, stride;  // from tile to tile in the image
    float* points;          // [p * point_step + tile * tile_step]
    int64_t point_step, tile_step;
};

// c = a * b
struct WinogradProduct {
    int64_t depth, rows;
    const float* a;  // [rows][a_step], or [depth][a_step] where it is transposed
    int64_t a_step;
    const float* b;  // [depth][b_step]
    int64_t b_step;
    float* c;  // [rows][c_step]
    int64_t c_step;
};

// Weights [kernel][kernel] of as many channels as a vector has.
struct WinogradFilter {
    float* weights;  // [y * row_step + x * tap_step]
    int64_t row_step, tap_step;
    int64_t channels;  // a vector or less, or none
    float* points;     // [p * point_step]
    int64_t point_step;
};

// Arrays of two are for tiles of 2 x 2 outputs (kernels of 5 x 5) and 4 x 4 outputs (3 x 3).
struct WinogradKernels {
    static constexpr int64_t kPoints = 6;   // on an axis
    static constexpr int64_t kVectors = 2;  // the most columns of a product, in vectors

    int64_t lanes;

    // points = B^T image B
    void (*scatter)(const WinogradStrip& s);
    // points = A image A^T; sums += what is added up over the pixels of the image
    void (*spread[2])(const WinogradStrip& s, float* sums);
    // image = A^T points A + bias, + image if add, then 0 instead of less if relu
    void (*gather[2])(const WinogradStrip& s, const float* bias, bool add, bool relu);
    // By the columns of the product: one vector, or two. The second one adds to c.
    void (*multiply[kVectors])(const WinogradProduct& p);
    void (*add_transposed[kVectors])(const WinogradProduct& p);
    // points = G weights G^T
    void (*scatter_filter[2])(const WinogradFilter& f, bool flip);
    // weights = G^T points G
    void (*gather_filter[2])(const WinogradFilter& f);
};

}  // namespace sscaffe
