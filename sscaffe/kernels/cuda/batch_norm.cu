// BatchNorm: each channel of an array (rows, channels, inner) to mean 0 and variance 1.
#include "channels.cuh"

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

// y = (x - mean) / sqrt(variance + eps), from what batch_norm_sums left; y may be x.
//
//   saved        like x, overwritten by x; or nullptr
//   mean, variance, inverse_std  [channels]  overwritten
//   sum_mean, sum_variance       [channels]  moving sums: sum = fraction * sum + statistic
//   sum_weight                   [1]         likewise, of 1
extern "C" __global__ void batch_norm_forward(const Real* x, Real* y, Real* saved,
                                              const Real* shift, const Sums* parts, Real eps,
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
    const bool wide = s.is_wide(x) && s.is_wide(y) && s.is_wide(saved);
    for_each_pack(s, wide, [&](auto pack, size_t at) {
        load(x + at, pack);
        if (saved) store(pack, saved + at);
#pragma unroll
        for (int k = 0; k < pack.width; ++k) pack.at[k] = (pack.at[k] - from) * times;
        store(pack, y + at);
    });
}

// Sums of dy and of dy * (x - mean), for each chunk.
extern "C" __global__ void batch_norm_products(const Real* x, const Real* dy, const Real* mean,
                                               Sums* parts, int rows, int channels, int inner,
                                               int chunks, int per_thread) {
    const Split s{rows, channels, inner, chunks, per_thread};
    const Real from = mean[s.channel()];
    Real first = Real(0), second = Real(0);
    for_each_pack(s, s.is_wide(x) && s.is_wide(dy), [&](auto pack, size_t at) {
        auto gradient = pack;
        load(x + at, pack);
        load(dy + at, gradient);
#pragma unroll
        for (int k = 0; k < pack.width; ++k) {
            first += gradient.at[k];
            second += gradient.at[k] * (pack.at[k] - from);
        }
    });
    keep_sums(sums_of_block(double(first), double(second)), parts);
}

// dx = (dy - mean(dy) - y mean(y dy)) * inverse_std, from what batch_norm_products left; dx may be
// dy.
extern "C" __global__ void batch_norm_backward(const Real* x, const Real* dy, Real* dx,
                                               const Real* mean, const Real* inverse_std,
                                               const Sums* parts, int rows, int channels, int inner,
                                               int chunks, int per_thread) {
    const Split s{rows, channels, inner, chunks, per_thread};
    const int c = s.channel();
    const Sums sums = sums_of_channel(parts, c, chunks);
    const Real from = mean[c], times = inverse_std[c];
    const double inverse = double(times);
    const Real shift = Real(sums.first / s.count());
    const Real factor = Real(-inverse * inverse * inverse * sums.second / s.count());
    const bool wide = s.is_wide(x) && s.is_wide(dy) && s.is_wide(dx);
    for_each_pack(s, wide, [&](auto pack, size_t at) {
        auto gradient = pack;
        load(x + at, pack);
        load(dy + at, gradient);
#pragma unroll
        for (int k = 0; k < pack.width; ++k) {
            gradient.at[k] = (gradient.at[k] - shift) * times + (pack.at[k] - from) * factor;
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
