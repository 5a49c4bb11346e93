// An array (rows, channels, inner) channel by channel: each block takes a chunk of one channel.
#pragma once

#include "common.cuh"
#include "sums.cuh"

// Elements that one load moves: 16 bytes.
constexpr int kWide = 16 / sizeof(Real);

struct Split {
    int rows, channels, inner;
    int chunks;      // of each channel
    int per_thread;  // elements, a multiple of kWide

    __device__ int channel() const { return blockIdx.x / chunks; }
    __device__ int chunk() const { return blockIdx.x % chunks; }
    __device__ double count() const { return double(rows) * inner; }

    // Whether rows and this array can be read by `kWide` elements at a time.
    __device__ bool is_wide(const Real* array) const {
        return inner % kWide == 0 && reinterpret_cast<size_t>(array) % sizeof(Elements<kWide>) == 0;
    }
};

template <int W, typename Function>
__device__ inline void for_packs(const Split& s, const Function& fn) {
    const int step = blockDim.x, width = s.inner / W;
    const long long length = (long long)step * (s.per_thread / W), start = length * s.chunk();
    const long long all = (long long)s.rows * width, end = min(all, start + length);
    const long long first = start + threadIdx.x;
    int row = int(first / width), at = int(first % width);
    // Steps of row and place, so that only the first element costs divisions.
    const int rows = step / width, places = step % width;
#pragma unroll 2
    for (long long i = first; i < end; i += step) {
        fn(Elements<W>(), (size_t(row) * s.channels + s.channel()) * s.inner + size_t(at) * W);
        row += rows;
        at += places;
        if (at >= width) {
            at -= width;
            ++row;
        }
    }
}

// Call fn(pack to be filled, offset of its elements) for all that this thread takes.
template <typename Function>
__device__ inline void for_each_pack(const Split& s, bool wide, const Function& fn) {
    if (wide) {
        for_packs<kWide>(s, fn);
    } else {
        for_packs<1>(s, fn);
    }
}

struct Sums {
    double first, second;
};

__device__ inline Sums sums_of_block(double first, double second) {
    const double total = sum_of_block(first);
    return {total, sum_of_block(second)};
}

// Leave this chunk's sums in parts  [channels][chunks].
__device__ inline void keep_sums(const Sums& sums, Sums* parts) {
    if (threadIdx.x == 0) parts[blockIdx.x] = sums;
}

// Add up what the chunks of a channel left; every block that asks gets the same bits.
__device__ inline Sums sums_of_channel(const Sums* parts, int channel, int chunks) {
    double first = 0, second = 0;
    for (int i = threadIdx.x; i < chunks; i += blockDim.x) {
        const Sums part = parts[(size_t)channel * chunks + i];
        first += part.first;
        second += part.second;
    }
    return sums_of_block(first, second);
}
