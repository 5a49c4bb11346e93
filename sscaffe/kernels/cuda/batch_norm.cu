// BatchNorm: each channel of an array (rows, channels, inner) to mean 0 and variance 1.
#include "channels.cuh"

// y = (x - from) * times + plus of a channel, and 0 instead of less where it is rectified.
struct Normal {
    Real from, times, plus;
    bool rectify;

    // After the normalization by these statistics, factor and bias; nullptr stands for 1 and for 0.
    __device__ Normal(Real mean, Real inverse_std, const Real* factor, const Real* bias,
                      int rectify, int channel)
        : from(mean),
          times(factor ? inverse_std * factor[channel] : inverse_std),
          plus(bias ? bias[channel] : Real(0)),
          rectify(rectify) {}

    // One rounding whoever asks, so that y and its gradient agree on what is rectified.
    __device__ Real affine(Real x) const { return fma(x - from, times, plus); }
    __device__ Real operator()(Real x) const {
        const Real y = affine(x);
        return rectify && y < Real(0) ? Real(0) : y;
    }
    // What of the gradient passes.
    __device__ Real passed(Real x, Real dy) const {
        return rectify && !(affine(x) > Real(0)) ? Real(0) : dy;
    }
};

// Sums of x - shift and of its square, for each chunk; the shift is the channel's first element.
//
//   shift  [channels]          overwritten
//   parts  [channels][chunks]  overwritten
//
// A thread sums differences from its own first element in Real, which are few and lose nothing; all
// threads' sums are moved to the one shift in double, and added up in double.
extern "C" __global__ void batch_norm_sums(const Real* x, Real* shift, Sums* parts, int rows,
                                           int channels, int inner, int chunks, int per_thread) {
    const Split s{rows, channels, inner, chunks, per_thread};
    const Real base = x[(size_t)s.channel() * inner];
    Real own = base, first = Real(0), second = Real(0);
    int count = 0;
    for_each_pack(s, s.is_wide(x), [&](auto pack, size_t at) {
        load(x + at, pack);
        if (count == 0) own = pack.at[0];
#pragma unroll
        for (int k = 0; k < pack.width; ++k) {
            const Real difference = pack.at[k] - own;
            first += difference;
            second += difference * difference;
        }
        count += pack.width;
    });
    const double away = double(own) - double(base), sum = double(first);
    const double squares = double(second) + 2 * away * sum + count * away * away;
    keep_sums(sums_of_block(sum + count * away, squares), parts);
    if (s.chunk() == 0 && threadIdx.x == 0) shift[s.channel()] = base;
}

// y = after((x - mean) / sqrt(variance + eps)), from what batch_norm_sums left; y may be x.
//
//   factor, bias [channels]  of what is done after it, as is rectify; see Normal
//   saved        like x, overwritten by x; or nullptr
//   mean, variance, inverse_std  [channels]  overwritten
//   sum_mean, sum_variance       [channels]  moving sums: sum = fraction * sum + statistic
//   sum_weight                   [1]         likewise, of 1
extern "C" __global__ void batch_norm_forward(const Real* x, Real* y, Real* saved,
                                              const Real* shift, const Sums* parts, Real eps,
                                              const Real* factor, const Real* bias, int rectify,
                                              Real* mean, Real* variance, Real* inverse_std,
                                              Real* sum_mean, Real* sum_variance, Real* sum_weight,
                                              Real fraction, Real correction, int rows,
                                              int channels, int inner, int chunks,
                                              int per_thread) {
    const Split s{rows, channels, inner, chunks, per_thread};
    const int c = s.channel();
    const Sums sums = sums_of_channel(parts, c, chunks);
    const double away = sums.first / s.count();
    const double spread = sums.second / s.count() - away * away;
    const double positive = spread < 0 ? 0 : spread;  // not fmax, which would make 0 of NaN
    const Real from = Real(double(shift[c]) + away);
    const Real times = Real(1 / sqrt(positive + double(eps)));
    if (s.chunk() == 0 && threadIdx.x == 0) {
        mean[c] = from;
        variance[c] = Real(positive);
        inverse_std[c] = times;
        sum_mean[c] = sum_mean[c] * fraction + from;
        sum_variance[c] = sum_variance[c] * fraction + correction * Real(positive);
        if (c == 0) *sum_weight = *sum_weight * fraction + Real(1);
    }
    const Normal normal(from, times, factor, bias, rectify, c);
    const bool wide = s.is_wide(x) && s.is_wide(y) && s.is_wide(saved);
    for_each_pack(s, wide, [&](auto pack, size_t at) {
        load(x + at, pack);
        if (saved) store(pack, saved + at);
#pragma unroll
        for (int k = 0; k < pack.width; ++k) pack.at[k] = normal(pack.at[k]);
        store(pack, y + at);
    });
}

