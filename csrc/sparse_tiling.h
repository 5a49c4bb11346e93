#pragma once

#include <cstdint>

#include "geometry.h"
#include "phases.h"
#include "vector_kernels.h"

namespace sscaffe {

// What the lanes of a vector are.
enum class Lanes {
    kImages,  // one position in as many images
    kStrips,  // parts of columns of the output, of one height, of a few images
};

// How SparseConvolution cuts a convolution into tiles. What a tile reads of a few channels stays in
// the first cache, every load aligned, while all filters use it.
//
// Images side by side are gathered position by position, each with all of the few channels, once
// for each tile: what all threads would gather together goes through the third cache, twice, and is
// slow to come where they do not share one.
//
// Strips are packed, because the lanes cannot be shifted: a channel has row_planes x column_planes
// planes of vectors, the phases of the rows (see phases.h) and one for each column of the kernel.
struct SparseTiling {
    Lanes lanes;
    int64_t down, across;  // output positions of a tile; across is 1 for strips
    int64_t cuts;          // strips in a column of the output
    int64_t row_planes, column_planes, plane_rows, plane_columns;
    int64_t channels;  // of a group, at a time
    int64_t parts;     // the filters of a group are shared by so many threads
    double cycles;     // of all images, estimated

    int64_t channel_vectors() const {
        return row_planes * column_planes * plane_rows * plane_columns;
    }

    // Vectors of a channel that lie between the first and the last one that weights read.
    int64_t reach(const Phases& phases) const;

    // The vector that a weight reads first.
    int64_t place(const Phases& phases, int64_t channel, int64_t kh, int64_t kw) const;

    // The element of a channel's phases from which a vector of a packed channel is loaded.
    int64_t source(const Phases& phases, int64_t vector) const;
};

// The sizes of a convolution that its speed depends on.
struct SparseWork {
    const Phases& phases;
    int64_t images, channels, filters, groups;  // channels and filters of one group
    double weights;                             // that are not zero, of one filter
    int64_t threads;
};

// Whether there is a tiling for strips: places in a packed channel have 16 bits.
bool has_tiling(const ConvGeometry& g);

// The tiling that is estimated to be the fastest.  There may be none for images, whose rows may be
// too long for 16 bits: then the cycles are infinite.
SparseTiling choose_tiling(const SparseWork& work, Lanes lanes, const DirectSparseKernel& kernel);

}  // namespace sscaffe
