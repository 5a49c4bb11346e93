#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "aligned.h"
#include "geometry.h"
#include "phases.h"
#include "vector_kernels.h"

namespace sscaffe {

// A convolution by a weight matrix without its rows and columns of zeros, in float.
//
// Nothing is lowered in memory: the columns that are left are packed for one tile of output
// positions at a time, straight from a padded copy of the image that stays in the second cache, and
// the sums of a tile stay in registers over all of them.
//
// Source: Wen et al., "Learning Structured Sparsity in Deep Neural Networks", NIPS 2016, section 4,
// for the smaller matrix; the product is tiled as in Goto and van de Geijn, "Anatomy of
// High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008.
class ImplicitGemm {
   public:
    // Pack the weights for the instruction set in use, which forward() then uses as well.
    //
    //   g        two spatial axes, all channels of the image
    //   group    divides the channels and m
    //   weights  [m][C / group * Kh * Kw]   columns in the order of direct_sparse_conv; not kept
    //
    // Throws std::bad_alloc.
    ImplicitGemm(const ConvGeometry& g, int64_t group, int64_t m, const float* weights);

    // Rows and columns that are left, of each group.
    std::vector<std::pair<int64_t, int64_t>> kept() const;

    // Convolve a batch of images.
    //
    //   images  [batch][C][H][W]
    //   bias    [m] or nullptr
    //   out     [batch][m][out_H][out_W]   overwritten; must not overlap the others
    //
    // 2 * rows * columns * out_H * out_W flops for each image and group, and a copy of the channels
    // that the columns read; rows of zeros cost a fill with their bias.  The threads share the
    // images, or, if those are fewer, the output positions and rows of each.  Not to be called
    // from two threads at once, for it keeps its room to work in.  Throws std::bad_alloc.
    void forward(int64_t batch, const float* images, const float* bias, float* out);

    int64_t rows() const { return m_; }
    int64_t image_size() const { return channels_ * phases_.down.input * phases_.across.input; }
    int64_t output_size() const { return m_ * positions_; }

   private:
    struct Group {
        std::vector<int32_t> rows;    // of the output
        std::vector<int64_t> places;  // of the columns, see place_of_column
        AlignedArray<float> panels;   // [rows / kernel rows][places][kernel rows]
    };

    // Neighbouring vectors of output positions, and the runs of the split image behind them.
    struct Tile {
        std::vector<ImplicitVector> vectors;
        std::vector<ImplicitRun> runs;
    };

    // Some images that are convolved together, for tiles that small images would not fill.
    struct Chunk {
        int64_t count;
        const float *images, *bias;
        float *out, *split;
        const std::vector<Tile>* tiles;
    };

    // What one thread works in.
    struct Room {
        AlignedArray<float> split, packed;
        int64_t images = 0;
    };

    Group pack_group(const float* weights, int64_t first_row, int64_t first_place, int64_t rows,
                     int64_t columns) const;
    std::vector<Tile> make_tiles(int64_t images) const;
    void add_vector(int64_t image, int64_t position, Tile& tile) const;
    void make_rooms(int64_t threads, int64_t images);
    int64_t work_per_image() const;
    int64_t preparations() const;
    void prepare(const Chunk& chunk, int64_t item) const;
    void multiply(const Chunk& chunk, int64_t unit, int64_t parts, float* packed) const;
    void convolve_alone(const Chunk& chunk, float* packed) const;
    void convolve_together(const Chunk& chunk, int64_t threads);

    const ImplicitGemmKernel& kernel_;
    Phases phases_;
    int64_t channels_, m_, positions_, vectors_;  // the last two of one image
    int64_t deepest_ = 0;                         // columns of the group with the most
    std::vector<Group> groups_;
    std::vector<int64_t> channels_read_, zero_rows_;
    std::vector<Room> rooms_;
};

}  // namespace sscaffe
