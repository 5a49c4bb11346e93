#pragma once

#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include "aligned.h"
#include "geometry.h"
#include "vector_kernels.h"

namespace sscaffe {

// A convolution by a weight matrix without its rows and columns of zeros, in float.
//
// The image is lowered along its rows alone, and only where weights are left: each channel has a
// plane for each column of the kernel, as wide as the output, in which every weight of that column
// reads neighbouring elements for neighbouring output positions.  Bands of planes are small enough
// for the second cache, and the sums of a tile stay in registers over all weights, so that nothing
// is packed.  A thread lowers the planes of its next piece of work while it multiplies.
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
    //   relu    whether what is below 0 becomes 0
    //   out     [batch][m][out_H][out_W]   overwritten; must not overlap the others
    //
    // 2 * rows * columns * out_H * out_W flops for each image and group; rows of zeros cost a fill
    // with their bias.  The threads share the images and groups, and what is left of those the
    // output positions and rows.  Not to be called from two threads at once, for it keeps its room
    // to work in.  Throws std::bad_alloc.
    void forward(int64_t batch, const float* images, const float* bias, bool relu, float* out);

    int64_t rows() const { return m_; }
    int64_t image_size() const { return channels_ * down_.input * across_.input; }
    int64_t output_size() const { return m_ * positions_; }

   private:
    // Elements of the planes of a job, which stay in the second cache with those of the next.
    static constexpr int64_t kPlanesAtOnce = 320 * 1024 / sizeof(float);

    // What the weights in one column of the kernel read of one channel, in one phase of the stride.
    struct Plane {
        int64_t channel;      // of the group
        int64_t kernel_x;     // the column
        int64_t phase;        // the channel's rows phase, phase + stride, ...
        int64_t first, last;  // of which the output's first row reads these
        int64_t place;        // in the planes of an image

        bool is_before(const Plane& other) const {
            return std::tie(channel, kernel_x, phase) <
                   std::tie(other.channel, other.kernel_x, other.phase);
        }
    };

    struct Group {
        std::vector<int32_t> rows, zero_rows;  // of the output
        std::vector<int64_t> columns;          // of the weight matrix, by plane
        std::vector<int32_t> places;           // of the columns, in the planes of an image
        std::vector<std::vector<ImplicitPlane>> planes;  // of each band
        std::vector<int64_t> first_rows;                 // of each panel, and the number of rows
        AlignedArray<float> weights;                     // [panel][columns][rows of the panel]

        int64_t panels() const { return first_rows.size() - 1; }
    };

    // Neighbouring vectors of output positions.
    struct Tile {
        int64_t before = 0;  // vectors in the tiles of the band before this one
        std::vector<ImplicitVector> vectors;
    };

    // Neighbouring tiles whose planes are made at once, for all images of a job.
    struct Band {
        int64_t first_row, rows, vectors;  // the rows of the output that it touches
        std::vector<Tile> tiles;
    };

    // What forward() was called with; images are convolved `at_once`, for tiles that small ones
    // would not fill.
    struct Call {
        int64_t batch, at_once;
        const float *images, *bias;
        bool relu;
        float* out;
        std::vector<Band> whole, rest;  // of at_once images, and of those that are left in the end
    };

    // A band of one group of some images.
    struct Job {
        const Group* group;
        const Band* band;
        int64_t band_index;   // the first band fills the rows of zeros
        int64_t count;        // images
        const float* images;  // from the group's first channel on
        float* out;
    };

    // Rows of a band of the output.
    struct Unneeded {
        int64_t above = 0, below = 0;
    };

    struct Errands;

    // Planes of the job at hand and of the next.
    struct Room {
        AlignedArray<float> planes[2];
    };

    Group pack_group(const float* weights, int64_t first_row, int64_t rows, int64_t columns) const;
    Plane plane_of(int64_t column) const;
    std::vector<Plane> find_planes(const std::vector<int64_t>& columns) const;
    void place_planes(Group& group, std::vector<Plane>& planes, const std::vector<Band>& bands);
    void look_ahead(Group& group) const;
    ImplicitPlane lowering_of(const Plane& plane, const Band& band) const;
    std::vector<Band> choose_bands(const std::vector<std::vector<Plane>>& planes) const;
    std::vector<Band> make_bands(int64_t images, int64_t count) const;
    void make_rooms(int64_t count, int64_t images);
    int64_t work_per_image() const;
    Job job_of(const Call& call, int64_t index) const;
    int64_t planes(const Job& job) const;
    Unneeded unneeded(const Job& job, int64_t part, int64_t parts) const;
    void lower(const Job& job, int64_t first, int64_t last, float* target,
               const Unneeded& unneeded) const;
    int64_t fills(const Job& job) const;
    void fill_row(const Call& call, const Job& job, int64_t item) const;
    void run(const Errands& errands, int64_t first, int64_t last) const;
    void multiply(const Call& call, const Job& job, const float* planes, int64_t part,
                  int64_t parts, const Errands& errands) const;
    void work(const Call& call, int64_t thread, int64_t threads) const;
    void work_alone(const Call& call, int64_t first, int64_t last, const Room& room) const;
    void work_on_part(const Call& call, int64_t index, int64_t part, int64_t parts,
                      const Room& room) const;

    const ImplicitGemmKernel& kernel_;
    ConvAxis down_, across_;
    ImplicitLowering lowering_;
    int64_t channels_, m_, positions_, vectors_;  // the last two of one image
    int64_t group_channels_;                      // channels of a group
    int64_t bands_ = 1;                           // of an image
    int64_t planes_size_ = 0;                     // of an image's band
    std::vector<Group> groups_;
    std::vector<Room> rooms_;
    int64_t room_images_ = 0;
};

}  // namespace sscaffe
