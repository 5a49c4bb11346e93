#pragma once

// Included by vector_body.h: the loops of lrn.cpp, for some positions of one image, or one plane.

#include <cstdint>

namespace {

// x^exponent for a normal x, where the result is normal too; within 1e-6 of it for exponents and
// logarithms of one digit, and the same bits for any instruction set.
inline float power_of(float x, float exponent) {
    // x = mantissa * 2^whole, the mantissa from the square root of a half to that of 2.
    int32_t bits;
    __builtin_memcpy(&bits, &x, sizeof(bits));
    const int32_t whole = (bits - 0x3f3504f3) >> 23;
    bits -= whole * (1 << 23);
    float mantissa;
    __builtin_memcpy(&mantissa, &bits, sizeof(mantissa));
    // log2 of the mantissa by the series of the inverse hyperbolic tangent.
    const float ratio = (mantissa - 1) / (mantissa + 1), square = ratio * ratio;
    float logarithm = 0.320598898f;
    logarithm = logarithm * square + 0.412198583f;
    logarithm = logarithm * square + 0.577078016f;
    logarithm = logarithm * square + 0.961796694f;
    logarithm = (logarithm * square + 2.885390082f) * ratio;
    const float of_whole = exponent * static_cast<float>(whole);
    constexpr float kRounding = 12582912.0f;  // 1.5 * 2^23
    const float rounded = (of_whole + exponent * logarithm + kRounding) - kRounding;
    const float rest = ((of_whole - rounded) + exponent * logarithm) * 0.693147181f;
    float sum = 1 / 5040.0f;
    sum = sum * rest + 1 / 720.0f;
    sum = sum * rest + 1 / 120.0f;
    sum = sum * rest + 1 / 24.0f;
    sum = sum * rest + 1 / 6.0f;
    sum = sum * rest + 0.5f;
    sum = (sum * rest + 1) * rest + 1;
    bits = (static_cast<int32_t>(rounded) + 127) * (1 << 23);
    float scale;
    __builtin_memcpy(&scale, &bits, sizeof(scale));
    return sum * scale;
}

// Whether power_of may be asked: x^exponent for all x lies well within the normal numbers.
bool all_powers_are_normal(int64_t n, const float* x, float exponent) {
    // x from 2^-limit to 2^limit; a comparison with NaN is false.
    const float limit = 120 / (1 + __builtin_fabsf(exponent));
    const float least = __builtin_exp2f(-limit), most = __builtin_exp2f(limit);
    int odd = 0;
#pragma omp simd reduction(| : odd)
    for (int64_t i = 0; i < n; ++i) odd |= !(x[i] >= least) | !(x[i] <= most);
    return odd == 0;
}

// y = factor * scale^-beta; y may be scale or factor
void times_power(int64_t n, const float* factor, const float* scale, float beta, float* y) {
    if (beta == 0.75f) {
        // Nearly every net's beta, and two square roots are many times faster than a power.
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) {
            const float root = __builtin_sqrtf(scale[i]);
            y[i] = factor[i] / (root * __builtin_sqrtf(root));
        }
        return;
    }
    if (all_powers_are_normal(n, scale, -beta)) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) y[i] = factor[i] * power_of(scale[i], -beta);
        return;
    }
    for (int64_t i = 0; i < n; ++i) y[i] = factor[i] * __builtin_powf(scale[i], -beta);
}

// What is summed, and what becomes of a sum.
constexpr auto itself = [](float value) { return value; };
constexpr auto squared = [](float value) { return value * value; };
inline auto scale_of(const sscaffe::LrnFactors& f) {
    return [k = f.k, share = f.share](float sum) { return k + share * sum; };
}

// See sum_window: as many terms as the compiler knows of.
template <int kCount, typename Term, typename Finish>
void sum_at_once(int64_t n, int64_t step, const float* values, float* sums, const Term& term,
                 const Finish& finish) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        float sum = term(values[i]);
        for (int k = 1; k < kCount; ++k) sum += term(values[i + k * step]);
        sums[i] = finish(sum);
    }
}

