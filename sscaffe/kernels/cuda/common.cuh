// What all kernels share. Real is float or double, as the compiler's options say.
#pragma once

#ifndef Real
#define Real float
#endif

// The elements that a thread of a one-dimensional grid takes.
#define FOR_EACH(i, count)                                                                         \
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < (count); i += blockDim.x * gridDim.x)
