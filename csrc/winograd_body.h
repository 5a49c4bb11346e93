#pragma once

// Included by vector_body.h: the inner loops of winograd.cpp.
//
// The matrices of Winograd's convolution for the points 0, 1, -1, 2, -2 and infinity, which serve
// tiles of 4 outputs and kernels of 3 as well as tiles of 2 and kernels of 5.  Source: Lavin and
// Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, arXiv:1509.09308.

#include "simd.h"

namespace {

constexpr int kWinogradPoints = sscaffe::WinogradKernels::kPoints;
using WinogradLine = Vector<float>[kWinogradPoints];

// The rows of the tile of sums; two vectors wide it fills the registers.
#if defined(__AVX512F__)
constexpr int kWinogradRows = 14;
#elif defined(__AVX2__)
constexpr int kWinogradRows = 6;
#else
constexpr int kWinogradRows = 4;
#endif

inline Vector<float> multiply_add(float a, Vector<float> b, Vector<float> c) {
    return multiply_add(broadcast(a), b, c);
}

// B^T x
inline void winograd_scatter_line(const Vector<float>* x, Vector<float>* v) {
    const Vector<float> even = multiply_add(-4.0f, x[2], x[4]),
                        odd = multiply_add(-4.0f, x[1], x[3]);
    const Vector<float> far = x[4] - x[2], step = x[3] - x[1];
    v[0] = multiply_add(4.0f, x[0] - x[2], far);
    v[1] = even + odd;
    v[2] = even - odd;
    v[3] = multiply_add(2.0f, step, far);
    v[4] = multiply_add(-2.0f, step, far);
    v[5] = multiply_add(4.0f, x[1] - x[3], x[5] - x[3]);
}

// A y
template <int kTile>
inline void winograd_spread_line(const Vector<float>* y, Vector<float>* z) {
    z[0] = y[0];
    z[5] = y[kTile - 1];
    if constexpr (kTile == 2) {
        z[1] = y[0] + y[1];
        z[2] = y[0] - y[1];
        z[3] = multiply_add(2.0f, y[1], y[0]);
        z[4] = multiply_add(-2.0f, y[1], y[0]);
    } else {
        const Vector<float> even = y[0] + y[2], odd = y[1] + y[3];
        const Vector<float> far = multiply_add(4.0f, y[2], y[0]);
        const Vector<float> step = multiply_add(4.0f, y[3], y[1]);
        z[1] = even + odd;
        z[2] = even - odd;
        z[3] = multiply_add(2.0f, step, far);
        z[4] = multiply_add(-2.0f, step, far);
    }
}

// A^T m
template <int kTile>
inline void winograd_gather_line(const Vector<float>* m, Vector<float>* y) {
    const Vector<float> near = m[1] + m[2], one = m[1] - m[2];
    const Vector<float> far = m[3] + m[4], two = m[3] - m[4];
    y[0] = m[0] + near + far;
    if constexpr (kTile == 2) {
        y[1] = multiply_add(2.0f, two, one) + m[5];
    } else {
        y[1] = multiply_add(2.0f, two, one);
        y[2] = multiply_add(4.0f, far, near);
        y[3] = multiply_add(8.0f, two, one) + m[5];
    }
}

template <bool kWhole>
inline Vector<float> load_channels(const float* source, int64_t channels) {
    if constexpr (kWhole) return load(source);
    return load_first(source, channels);
}

template <bool kWhole>
inline void store_channels(Vector<float> vector, float* target, int64_t channels) {
    if constexpr (kWhole) return store(vector, target);
    store_first(vector, target, channels);
}

// The six rows of some tiles, one of them after the other; zeros where there is no image.
struct WinogradRows {
    const float* row[kWinogradPoints];
    int64_t step[kWinogradPoints];

