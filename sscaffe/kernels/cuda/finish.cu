// What follows a product by weights: bias, sum and rectifier, in one pass.
#include "common.cuh"

// tops[image][channel][s] = product + bias + add, rectified: each part where it is wanted. NaN stays.
//
//   product  [rows][total], the columns of an image behind each other; where total is 0, tops itself
//   rows     [channels]     the row of each, -1 where there is no product; nullptr: they are the rows
//   add      like tops; may be tops where the product is not
extern "C" __global__ void finish(int count, const Real* product, const int* __restrict__ rows,
                                  const Real* __restrict__ bias, const Real* add, Real* tops,
                                  int channels, int size, int total, int relu) {
    FOR_EACH(i, count) {
        const int plane = i / size, channel = plane % channels;
        Real value = Real(0);
        if (total == 0) {
            value = tops[i];
        } else {
            const int row = rows ? rows[channel] : channel;
            const int column = plane / channels * size + (i - plane * size);
            if (row >= 0) value = product[(long long)row * total + column];
        }
        if (bias) value += bias[channel];
        if (add) value += add[i];
        tops[i] = relu && value < Real(0) ? Real(0) : value;
    }
}
