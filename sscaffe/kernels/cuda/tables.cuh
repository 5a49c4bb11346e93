// Tables in device memory, 8 bytes each field, that kernels of several files read.
#pragma once

struct Lasso {
    const Real* weights;
    long long rows, columns, ydimen, xdimen;
    long long offset;       // of its first factor
    long long first_block;  // of the grid
    long long team;         // threads for one block of weights; 1: a column
};
