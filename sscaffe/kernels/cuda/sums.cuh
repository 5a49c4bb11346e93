// Sums over the threads of a block, with the same bits every time.
#pragma once

// Add the values of all threads up, in one order; every thread gets the sum.
__device__ inline double sum_of_block(double value) {
    __shared__ double parts[32];
    for (int distance = 16; distance > 0; distance /= 2) {
        value += __shfl_xor_sync(0xffffffffu, value, distance);
    }
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    double total = 0;
    for (int warp = 0; warp < int(blockDim.x) / 32; ++warp) total += parts[warp];
    __syncthreads();
    return total;
}
