// Where weights read the images that a convolution does not lower in memory, or lowers.
#pragma once

// A row of the lowered matrix: the offset from a window's first element, and the steps that may
// leave the image. z, y and x include the padding; one that only fills a table is outside of it.
struct alignas(16) Place {
    int offset, z, y, x;
};
