// What all kernels share. Real is float or double, as the compiler's options say.
#pragma once

#ifndef Real
#define Real float
#endif

// The elements that a thread of a one-dimensional grid takes.
#define FOR_EACH(i, count) \
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < (count); i += blockDim.x * gridDim.x)

// Four elements, read and written at once where their address allows it. Kernels that take packs
// have one for each four elements, the last of which may be short.
struct alignas(16) Pack {
    Real at[4];
};

inline __device__ bool is_whole_pack(const Real* x, int first, int count) {
    return count - first >= 4 && reinterpret_cast<size_t>(x + first) % 16 == 0;
}

// Elements first to first + 3; 0 beyond the last.
inline __device__ Pack load_pack(const Real* x, int first, int count) {
    if (is_whole_pack(x, first, count)) return *reinterpret_cast<const Pack*>(x + first);
    Pack pack;
    for (int i = 0; i < 4; ++i) pack.at[i] = i < count - first ? x[first + i] : Real(0);
    return pack;
}

inline __device__ void store_pack(const Pack& pack, Real* y, int first, int count) {
    if (is_whole_pack(y, first, count)) {
        *reinterpret_cast<Pack*>(y + first) = pack;
        return;
    }
    for (int i = 0; i < 4 && i < count - first; ++i) y[first + i] = pack.at[i];
}