    WinogradRows(const sscaffe::WinogradStrip& s, int rows, const float* zeros) {
        for (int r = 0; r < kWinogradPoints; ++r) {
            const int64_t y = s.top + r;
            const bool inside = r < rows && y >= 0 && y < s.height;
            row[r] = inside ? s.image + y * s.row_step : zeros;
            step[r] = inside ? s.pixel_step : 0;
        }
    }
};

constexpr int kWinogradChunk = 8;  // tiles whose columns stay in the nearest cache

template <bool kWhole>
void winograd_scatter_as(const sscaffe::WinogradStrip& s) {
    alignas(kVectorBytes) static const float zeros[kLanes<float>] = {};
    const WinogradRows rows(s, kWinogradPoints, zeros);
    const int64_t point_step = s.point_step, stride = s.stride;
    // The rows that the next strip will add to those of this one.
    const int64_t next = s.top + kWinogradPoints + stride <= s.height ? s.top + kWinogradPoints : 0;
    const float* ahead = s.image + next * s.row_step;
    WinogradLine columns[4 * (kWinogradChunk - 1) + kWinogradPoints];
    for (int64_t first = 0; first < s.tiles; first += kWinogradChunk) {
        const int64_t tiles = s.tiles - first < kWinogradChunk ? s.tiles - first : kWinogradChunk;
        const int64_t left = s.left + first * stride;
        const int64_t count = stride * (tiles - 1) + kWinogradPoints;
        for (int64_t i = 0; i < count; ++i) {
            const int64_t x = left + i;
            WinogradLine line = {};
            if (x >= 0 && x < s.width) {
#pragma GCC unroll 6
                for (int r = 0; r < kWinogradPoints; ++r)
                    line[r] = load_channels<kWhole>(rows.row[r] + x * rows.step[r], s.channels);
                for (int64_t r = 0; r < stride; ++r)
                    __builtin_prefetch(ahead + r * s.row_step + x * s.pixel_step);
            }
            winograd_scatter_line(line, columns[i]);
        }
        for (int64_t t = 0; t < tiles; ++t) {
            float* points = s.points + (first + t) * s.tile_step;
            const WinogradLine* tile = columns + t * stride;
#pragma GCC unroll 6
            for (int r = 0; r < kWinogradPoints; ++r) {
                WinogradLine line, out;
#pragma GCC unroll 6
                for (int i = 0; i < kWinogradPoints; ++i) line[i] = tile[i][r];
                winograd_scatter_line(line, out);
#pragma GCC unroll 6
                for (int i = 0; i < kWinogradPoints; ++i, points += point_step)
                    store(out[i], points);
            }
        }
    }
}

void winograd_scatter(const sscaffe::WinogradStrip& s) {
    s.channels == kLanes<float> ? winograd_scatter_as<true>(s) : winograd_scatter_as<false>(s);
}

template <int kTile, bool kWhole>
void winograd_spread_as(const sscaffe::WinogradStrip& s, float* sums) {
    alignas(kVectorBytes) static const float zeros[kLanes<float>] = {};
    const WinogradRows rows(s, kTile, zeros);
    const int64_t point_step = s.point_step;
    Vector<float> sum = load(sums);
    for (int64_t t = 0; t < s.tiles; ++t) {
        Vector<float> lines[kWinogradPoints][kTile];
#pragma GCC unroll 4
        for (int i = 0; i < kTile; ++i) {
            const int64_t x = s.left + t * s.stride + i;
            Vector<float> line[kTile] = {};
            WinogradLine out;
            if (x >= 0 && x < s.width) {
#pragma GCC unroll 4
                for (int r = 0; r < kTile; ++r)
                    line[r] = load_channels<kWhole>(rows.row[r] + x * rows.step[r], s.channels);
            }
            winograd_spread_line<kTile>(line, out);
#pragma GCC unroll 6
            for (int r = 0; r < kWinogradPoints; ++r) lines[r][i] = out[r];
        }
        float* points = s.points + t * s.tile_step;
#pragma GCC unroll 6
        for (int r = 0; r < kWinogradPoints; ++r) {
            WinogradLine out;
            winograd_spread_line<kTile>(lines[r], out);
            // The polynomial at 1 is the sum of its coefficients.
            if (r == 1) sum += out[1];
#pragma GCC unroll 6
            for (int i = 0; i < kWinogradPoints; ++i, points += point_step) store(out[i], points);
        }
    }
    store(sum, sums);
}

template <int kTile>
void winograd_spread(const sscaffe::WinogradStrip& s, float* sums) {
    s.channels == kLanes<float> ? winograd_spread_as<kTile, true>(s, sums)
                                : winograd_spread_as<kTile, false>(s, sums);
}

template <int kTile, bool kWhole>
void winograd_gather_as(const sscaffe::WinogradStrip& s, const float* bias, bool add, bool relu) {
    const Vector<float> start = load(bias);
    const Vector<float> zero{};
    const int64_t point_step = s.point_step;
    for (int64_t t = 0; t < s.tiles; ++t) {
        const float* points = s.points + t * s.tile_step;
        WinogradLine lines[kTile];
#pragma GCC unroll 6
        for (int i = 0; i < kWinogradPoints; ++i, points += point_step) {
            WinogradLine line;
            Vector<float> out[kTile];
#pragma GCC unroll 6
            for (int r = 0; r < kWinogradPoints; ++r)
                line[r] = load(points + kWinogradPoints * r * point_step);
            winograd_gather_line<kTile>(line, out);
#pragma GCC unroll 4
            for (int r = 0; r < kTile; ++r) lines[r][i] = out[r];
        }
        const int64_t left = s.left + t * s.stride;
#pragma GCC unroll 4
        for (int r = 0; r < kTile; ++r) {
            Vector<float> out[kTile];
            winograd_gather_line<kTile>(lines[r], out);
            if (s.top + r >= s.height) break;
            float* row = s.image + (s.top + r) * s.row_step + left * s.pixel_step;
#pragma GCC unroll 4
            for (int i = 0; i < kTile; ++i) {
                if (left + i >= s.width) break;
                float* place = row + i * s.pixel_step;
                Vector<float> value = out[i] + start;
                if (add) value += load_channels<kWhole>(place, s.channels);
                if (relu) value = value < zero ? zero : value;
                store_channels<kWhole>(value, place, s.channels);
            }
        }
    }
}

template <int kTile>
void winograd_gather(const sscaffe::WinogradStrip& s, const float* bias, bool add, bool relu) {
    s.channels == kLanes<float> ? winograd_gather_as<kTile, true>(s, bias, add, relu)
                                : winograd_gather_as<kTile, false>(s, bias, add, relu);
}

}  // namespace