// sums[i] = finish(term(values[i]) + term(values[i + step]) + ...), `count` of them
template <typename Term, typename Finish>
void sum_window(int64_t n, int64_t count, int64_t step, const float* values, float* sums,
                const Term& term, const Finish& finish) {
    if (count == 2) return sum_at_once<2>(n, step, values, sums, term, finish);
    if (count == 3) return sum_at_once<3>(n, step, values, sums, term, finish);
    if (count == 5) return sum_at_once<5>(n, step, values, sums, term, finish);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) sums[i] = term(values[i]);
    for (int64_t k = 1; k < count; ++k) {
        const float* shifted = values + k * step;
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) sums[i] += term(shifted[i]);
    }
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) sums[i] = finish(sums[i]);
}

void sum_window(int64_t n, int64_t count, int64_t step, const float* values, float* sums) {
    sum_window(n, count, step, values, sums, itself, itself);
}

// ratio = diff * x / scale, where diff = dy * scale^-beta
void make_ratios(int64_t n, const float* diff, const float* x, const float* scale, float* ratio) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) ratio[i] = diff[i] * x[i] / scale[i];
}

// dx -= factor * x * sums
void subtract_products(int64_t n, float factor, const float* x, const float* sums, float* dx) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) dx[i] -= factor * x[i] * sums[i];
}

// See LrnKernels::forward.
void lrn_forward(const sscaffe::LrnPiece& s, const sscaffe::LrnFactors& f, const float* x,
                 float* scale, float* y) {
    for (int64_t c = 0; c < s.channels; ++c) {
        const int64_t first = c < s.before ? 0 : c - s.before;
        const int64_t stop = c + s.size - s.before;
        const int64_t last = stop < s.channels ? stop : s.channels;
        float* sums = scale + c * s.stride;
        sum_window(s.positions, last - first, s.stride, x + first * s.stride, sums, squared,
                   scale_of(f));
        times_power(s.positions, x + c * s.stride, sums, f.beta, y + c * s.stride);
    }
}

// See LrnKernels::backward.
void lrn_backward(const sscaffe::LrnPiece& s, const sscaffe::LrnFactors& f, const float* x,
                  const float* scale, const float* dy, float* dx, float* room) {
    for (int64_t c = 0; c < s.channels; ++c) {
        const int64_t at = c * s.stride;
        times_power(s.positions, dy + at, scale + at, f.beta, dx + at);
        make_ratios(s.positions, dx + at, x + at, scale + at, room + c * s.positions);
    }
    const int64_t after = s.size - 1 - s.before;
    float* sums = room + s.channels * s.positions;
    for (int64_t c = 0; c < s.channels; ++c) {
        const int64_t first = c < after ? 0 : c - after, stop = c + s.before + 1;
        const int64_t last = stop < s.channels ? stop : s.channels;
        sum_window(s.positions, last - first, s.positions, room + first * s.positions, sums);
        subtract_products(s.positions, f.gradient, x + c * s.stride, sums, dx + c * s.stride);
    }
}

// A number known to the compiler.
template <int64_t kValue>
struct Constant {
    constexpr operator int64_t() const { return kValue; }
};

// Call fn(place in the array, place in the rows, block) for the blocks of all positions; a row has
// the channels of a position.
template <typename Function>
inline void for_each_block(const sscaffe::LrnRows& r, const Function& fn) {
    for (int64_t g = 0; g < r.groups; ++g) {
        for (int64_t p = 0; p < r.positions; ++p) {
            const int64_t at = g * r.stride + p * r.block, place = p * r.width + g * r.block;
            if (r.block == 16) {
                fn(at, place, Constant<16>());
            } else {
                fn(at, place, r.block);
            }
        }
    }
}

// See LrnKernels::rows_forward.
void lrn_rows_forward(const sscaffe::LrnRows& r, const sscaffe::LrnFactors& f, const float* x,
                      float* scale, float* y, float* room) {
    const int64_t n = r.positions * r.width;
    float *squares = room, *sums = room + r.capacity + r.size, *powers = sums + r.capacity;
    for_each_block(r, [&](int64_t at, int64_t place, auto block) {
        const float* source = x + at;
        float* target = squares + r.before + place;
#pragma omp simd
        for (int64_t b = 0; b < block; ++b) target[b] = source[b] * source[b];
    });
    sum_window(n, r.size, 1, squares, sums, itself, scale_of(f));
    for (int64_t i = 0; i < n; ++i) powers[i] = 1;
    times_power(n, powers, sums, f.beta, powers);
    for_each_block(r, [&](int64_t at, int64_t place, auto block) {
        const float *source = x + at, *sum = sums + place, *power = powers + place;
        float *scales = scale + at, *target = y + at;
#pragma omp simd
        for (int64_t b = 0; b < block; ++b) {
            scales[b] = sum[b];
            target[b] = source[b] * power[b];
        }
    });
}

