// Local response normalization: y = x * scale^-beta.
//
// `share` is alpha over the size of the window, `gradient` is 2 * share * beta.
#include "common.cuh"

// scale^-beta
inline __device__ Real power_of(Real scale, Real beta) {
    // Nearly every net's beta, and two roots are many times faster than a power.
    if (beta == Real(0.75)) {
        const Real root = rsqrt(scale);
        return root * sqrt(root);
    }
    return pow(scale, -beta);
}

// The position of a thread, and the channels it goes over: `segment` of them.
struct Run {
    long long start;  // of channel 0 at this position
    int first, last;
};

inline __device__ Run run_of(int i, int channels, int spatial, int segment) {
    const int segments = (channels + segment - 1) / segment;
    const int group = i / spatial, image = group / segments;
    const int first = (group - image * segments) * segment;
    return {static_cast<long long>(image) * channels * spatial + (i - group * spatial), first,
            min(first + segment, channels)};
}

// Windows of kSize channels, an odd number, whose squares stay in registers.
template <int kSize>
__device__ void across_forward_run(const Run& run, int channels, int spatial, const Real* x,
                                   Real* scale, Real* y, Real share, Real beta, Real k) {
    constexpr int kHalf = kSize / 2;
    Real values[kSize];
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
        const int c = run.first - kHalf - 1 + i;
        const bool inside = c >= 0 && c < channels;
        values[i] = inside ? x[run.start + static_cast<long long>(c) * spatial] : Real(0);
    }
    for (int c = run.first; c < run.last; ++c) {
#pragma unroll
        for (int i = 0; i + 1 < kSize; ++i) values[i] = values[i + 1];
        const long long at = run.start + static_cast<long long>(c) * spatial;
        values[kSize - 1] = c + kHalf < channels ? x[at + kHalf * spatial] : Real(0);
        Real sum = 0;
#pragma unroll
        for (int i = 0; i < kSize; ++i) sum += values[i] * values[i];
        sum = k + share * sum;
        scale[at] = sum;
        y[at] = values[kHalf] * power_of(sum, beta);
    }
}

extern "C" __global__ void across_forward(int count, int channels, int spatial, int segment,
                                          int size, const Real* x, Real* scale, Real* y, Real share,
                                          Real beta, Real k) {
    FOR_EACH(i, count) {
        const Run run = run_of(i, channels, spatial, segment);
        if (size == 5) {
            across_forward_run<5>(run, channels, spatial, x, scale, y, share, beta, k);
            continue;
        }
        const int before = (size - 1) / 2;
        for (int c = run.first; c < run.last; ++c) {
            const int last = min(c - before + size, channels);
            Real sum = 0;
            for (int other = max(c - before, 0); other < last; ++other) {
                const Real value = x[run.start + static_cast<long long>(other) * spatial];
                sum += value * value;
            }
            sum = k + share * sum;
            const long long at = run.start + static_cast<long long>(c) * spatial;
            scale[at] = sum;
            y[at] = x[at] * power_of(sum, beta);
        }
    }
}

// What one channel gives to the gradient of those around it, and its own part of it.
struct Parts {
    Real value, diff, ratio;  // x, dy * scale^-beta, diff * x / scale
};

inline __device__ Parts parts_at(long long at, const Real* x, const Real* scale, const Real* dy,
                                 Real beta) {
    const Real value = x[at], base = scale[at], diff = dy[at] * power_of(base, beta);
    return {value, diff, diff * value / base};
}

template <int kSize>
__device__ void across_backward_run(const Run& run, int channels, int spatial, const Real* x,
                                    const Real* scale, const Real* dy, Real* dx, Real beta,
                                    Real gradient) {
    constexpr int kHalf = kSize / 2;
    Parts parts[kSize];
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
        const int c = run.first - kHalf - 1 + i;
        parts[i] = {0, 0, 0};
        if (c >= 0 && c < channels) {
            parts[i] =
                parts_at(run.start + static_cast<long long>(c) * spatial, x, scale, dy, beta);
        }
    }
    for (int c = run.first; c < run.last; ++c) {
#pragma unroll
        for (int i = 0; i + 1 < kSize; ++i) parts[i] = parts[i + 1];
        const long long at = run.start + static_cast<long long>(c) * spatial;
        parts[kSize - 1] = {0, 0, 0};
        if (c + kHalf < channels) {
            parts[kSize - 1] = parts_at(at + kHalf * spatial, x, scale, dy, beta);
        }
        Real sum = 0;
#pragma unroll
        for (int i = 0; i < kSize; ++i) sum += parts[i].ratio;
        dx[at] = parts[kHalf].diff - gradient * parts[kHalf].value * sum;
    }
}

extern "C" __global__ void across_backward(int count, int channels, int spatial, int segment,
                                           int size, const Real* x, const Real* scale,
                                           const Real* dy, Real* dx, Real beta, Real gradient) {
    FOR_EACH(i, count) {
        const Run run = run_of(i, channels, spatial, segment);
        if (size == 5) {
            across_backward_run<5>(run, channels, spatial, x, scale, dy, dx, beta, gradient);
            continue;
        }
        const int before = (size - 1) / 2, after = size - 1 - before;
        for (int c = run.first; c < run.last; ++c) {
            const int last = min(c + before + 1, channels);
            Real sum = 0;
            for (int other = max(c - after, 0); other < last; ++other) {
                const long long there = run.start + static_cast<long long>(other) * spatial;
                sum += parts_at(there, x, scale, dy, beta).ratio;
            }
            const long long at = run.start + static_cast<long long>(c) * spatial;
            const Parts own = parts_at(at, x, scale, dy, beta);
            dx[at] = own.diff - gradient * own.value * sum;
        }
    }
}

// Call fn(place) for the elements of a square around element i of planes.
template <typename Function>
__device__ void for_each_around(int i, int height, int width, int size, const Function& fn) {
    const int row = i / width, column = i - row * width, y = row % height, half = size / 2;
    const int first = max(column - half, 0), last = min(column + half + 1, width);
    for (int other = max(y - half, 0); other < min(y + half + 1, height); ++other) {
        const int start = (row - y + other) * width;
        for (int x = first; x < last; ++x) fn(start + x);
    }
}

extern "C" __global__ void within_forward(int count, int height, int width, int size, const Real* x,
                                          Real* scale, Real* y, Real share, Real beta, Real k) {
    FOR_EACH(i, count) {
        Real sum = 0;
        for_each_around(i, height, width, size, [&](int at) { sum += x[at] * x[at]; });
        sum = k + share * sum;
        scale[i] = sum;
        y[i] = x[i] * power_of(sum, beta);
    }
}

extern "C" __global__ void within_ratios(int count, const Real* x, const Real* scale,
                                         const Real* dy, Real* ratios, Real beta) {
    FOR_EACH(i, count) ratios[i] = parts_at(i, x, scale, dy, beta).ratio;
}

extern "C" __global__ void within_backward(int count, int height, int width, int size,
                                           const Real* x, const Real* scale, const Real* dy,
                                           const Real* ratios, Real* dx, Real beta, Real gradient) {
    FOR_EACH(i, count) {
        Real sum = 0;
        for_each_around(i, height, width, size, [&](int at) { sum += ratios[at]; });
        dx[i] = dy[i] * power_of(scale[i], beta) - gradient * x[i] * sum;
    }
}
