// Sums over rows of a table that several places may name.
#include "common.cuh"

// table[rows[i]] += source[i] for every i, in rising order of i: the same bits every time.
//
//   source  [count][columns]
//   rows    [count]            numbers of rows of the table
//   table   [...][columns]
//
// A block for each place; the first place of a row adds up all that name it.
extern "C" __global__ void add_rows(const Real* __restrict__ source,
                                    const long long* __restrict__ rows, Real* table, int count,
                                    int columns) {
    __shared__ int is_first;
    const int place = blockIdx.x;
    const long long row = rows[place];
    if (threadIdx.x == 0) {
        is_first = 1;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < place; i += blockDim.x) {
        if (rows[i] == row) {
            is_first = 0;
        }
    }
    __syncthreads();
    if (!is_first) {
        return;
    }
    for (int c = threadIdx.x; c < columns; c += blockDim.x) {
        Real sum = table[row * columns + c];
        for (int i = place; i < count; ++i) {
            if (rows[i] == row) {
                sum += source[static_cast<size_t>(i) * columns + c];
            }
        }
        table[row * columns + c] = sum;
    }
}