// See LrnKernels::rows_backward.
void lrn_rows_backward(const sscaffe::LrnRows& r, const sscaffe::LrnFactors& f, const float* x,
                       const float* scale, const float* dy, float* dx, float* room) {
    const int64_t n = r.positions * r.width, after = r.size - 1 - r.before;
    float *ratios = room, *values = room + r.capacity + r.size, *scales = values + r.capacity,
          *diffs = scales + r.capacity, *sums = diffs + r.capacity;
    for (int64_t i = 0; i < n; ++i) values[i] = diffs[i] = 0;
    // Between the rows too, so that nothing is divided by 0.
    for (int64_t i = 0; i < n; ++i) scales[i] = 1;
    for_each_block(r, [&](int64_t at, int64_t place, auto block) {
#pragma omp simd
        for (int64_t b = 0; b < block; ++b) {
            values[place + b] = x[at + b];
            scales[place + b] = scale[at + b];
            diffs[place + b] = dy[at + b];
        }
    });
    times_power(n, diffs, scales, f.beta, diffs);
    make_ratios(n, diffs, values, scales, ratios + after);
    sum_window(n, r.size, 1, ratios, sums);
    subtract_products(n, f.gradient, values, sums, diffs);
    for_each_block(r, [&](int64_t at, int64_t place, auto block) {
#pragma omp simd
        for (int64_t b = 0; b < block; ++b) dx[at + b] = diffs[place + b];
    });
}

// Rows [first, last) around row y of a plane.
struct RowsAround {
    int64_t first, last;
};

RowsAround rows_around(const sscaffe::LrnPlane& p, int64_t y) {
    const int64_t half = p.size / 2, stop = y + half + 1;
    return {y < half ? 0 : y - half, stop < p.height ? stop : p.height};
}

// See LrnKernels::within_forward.
void lrn_within_forward(const sscaffe::LrnPlane& p, const sscaffe::LrnFactors& f, const float* x,
                        float* scale, float* y, float* room) {
    const int64_t n = p.width * p.block;
    float* inside = room + p.size / 2 * p.block;
    // Short rows are finished several at a time.
    constexpr int64_t kTogether = 1024;
    const int64_t most = n < kTogether ? kTogether / n : 1;
    for (int64_t begin = 0; begin < p.height; begin += most) {
        const int64_t end = begin + most < p.height ? begin + most : p.height;
        for (int64_t row = begin; row < end; ++row) {
            const RowsAround rows = rows_around(p, row);
            sum_window(n, rows.last - rows.first, n, x + rows.first * n, inside, squared, itself);
            sum_window(n, p.size, p.block, room, scale + row * n, itself, scale_of(f));
        }
        const int64_t at = begin * n, count = (end - begin) * n;
        times_power(count, x + at, scale + at, f.beta, y + at);
    }
}

// See LrnKernels::within_backward.
void lrn_within_backward(const sscaffe::LrnPlane& p, const sscaffe::LrnFactors& f, const float* x,
                         const float* scale, const float* dy, float* dx, float* room) {
    const int64_t n = p.width * p.block, margin = p.size / 2 * p.block;
    float *inside = room + margin, *sums = inside + n + margin, *ratios = sums + n;
    times_power(p.height * n, dy, scale, f.beta, dx);
    make_ratios(p.height * n, dx, x, scale, ratios);
    for (int64_t row = 0; row < p.height; ++row) {
        const RowsAround rows = rows_around(p, row);
        sum_window(n, rows.last - rows.first, n, ratios + rows.first * n, inside);
        sum_window(n, p.size, p.block, room, sums);
        subtract_products(n, f.gradient, x + row * n, sums, dx + row * n);
    }
}

}  // namespace
