// The gradients of biases: sums of the top's along all axes but the channels.
#include "common.cuh"
#include "sums.cuh"

// Block (c, part): the sum of a part of channel c of dy, which is (batch, channels, inner).
extern "C" __global__ void bias_sums(const Real* __restrict__ dy, Real* __restrict__ partial,
                                     int batch, int channels, int inner) {
    const int c = blockIdx.x, parts = gridDim.y;
    const int positions = batch * inner;
    Real sum = 0;
    for (int j = blockIdx.y * blockDim.x + threadIdx.x; unsigned(j) < unsigned(positions);
         j += parts * blockDim.x) {
        const int n = j / inner;
        sum += dy[((size_t)n * channels + c) * inner + (j - n * inner)];
    }
    const double total = sum_of_block(sum);
    if (threadIdx.x == 0) partial[c * parts + blockIdx.y] = Real(total);
}

// diff[c] (+)= the sum of the parts of channel c.
extern "C" __global__ void bias_finish(int channels, const Real* __restrict__ partial,
                                       Real* __restrict__ diff, int parts, int accumulate) {
    FOR_EACH(c, channels) {
        Real sum = accumulate ? diff[c] : Real(0);
        for (int part = 0; part < parts; ++part) sum += partial[c * parts + part];
        diff[c] = sum;
    }
}

// Thread (column, row part): sums of the columns of dy, which is (rows, columns).
extern "C" __global__ void column_sums(const Real* __restrict__ dy, Real* __restrict__ partial,
                                       int rows, int columns) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= columns) return;
    Real sum = 0;
    for (int row = blockIdx.y; row < rows; row += gridDim.y) {
        sum += dy[(size_t)row * columns + column];
    }
    partial[column * gridDim.y + blockIdx.y] = sum;
}
