// Blocks copied from where they lie behind each other, or apart, to where they lie otherwise.
#include "common.cuh"

// Rows of `width` elements: row r from x + r * x_step to y + r * y_step.
extern "C" __global__ void copy_rows(int count, int width, const Real* x, int x_start, int x_step,
                                     Real* y, int y_start, int y_step) {
    FOR_EACH(i, count) {
        const int row = i / width, column = i - row * width;
        y[y_start + row * y_step + column] = x[x_start + row * x_step + column];
    }
}

// The same in packs: all sizes count packs.
extern "C" __global__ void copy_packed_rows(int packs, int width, const Real* x, int x_start,
                                            int x_step, Real* y, int y_start, int y_step) {
    FOR_EACH(p, packs) {
        const int row = p / width, column = p - row * width;
        const Real* source = x + 4 * (x_start + row * x_step + column);
        store_pack(load_pack(source, 0, 4), y + 4 * (y_start + row * y_step + column), 0, 4);
    }
}
