// What goes with a product by dense weights: bias, sum and rectifier after it, bias gradients.
#include "common.cuh"
#include "sums.cuh"

// y = max(y + bias + add, 0), each part where it is wanted; y is (N, channels, inner).
extern "C" __global__ void finish(int count, Real* __restrict__ y, const Real* __restrict__ bias,
                                  const Real* __restrict__ add, int channels, int inner, int relu) {
    FOR_EACH(i, count) {
        Real value = y[i];
        if (bias) value += bias[(i / inner) % channels];
        if (add) value += add[i];
        if (relu && !(value > Real(0))) value = Real(0);
        y[i] = value;
    }
}

// Block (c, part): the sum of a part of channel c of dy, which is (batch, channels, inner).
extern "C" __global__ void bias_sums(const Real* __restrict__ dy, Real* __restrict__ partial,
                                     int batch, int channels, int inner) {
    const int c = blockIdx.x, parts = gridDim.y;
    const int positions = batch * inner;
    Real sum = 0;
    for (int j = blockIdx.y * blockDim.x + threadIdx.x; j < positions; j += parts * blockDim.x) {
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