// Sums of dy and of dy * (x - mean), for each chunk; dy counts where y was not rectified.
extern "C" __global__ void batch_norm_products(const Real* x, const Real* dy, const Real* mean,
                                               const Real* inverse_std, const Real* factor,
                                               const Real* bias, int rectify, Sums* parts, int rows,
                                               int channels, int inner, int chunks,
                                               int per_thread) {
    const Split s{rows, channels, inner, chunks, per_thread};
    const int c = s.channel();
    const Normal normal(mean[c], inverse_std[c], factor, bias, rectify, c);
    Real first = Real(0), second = Real(0);
    for_each_pack(s, s.is_wide(x) && s.is_wide(dy), [&](auto pack, size_t at) {
        auto gradient = pack;
        load(x + at, pack);
        load(dy + at, gradient);
#pragma unroll
        for (int k = 0; k < pack.width; ++k) {
            const Real passed = normal.passed(pack.at[k], gradient.at[k]);
            first += passed;
            second += passed * (pack.at[k] - normal.from);
        }
    });
    keep_sums(sums_of_block(double(first), double(second)), parts);
}

// dx = (dy - mean(dy) - n mean(n dy)) * inverse_std * factor, with n what was normalized, from what
// batch_norm_products left; dx may be dy.
//
//   factor_diff, bias_diff  [channels]  sum(n dy) and sum(dy) are added to them; or nullptr
extern "C" __global__ void batch_norm_backward(const Real* x, const Real* dy, Real* dx,
                                               const Real* mean, const Real* inverse_std,
                                               const Real* factor, const Real* bias, int rectify,
                                               Real* factor_diff, Real* bias_diff,
                                               const Sums* parts, int rows, int channels, int inner,
                                               int chunks, int per_thread) {
    const Split s{rows, channels, inner, chunks, per_thread};
    const int c = s.channel();
    const Sums sums = sums_of_channel(parts, c, chunks);
    const Normal normal(mean[c], inverse_std[c], factor, bias, rectify, c);
    const double inverse = double(inverse_std[c]), gain = factor ? double(factor[c]) : 1;
    const Real shift = Real(sums.first / s.count());
    const Real of_x = Real(-gain * inverse * inverse * inverse * sums.second / s.count());
    if (s.chunk() == 0 && threadIdx.x == 0) {
        if (factor_diff) factor_diff[c] += Real(inverse * sums.second);
        if (bias_diff) bias_diff[c] += Real(sums.first);
    }
    const bool wide = s.is_wide(x) && s.is_wide(dy) && s.is_wide(dx);
    for_each_pack(s, wide, [&](auto pack, size_t at) {
        auto gradient = pack;
        load(x + at, pack);
        load(dy + at, gradient);
#pragma unroll
        for (int k = 0; k < pack.width; ++k) {
            const Real passed = normal.passed(pack.at[k], gradient.at[k]);
            gradient.at[k] = (passed - shift) * normal.times + (pack.at[k] - normal.from) * of_x;
        }
        store(gradient, dx + at);
    });
}

// y = (x - mean) / sqrt(variance + eps), of moving sums over their weight; y may be x. Without
// sum_mean the mean is 0.
extern "C" __global__ void batch_norm_by_sums(const Real* x, Real* y, const Real* sum_mean,
                                              const Real* sum_variance, const Real* sum_weight,
                                              Real eps, int rows, int channels, int inner,
                                              int chunks, int per_thread) {
    const Split s{rows, channels, inner, chunks, per_thread};
    const int c = s.channel();
    const Real share = *sum_weight == Real(0) ? Real(0) : Real(1) / *sum_weight;
    const Real from = sum_mean ? sum_mean[c] * share : Real(0);
    const Real times = Real(1) / sqrt(sum_variance[c] * share + eps);
    for_each_pack(s, s.is_wide(x) && s.is_wide(y), [&](auto pack, size_t at) {
        load(x + at, pack);
#pragma unroll
        for (int k = 0; k < pack.width; ++k) pack.at[k] = (pack.at[k] - from) * times;
        store(pack, y + at);
    });
}
