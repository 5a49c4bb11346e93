#include "common.cuh"

// y = factor * x + y
extern "C" __global__ void add_scaled(int count, Real factor, const Real* __restrict__ x,
                                      Real* __restrict__ y) {
    FOR_EACH(i, count) y[i] += factor * x[i];
}
