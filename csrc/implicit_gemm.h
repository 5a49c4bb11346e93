#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "aligned.h"
#include "geometry.h"
#include "vector_kernels.h"

namespace sscaffe {

// A convolution by a weight matrix without its rows and columns of zeros, in float.
//
// Vectors hold rows of the matrix, that is filters, and each is multiplied by single elements of
// the image, which are read where they are: nothing is lowered, padded or packed but the weights.
// The sums of neighbouring positions in a row of the output stay in registers over all columns, and
// what the padding would add is left out.
//
// Source: Wen et al., "Learning Structured Sparsity in Deep Neural Networks", NIPS 2016, section 4,
// for the smaller matrix; Georganas et al., "Anatomy of High-Performance Deep Learning Convolutions
// on SIMD Architectures", SC 2018, for the tiles.
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
    //   bottom  [batch] images of C channels
    //   bias    [m] or nullptr
    //   relu    whether what is below 0 becomes 0
    //   top     [batch] images of m channels   overwritten; must not overlap the others
    //
    // The top is written fastest where channels lie side by side.  Less than 2 * rows * columns *
    // out_H * out_W flops for each image and group; rows of zeros cost a fill with their bias.  The
    // threads share images, rows of the matrix and rows of the output.  Not to be called from two
    // threads at once, for it keeps what it finds out about layouts.  Throws std::bad_alloc.
    void forward(int64_t batch, const ChannelBlocks& bottom, const float* bias, bool relu,
                 const ChannelBlocks& top);

    std::vector<int64_t> bottom_dims() const { return bottom_dims_; }
    std::vector<int64_t> top_dims() const { return top_dims_; }

   private:
    // Elements of an image, with those of the next one, that the second cache holds.
    static constexpr int64_t kMostAhead = 320 * 1024 / sizeof(float);

    // A column of the weight matrix, in the order in which they are multiplied: those that read
    // beyond the same side of the image are neighbours.
    struct Column {
        int64_t x, y, channel;  // the latter of all groups
        int64_t place;          // in the weight matrix
    };

    // Tiles of a row of the output, for some number of vectors.
    struct Tiling {
        std::vector<int64_t> begins;                   // of each tile, and the end of the last one
        std::vector<std::vector<ImplicitSpan>> spans;  // those that there are
        std::vector<int64_t> lists;                    // which of them: [kinds of rows][tiles]

        int64_t tiles() const { return begins.size() - 1; }
    };

    // Some vectors of rows, and the channels of the output from the first of them on.
    struct Chunk {
        int64_t vectors;
        bool is_halved;             // see ImplicitTile
        std::vector<int32_t> rows;  // of the output; less than the vectors hold in the last chunk
        int64_t first, last;        // channels
        int64_t weights;            // where they begin in those of the group
        int64_t start, fill;        // likewise in starts_ and fills_
        std::vector<ImplicitTarget> targets;  // in the layout of the last top
        bool is_direct;

        // In halves of vectors.
        int64_t work() const { return vectors ? 2 * vectors - is_halved : 1; }
    };

    struct Group {
        std::vector<int32_t> rows;  // of the output
        std::vector<Column> columns;
        std::vector<int32_t> places;  // of the columns, in the layout of the last bottom
        std::vector<Chunk> chunks;
        // By whether the last vector of a chunk is halved, and how many it has; those that it
        // needs.
        Tiling tilings[2][1 + ImplicitGemmKernel::kMostVectors];
        AlignedArray<float> weights;  // [chunk][columns][vectors of the chunk]
    };

    // Neighbouring rows of the output for which the same rows of the kernel are in the image.
    struct RowKind {
        int64_t first, last;  // rows of the kernel
    };

    // Elements of the bottom.
    struct Ahead {
        int64_t begin, end;
    };

    struct Call {
        ChannelBlocks bottom, top;
        bool relu;
    };

    Group pack_group(const float* weights, int64_t first_row, int64_t rows, int64_t group) const;
    std::vector<Column> find_columns(const std::vector<bool>& used, int64_t group) const;
    void find_row_kinds();
    void cut_rows(Group& group, int64_t first_row, int64_t last_row) const;
    void pack_chunks(Group& group, const std::vector<const float*>& rows) const;
    Tiling tile_rows(const Group& group, int64_t positions) const;
    std::vector<int32_t> lanes_of(const Chunk& chunk) const;
    std::vector<ImplicitSpan> spans_of(const Group& group, const RowKind& kind, int64_t x,
                                       int64_t positions) const;
    void lay_bottom(int64_t block);
    void lay_top(int64_t block);
    void aim(Chunk& chunk, int64_t last, int64_t block);
    void start(const float* bias, bool relu);
    void fill(int64_t batch, const float* bias, bool relu, const ChannelBlocks& top) const;
    int64_t work_per_image() const;
    void work(const Call& call, int64_t begin, int64_t end) const;
    void multiply(const Call& call, const Group& group, const Chunk& chunk, int64_t image,
                  int64_t y, const Ahead& ahead) const;

    const ImplicitGemmKernel& kernel_;
    std::vector<int64_t> bottom_dims_, top_dims_;
    ConvAxis down_, across_;
    int64_t m_, group_channels_;
    std::vector<RowKind> row_kinds_;
    std::vector<int64_t> kind_of_row_;
    std::vector<Group> groups_;
    int64_t units_ = 0;                         // of work in a row of the output
    int64_t bottom_block_ = 0, top_block_ = 0;  // of the last call
    std::vector<int32_t> start_of_, fill_of_;   // channels, or -1
    AlignedArray<float> starts_, fills_;        // by the last call's bias
};

}  // namespace sscaffe
