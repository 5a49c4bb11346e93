#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "aligned.h"
#include "geometry.h"
#include "phases.h"
#include "sparse_tiling.h"
#include "vector_kernels.h"

namespace sscaffe {

// Call fn(channel, count) for the channels, as many at once as are neighbours in memory.
template <typename Function>
void for_neighbours(int64_t first, int64_t count, int64_t block, int64_t most, const Function& fn) {
    for (int64_t c = first; c < first + count;) {
        const int64_t n = std::min({block - c % block, first + count - c, most});
        fn(c, n);
        c += n;
    }
}

// A convolution by weights that have zeros anywhere, in float.
//
// Each weight that is not zero adds its window of the image to its output channel. The windows come
// from the first cache and are aligned: a tile of the output takes a few channels at a time, which
// all filters use; the sums of the other filters wait in the second cache. With
// many images, these are side by side in the vectors; with few, strips of columns of the output.
//
// Source: Park et al., "Faster CNNs with Direct Sparse Convolutions and Guided Pruning", ICLR 2017,
// arXiv:1608.01409, for the idea.
class SparseConvolution {
   public:
    static constexpr int64_t kMostLanes = 16;  // of any instruction set

    // Find the weights that are not zero, for the instruction set in use, which forward() then uses
    // as well.
    //
    //   g        two spatial axes, all channels of the image
    //   group    divides the channels and m
    //   weights  [m][C / group * Kh * Kw]   columns in the order of direct_sparse_conv; not kept
    //
    // Throws std::bad_alloc.
    SparseConvolution(const ConvGeometry& g, int64_t group, int64_t m, const float* weights);

    // Convolve a batch of images.
    //
    //   bottom  [batch] images of C channels
    //   bias    [m] or nullptr
    //   relu    whether negative results become 0
    //   top     [batch] images of m channels   overwritten; must not overlap the others
    //
    // 2 * nnz * out_H * out_W flops for each image.  Not to be called from two threads at once, for
    // it keeps its room to work in.  Throws std::bad_alloc.
    void forward(int64_t batch, const ChannelBlocks& bottom, const float* bias, bool relu,
                 const ChannelBlocks& top);

    int64_t nnz() const { return weights_.size(); }
    std::vector<int64_t> bottom_dims() const {
        return {channels_, phases_.down.input, phases_.across.input};
    }
    std::vector<int64_t> top_dims() const {
        return {m_, phases_.down.output(), phases_.across.output()};
    }

   private:
    // A weight that is not zero, where it stands in its row of the matrix.
    struct Weight {
        int32_t channel, kh, kw;
        float value;
    };

    // The weights of some filters of a group, by block of channels, then by filter.
    struct Part {
        int64_t group, first, count;   // filters
        std::vector<uint64_t> places;  // see SparseTile
        std::vector<float> values;
        std::vector<SparseFilter> filters;
        std::vector<std::pair<int64_t, int64_t>> blocks;  // first places and filter of each
    };

    // Lanes of strips, and the runs of neighbours among them.
    struct Column {
        int64_t image, images;           // that they are of
        std::vector<SparseSource> runs;  // from the phases to a vector
        std::vector<int64_t> targets;    // of the lanes, in the top
        std::vector<SparseRun> target_runs;
    };

    // What is ready for so many images and threads.
    struct Plan {
        using Key = std::array<int64_t, 5>;
        Key key{-1};  // images, threads, and layouts
        SparseTiling tiling{};
        int64_t tile_rows = 0, tile_columns = 0;  // tile_columns of strips: of vectors
        // From one to the next in the split; image: of strips, else of as many as there are lanes.
        int64_t block = 0, group = 0, image = 0;
        std::vector<Part> parts;
        std::vector<SparseSource> places;  // of the vectors of a block of packed channels
        std::vector<Column> columns;       // of strips
        bool apart = false;                // each thread splits what it reads
        AlignedArray<float> split;         // or the images' phases; the padding stays zero
        int64_t split_size = 0;
    };

    // What one thread works in.
    struct Room {
        AlignedArray<float> packed, sums, planes, split;
        int64_t packed_size = 0, sums_size = 0, planes_size = 0, split_size = 0;
        std::array<int64_t, 3> staged{};  // group and images that are in the split
        std::vector<int64_t> ahead;       // where the next channels' windows are
    };

    // Some images on their way through.
    struct Call {
        int64_t images;
        ChannelBlocks bottom, top;
        const float* bias;
        float least;
    };

    // A part of the output: some filters at some rows and columns.
    struct Unit {
        const Part& part;
        int64_t time;  // which images or strips
        int64_t y, rows, x, columns;
    };

    // What a tile reads of each channel of images that are side by side.
    struct Window {
        int64_t images[kMostLanes];   // elements from the bottom's first
        int64_t y, rows, x, columns;  // without the padding
        int64_t target;               // position of the first, packed
        bool clipped;                 // by the padding
    };

    SparseWork work(int64_t images) const;
    bool is_better_as_strips(int64_t images);
    void plan_strips(Plan& plan, const Call& call) const;
    void prepare(Plan& plan, Lanes lanes, const Call& call) const;
    void pack_weights(const SparseTiling& t, int64_t first_channel, int64_t first, int64_t last,
                      Part& part) const;
    Part pack_part(const SparseTiling& t, int64_t group, int64_t index) const;
    Column make_column(const SparseTiling& t, int64_t images, int64_t index, int64_t image_size,
                       const ChannelBlocks& top) const;
    void run(Plan& plan, const Call& call);
    void make_rooms(Plan& plan, int64_t images);
    Window window_of(const Plan& plan, const Call& call, const Unit& unit) const;
    void gather_window(const Plan& plan, const Call& call, const Window& w, int64_t first,
                       int64_t count, float* packed) const;
    void find_ahead(const Call& call, const Window& w, std::vector<int64_t>& ahead) const;
    int64_t offset(const ChannelBlocks& bottom, int64_t channel) const {
        const int64_t plane = phases_.down.input * phases_.across.input * bottom.block;
        return channel / bottom.block * plane + channel % bottom.block;
    }
    void copy_channel(const float* plane, float* split) const;
    void gather_rows(const ChannelBlocks& bottom, int64_t count, const float* source,
                     float* target) const;
    void stage_channels(const Call& call, int64_t image, int64_t first, int64_t count,
                        float* target, float* planes) const;
    void stage_for_all(const Plan& plan, const Call& call);
    void stage_for_one(const Plan& plan, const Call& call, const Unit& unit, Room& room) const;
    Unit unit_at(const Plan& plan, int64_t index) const;
    SparseTile tile_of(const Plan& plan, const Unit& unit, const Room& room) const;
    void fetch(const Plan& plan, const Call& call, int64_t index, int64_t block,
               const Window& window, Room& room, SparseTile& tile) const;
    void multiply(const Plan& plan, const Call& call, int64_t index, Room& room) const;
    void write_images(const Call& call, const Unit& unit, const float* sums) const;
    void write_strips(const Plan& plan, const Call& call, const Unit& unit,
                      const float* sums) const;

    const DirectSparseKernel& kernel_;
    Phases phases_;
    int64_t channels_, m_, groups_;
    bool fits_images_;
    std::vector<int64_t> row_ptr_;
    std::vector<Weight> weights_;
    Plan image_plan_, strip_plan_;
    struct Choice {
        int64_t images = -1, threads = 0;
        bool strips = false;
    } choice_;  // of the last batch
    std::vector<Room> rooms_;
};

}  // namespace sscaffe
