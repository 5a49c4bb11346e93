// Scale: a factor and a bias for each channel of an array (rows, channels, inner).
#include "channels.cuh"

// y = x * factor + bias; y may be x.
//
//   saved   like x, overwritten by x; or nullptr
//   factor  [channels]; nullptr stands for 1
//   bias    [channels]; nullptr stands for 0
extern "C" __global__ void scale_forward(const Real* x, Real* y, Real* saved, const Real* factor,
                                         const Real* bias, int rows, int channels, int inner,
                                         int chunks, int per_thread) {
    const Split s{rows, channels, inner, chunks, per_thread};
    const Real times = factor ? factor[s.channel()] : Real(1);
    const Real plus = bias ? bias[s.channel()] : Real(0);
    const bool wide = s.is_wide(x) && s.is_wide(y) && s.is_wide(saved);
    for_each_pack(s, wide, [&](auto pack, size_t at) {
        load(x + at, pack);
        if (saved) store(pack, saved + at);
#pragma unroll
        for (int k = 0; k < pack.width; ++k) pack.at[k] = pack.at[k] * times + plus;
        store(pack, y + at);
    });
}

// dx = dy * factor, and for each chunk the sums of dy and of dy * x; dx may be dy.
//
//   x, parts  nullptr where no sums are wanted; x alone where only those of dy are
//   dx        or nullptr
extern "C" __global__ void scale_backward(const Real* x, const Real* dy, Real* dx,
                                          const Real* factor, Sums* parts, int rows, int channels,
                                          int inner, int chunks, int per_thread) {
    const Split s{rows, channels, inner, chunks, per_thread};
    const Real times = factor ? factor[s.channel()] : Real(1);
    Real first = Real(0), second = Real(0);
    const bool wide = s.is_wide(x) && s.is_wide(dy) && s.is_wide(dx);
    for_each_pack(s, wide, [&](auto pack, size_t at) {
        auto input = pack;
        load(dy + at, pack);
        if (x) load(x + at, input);
#pragma unroll
        for (int k = 0; k < pack.width; ++k) {
            first += pack.at[k];
            if (x) second += pack.at[k] * input.at[k];
            pack.at[k] *= times;
        }
        if (dx) store(pack, dx + at);
    });
    if (parts) keep_sums(sums_of_block(double(first), double(second)), parts);
}

// Add the sums that scale_backward left to the diffs, one block for each channel.
//
//   factor_diff, bias_diff  [channels], or nullptr
extern "C" __global__ void scale_diffs(const Sums* parts, Real* factor_diff, Real* bias_diff,
                                       int chunks) {
    const Sums sums = sums_of_channel(parts, blockIdx.x, chunks);
    if (threadIdx.x == 0) {
        if (bias_diff) bias_diff[blockIdx.x] += Real(sums.first);
        if (factor_diff) factor_diff[blockIdx.x] += Real(sums.second);
    }
}
