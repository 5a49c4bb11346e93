// Passes over one or two arrays, the sum of squares, and dropout. Results may overwrite operands.
#include "common.cuh"

// y = fn(x)
template <typename Function>
__device__ void map_one(int packs, int count, const Real* x, Real* y, const Function& fn) {
    FOR_EACH(p, packs) {
        Pack values = load_pack(x, 4 * p, count);
#pragma unroll
        for (int i = 0; i < 4; ++i) values.at[i] = fn(values.at[i]);
        store_pack(values, y, 4 * p, count);
    }
}

// y = fn(a, b)
template <typename Function>
__device__ void map_two(int packs, int count, const Real* a, const Real* b, Real* y,
                        const Function& fn) {
    FOR_EACH(p, packs) {
        Pack values = load_pack(a, 4 * p, count);
        const Pack others = load_pack(b, 4 * p, count);
#pragma unroll
        for (int i = 0; i < 4; ++i) values.at[i] = fn(values.at[i], others.at[i]);
        store_pack(values, y, 4 * p, count);
    }
}

// Negative x times the slope; the rest as it is, NaN too.
extern "C" __global__ void relu_forward(int packs, int count, const Real* x, Real* y, Real slope) {
    // 0 times -inf is not 0.
    map_one(packs, count, x, y,
            [=](Real value) { return value < 0 ? (slope == 0 ? Real(0) : slope * value) : value; });
}

extern "C" __global__ void relu_backward(int packs, int count, const Real* x, const Real* dy,
                                         Real* dx, Real slope) {
    map_two(packs, count, x, dy, dx,
            [=](Real value, Real diff) { return (value > 0 ? Real(1) : slope) * diff; });
}

// total += factor * term
extern "C" __global__ void add_scaled(int packs, int count, const Real* term, Real* total,
                                      Real factor) {
    map_two(packs, count, total, term, total,
            [=](Real sum, Real value) { return sum + factor * value; });
}

extern "C" __global__ void multiply(int packs, int count, const Real* a, const Real* b, Real* y) {
    map_two(packs, count, a, b, y, [](Real one, Real other) { return one * other; });
}

extern "C" __global__ void scale(int packs, int count, Real* x, Real factor) {
    map_one(packs, count, x, x, [=](Real value) { return value * factor; });
}

extern "C" __global__ void threshold(int packs, int count, Real* x, Real limit) {
    map_one(packs, count, x, x,
            [=](Real value) { return value < limit && -value < limit ? Real(0) : value; });
}

struct Draws {
    unsigned int at[4];
};

// What a pack keeps.
struct alignas(4) Kept {
    unsigned char at[4];
};

// Philox-4x32-10: four random numbers for each value of the counter.
//
// Source: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
__device__ Draws philox(unsigned long long key, unsigned int c0, unsigned long long step) {
    unsigned int k0 = static_cast<unsigned int>(key), k1 = static_cast<unsigned int>(key >> 32);
    unsigned int c1 = 0, c2 = static_cast<unsigned int>(step),
                 c3 = static_cast<unsigned int>(step >> 32);
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const unsigned long long a = 0xD2511F53ull * c0, b = 0xCD9E8D57ull * c2;
        c0 = static_cast<unsigned int>(b >> 32) ^ c1 ^ k0;
        c1 = static_cast<unsigned int>(b);
        c2 = static_cast<unsigned int>(a >> 32) ^ c3 ^ k1;
        c3 = static_cast<unsigned int>(a);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

// y = x times `factor` where a draw is `most` or less, and times 0 elsewhere; the mask says which.
//
//   mask     [4 * packs]  aligned
//   state    [2]          seed and step; the step goes on by one, so that each launch draws anew
//   arrived  [1]          0, and 0 again afterwards
extern "C" __global__ void dropout_forward(int packs, int count, const Real* x, Real* y,
                                           unsigned char* mask, long long* state, int* arrived,
                                           unsigned int most, Real factor) {
    const unsigned long long seed = state[0], step = state[1];
    FOR_EACH(p, packs) {
        const Draws draws = philox(seed, p, step);
        Pack values = load_pack(x, 4 * p, count);
        Kept kept;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            kept.at[i] = draws.at[i] <= most;
            values.at[i] *= kept.at[i] ? factor : Real(0);
        }
        reinterpret_cast<Kept*>(mask)[p] = kept;
        store_pack(values, y, 4 * p, count);
    }
    __syncthreads();
    // The last block to come here; all of them know the step by then.
    if (threadIdx.x == 0 && atomicAdd(arrived, 1) == static_cast<int>(gridDim.x) - 1) {
        state[1] = static_cast<long long>(step + 1);
        arrived[0] = 0;
    }
}

extern "C" __global__ void dropout_backward(int packs, int count, const Real* dy,
                                            const unsigned char* mask, Real* dx, Real factor) {
    FOR_EACH(p, packs) {
        Pack values = load_pack(dy, 4 * p, count);
        const Kept kept = reinterpret_cast<const Kept*>(mask)[p];
#pragma unroll
        for (int i = 0; i < 4; ++i) values.at[i] *= kept.at[i] ? factor : Real(0);
        store_pack(values, dx, 4 * p, count);
    }
}
