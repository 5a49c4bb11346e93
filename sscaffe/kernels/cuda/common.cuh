// What all kernels share. Real is float or double, as the compiler's options say.
#pragma once

#ifndef Real
#define Real float
#endif

// The elements that a thread of a one-dimensional grid takes. Compared without signs: near 2^31
// elements a step goes past the largest int.
#define FOR_EACH(i, count)                                                            \
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; unsigned(i) < unsigned(count); \
         i += blockDim.x * gridDim.x)

// W elements, read and written 16 bytes at a time where their address allows it.
template <int W>
struct alignas(W * sizeof(Real) < 16 ? W * sizeof(Real) : 16) Elements {
    static constexpr int width = W;
    Real at[W];
};

template <typename P>
inline __device__ void load(const Real* from, P& pack) {
    pack = *reinterpret_cast<const P*>(from);
}

template <typename P>
inline __device__ void store(const P& pack, Real* to) {
    *reinterpret_cast<P*>(to) = pack;
}

// Kernels that take packs have one for each four elements, the last of which may be short.
using Pack = Elements<4>;

inline __device__ bool is_whole_pack(const Real* x, int first, int count) {
    return count - first >= 4 && reinterpret_cast<size_t>(x + first) % 16 == 0;
}

// Elements first to first + 3; 0 beyond the last.
inline __device__ Pack load_pack(const Real* x, int first, int count) {
    Pack pack;
    if (is_whole_pack(x, first, count)) {
        load(x + first, pack);
        return pack;
    }
    for (int i = 0; i < 4; ++i) pack.at[i] = i < count - first ? x[first + i] : Real(0);
    return pack;
}

inline __device__ void store_pack(const Pack& pack, Real* y, int first, int count) {
    if (is_whole_pack(y, first, count)) {
        store(pack, y + first);
        return;
    }
    for (int i = 0; i < 4 && i < count - first; ++i) y[first + i] = pack.at[i];
}
