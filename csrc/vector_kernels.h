#pragma once

#include <cstdint>

#include "winograd_kernels.h"

// The inner loops that are compiled once for each instruction set, as tables of functions.
//
// The files vector_<isa>.cpp hold the tables; all include vector_body.h.  Nothing here or there may
// be an inline function or template of external linkage: the linker would keep one copy for all
// callers, perhaps the one with instructions that this machine lacks.

namespace sscaffe {

enum class UpdateRule { kSgd, kNesterov, kAdam };

// One step of a solver, as it is for one parameter.
struct UpdateStep {
    UpdateRule rule;
    float clip, mean;           // factors of the gradient, the one after the other
    float l2, l1;               // decays
    float rate;                 // of learning; for Adam, times the correction of its averages
    float momentum, momentum2;  // what the averages keep
    float gain, gain2;          // what they take: 1 - momentum and 1 - momentum2, for Adam alone
    float delta;                // for Adam alone
    float limit;                // smaller weights become 0
};

// What a step reads and writes, element by element, all in one layout.
struct UpdateArrays {
    float* weights;
    float* diff;          // gradient in, update out
    float* first;         // what the rule remembers
    float* second;        // and what Adam remembers of squares, else nullptr
    const uint8_t* mask;  // 1, or 0 where the update is 0; nullptr for 1 everywhere
};

struct ElementwiseKernels {
    void (*add_scaled)(int64_t n, float factor, const float* x, float* y);
    void (*scale)(int64_t n, float factor, float* x);
    double (*sum_of_squares)(int64_t n, const float* x);
    void (*add_squares)(int64_t n, const float* x, double* sums);          // sums[i] += x[i]^2
    void (*add_signs)(int64_t n, float factor, const float* x, float* y);  // y += factor sign(x)
    void (*add_products)(int64_t n, const float* factors, const float* x, float* y);
    // x *= factor and history += share * what x lost, unless history is nullptr. One factor for
    // all, or one for each.
    void (*shrink[2])(int64_t n, const float* factors, float share, float* x, float* history);
    // By UpdateRule: what update does after the gradient is made.
    void (*take_step[3])(const UpdateStep& s, int64_t n, const UpdateArrays& arrays);
    // y = (x - (mean ? mean[i] : value)) * scale
    void (*transform_bytes)(int64_t n, const uint8_t* x, const float* mean, float value,
                            float scale, float* y);
    void (*transform_floats)(int64_t n, const float* x, const float* mean, float value, float scale,
                             float* y);
    void (*threshold)(int64_t n, float limit, float* x);
    void (*relu_forward)(int64_t n, float slope, const float* x, float* y);
    void (*relu_backward)(int64_t n, float slope, const float* x, const float* dy, float* dx);
};

// How gemm multiplies a tile of the product.
template <typename T>
struct GemmKernel {
    int64_t rows, columns;  // of a whole tile

    // c (+)= a * b
    //
    //   a  [depth][this->rows]
    //   b  [depth][this->columns]
    //   c  [rows][c_stride], of which the first `columns` are written
    void (*tile)(int64_t depth, const T* a, const T* b, int64_t rows, int64_t columns,
                 bool accumulate, T* c, int64_t c_stride);
};

// Neighbouring columns of the weight matrix which, at so many positions at either end of a tile,
// read beyond the image.
struct ImplicitSpan {
    int32_t first, count;
    int32_t left, right;

    bool sees_as(const ImplicitSpan& other) const {
        return left == other.left && right == other.right;
    }
};

// Neighbouring channels of the output, a vector or less, which lie side by side.
struct ImplicitTarget {
    int64_t place;   // from the output's first channel
    int32_t source;  // among the sums of a position: the first that belongs here
    int32_t count;
    uint32_t mask;  // the channels that have sums
};

// For each of neighbouring positions x of a row of the output, and each row i of some vectors of
// rows of the weight matrix,
//
//   sum[x][i] = start[i] + sum over columns k of all spans: weights[k][i] image[places[k] + x step]
//
// without what is beyond the image; then what is below 0 becomes 0 if relu.
//
// Where it is halved, the last vector has no more rows than half its lanes, and holds them twice:
// its products are those of two positions at once.
struct ImplicitTile {
    int64_t positions, vectors;  // without vectors there are no sums
    bool is_halved;              // of two vectors or more
    const float* image;
    int64_t step;
    const int32_t* places;  // [columns]
    const float* weights;   // [columns][vectors][lanes]
    const ImplicitSpan* spans;
    int64_t span_count;
    const float* start;  // [vectors][lanes]
    bool relu;
    float* out;
    int64_t out_step;  // from position to position
    const ImplicitTarget* targets;
    int64_t target_count;
    bool is_direct;     // each vector has a target, whose first channels have the sums
    const float* fill;  // [targets][lanes]; for channels that have no sums
    const float* ahead;
    int64_t ahead_count;  // elements that are wanted later, and asked for meanwhile
};

// How ImplicitGemm multiplies.
struct ImplicitGemmKernel {
    static constexpr int64_t kMostVectors = 3;

    int64_t lanes;
    // The most that a tile of so many vectors has; the second if the last one is halved.
    int64_t positions[2][1 + kMostVectors];

    void (*tile)(const ImplicitTile& t);
};

// The next `count` weights belong to this filter: in fours, the first of which may be incomplete
// and then has its weights last.
struct SparseFilter {
    int32_t filter, count;
};

// Up to a vector of neighbouring elements: where they are, and where they go in a packed row.
struct SparseSource {
    int64_t source, target;
};

// Neighbouring lanes of a vector of sums, and where they go.
struct SparseRun {
    int64_t lane, count, target;
};

constexpr int kSparseAhead = 8;
constexpr int64_t kSparseStep = 2;  // floats; the unit of places

// sums[filter][y][x] (+)=
//     sum over its weights: value * source[place * kSparseStep + y * pitch + x * step]
struct SparseTile {
    int64_t rows, columns;  // of vectors
    const float* source;
    int64_t pitch, step;  // step counts only if there are strides
    bool strides;         // or else all is one row, of neighbours
    int64_t filter_count;
    const SparseFilter* filters;  // [filter_count + 1], the last one without weights
    const uint64_t* places;       // of four weights, 16 bits each; there is one more
    const float* values;
    bool start;                   // with the bias, or from what the sums are
    const float* bias;            // by filter, or nullptr
    float* sums;                  // [filters][rows][columns][lanes]
    const float* ahead;           // wanted next, and asked for meanwhile: kSparseAhead vectors
    const int64_t* ahead_places;  // from each of these places
    int64_t ahead_count;
};

// How SparseConvolution multiplies a tile, and moves what it reads and writes.
struct DirectSparseKernel {
    int64_t lanes;          // elements of a vector
    int64_t sums;           // the most vectors of a tile
    int64_t rows, columns;  // the most of each of a tile with strides

    // Copy rows of `width` elements, to where rows are target_stride apart.
    void (*copy_rows)(int64_t rows, int64_t width, const float* source, float* target,
                      int64_t target_stride);
    // packed[place.target + run.target + i] = image[place.source + run.source + i] for i in
    // [0, lanes) and each place and run.  A run may overwrite the end of the one before it and, if
    // there are several, begin the next vector, whose place comes later.
    void (*pack)(int64_t depth, const SparseSource* places, const float* image, int64_t run_count,
                 const SparseSource* runs, float* packed);
    void (*tile)(const SparseTile& t);
    // target[k * stride + i] = source[lanes[i] + k] for k in [0, count) and the first lane_count
    // lanes, while all have a place.  What is `ahead` elements further on, unless that is 0, is
    // asked for meanwhile.
    void (*gather)(const float* source, const int64_t* lanes, int64_t lane_count, int64_t count,
                   float* target, int64_t stride, int64_t ahead);
    // target[lanes[i] + k] = max(least, source[k * stride + i]) for k in [0, count) and the first
    // lane_count lanes.  What is `ahead` elements further on, unless that is 0, is asked for.
    void (*scatter)(const float* source, int64_t stride, int64_t count, const int64_t* lanes,
                    int64_t lane_count, float least, float* target, int64_t ahead);
    // target[run.target + i] = max(least, source[run.lane + i]) for i in [0, run.count)
    void (*write_runs)(const float* source, int64_t run_count, const SparseRun* runs, float least,
                       float* target);
};

// See eltwise.h.
struct EltwiseKernels {
    void (*scaled_copy)(int64_t n, float factor, const float* x, float* y);
    void (*sum_of_two)(int64_t n, float a_factor, const float* a, float b_factor, const float* b,
                       float* y);
    void (*product_of_two)(int64_t n, const float* a, const float* b, float* y);
    void (*larger_of_two)(int64_t n, const float* a, const float* b, float* y, int32_t* winner);
    void (*take_larger)(int64_t n, int32_t index, const float* x, float* y, int32_t* winner);
    void (*select_winner)(int64_t n, int32_t index, const int32_t* winner, const float* x,
                          float* y);
};

// Part of what channels.h calls a group: [rows][count][block], rows `stride` apart.
struct ChannelPiece {
    int64_t rows, stride, count, block;
};

// What a rectifier found: (x - shift) * factor + bias, by channel, with the shift of the kernel
// that is given it.  Only where that is above 0 does dy count.
struct ChannelRectifier {
    const float *factor, *bias;
};

// (x - x_shift) * x_factor + (dy - dy_shift) * dy_factor, by channel; rectifier may be nullptr.
struct ChannelCombination {
    const float *x_shift, *x_factor, *dy_shift, *dy_factor;
    const ChannelRectifier* rectifier;
};

// By channel: arguments such as shift, and the sums, are [block].
struct ChannelKernels {
    // The sums of x - shift, and of its squares; overwritten.
    void (*moments)(const ChannelPiece& p, const float* x, const float* shift, double* sums,
                    double* squares);
    // The sums of dy, and of dy * (x - shift); overwritten.  rectifier may be nullptr.
    void (*products)(const ChannelPiece& p, const float* x, const float* dy, const float* shift,
                     const ChannelRectifier* rectifier, double* sums, double* products);
    // y = (x - shift) * factor + bias, or 0 instead of less if it is to be rectified; y may be x
    void (*affine)(const ChannelPiece& p, const float* shift, const float* factor,
                   const float* bias, bool rectify, const float* x, float* y);
    // dx may be x or dy
    void (*combine)(const ChannelPiece& p, const ChannelCombination& c, const float* x,
                    const float* dy, float* dx);
};

// What lrn.h calls the constants: the factors of the sums in scale and in the gradient.
struct LrnFactors {
    float beta, k, share, gradient;
};

// Neighbouring positions of all channels of one image, in plain memory.
struct LrnPiece {
    int64_t channels, stride;  // elements from one channel to the next
    int64_t positions;
    int64_t size, before;  // channels in a window, and how many of them come before its own
};

// Neighbouring positions of one image in blocks of channels, which are worked on in rows: the
// channels of one position, then `size` - 1 zeros.
struct LrnRows {
    int64_t groups, stride, block;  // stride: elements from one group to the next
    int64_t positions;
    int64_t size, before, width;  // width: of a row
    int64_t capacity;             // elements of all rows, of the most positions there may be
};

// A plane [height][width][block].
struct LrnPlane {
    int64_t height, width, block, size;
};

// See lrn.h.  The rooms are 0 before the first call, and then left as the last call left them;
// dx may be dy.
struct LrnKernels {
    void (*forward)(const LrnPiece& s, const LrnFactors& f, const float* x, float* scale, float* y);
    //   room  [channels + 1][positions]
    void (*backward)(const LrnPiece& s, const LrnFactors& f, const float* x, const float* scale,
                     const float* dy, float* dx, float* room);
    //   room  [3 * capacity + size]
    void (*rows_forward)(const LrnRows& r, const LrnFactors& f, const float* x, float* scale,
                         float* y, float* room);
    //   room  [5 * capacity + size]
    void (*rows_backward)(const LrnRows& r, const LrnFactors& f, const float* x, const float* scale,
                          const float* dy, float* dx, float* room);
    //   room  [width + size - 1][block]
    void (*within_forward)(const LrnPlane& p, const LrnFactors& f, const float* x, float* scale,
                           float* y, float* room);
    //   room  [width + size - 1 + (height + 1) width][block]
    void (*within_backward)(const LrnPlane& p, const LrnFactors& f, const float* x,
                            const float* scale, const float* dy, float* dx, float* room);
};

// One row of windows of a pooling.
struct PoolRow {
    int64_t first, last;  // rows of the image under the windows
    int64_t width;        // of the image
    int64_t outputs, kernel, stride, pad;
    int64_t whole_first, whole_last;  // the windows that no side of the image cuts
};

// How images in blocks of channels are pooled: a row of windows over a plane [H][r.width][block],
// to `top` [r.outputs][block], which is overwritten.
struct BlockPoolKernels {
    // The largest of each channel, or -FLT_MAX.
    void (*max_row)(const PoolRow& r, int64_t block, const float* plane, float* top);
    // The sum of each channel over the window's divisor, of [r.outputs].
    void (*average_row)(const PoolRow& r, int64_t block, const float* plane, const float* divisors,
                        float* top);
};

// Some rows of a matrix; see panels.h.
struct Panel {
    int64_t rows, columns;
    int64_t block;         // a multiple of the lanes of any vector, and not below rows
    const float* weights;  // [columns][block]
};

// Some rows of a sparse matrix and, of them, the columns of one block.
template <typename T>
struct SparsePart {
    int64_t rows;
    const int32_t* row_ptr;  // [rows + 1]   into places and values
    const uint16_t* places;  // columns within the block
    const T* values;
    const T* packed;  // what multiplies them
    T* sums;          // for each row; added to
};

// How SparseMatrix multiplies a block.
template <typename T>
struct SparseKernel {
    int64_t lanes, vectors;  // elements of a vector, and the most vectors that `add` takes

    // packed[k] = the first `width` elements of each row, filled up to whole vectors with anything
    //
    //   source  [depth][stride]
    void (*pack)(int64_t depth, int64_t width, const T* source, int64_t stride, T* packed);
    // packed [columns][vectors][lanes], sums [rows][vectors][lanes]
    void (*add)(int64_t vectors, const SparsePart<T>& part);
    // packed [columns], sums [rows]
    void (*add_dots)(const SparsePart<T>& part);
};

template <typename T>
struct TypedKernels {
    GemmKernel<T> gemm;
    SparseKernel<T> sparse;

    // out[m][x] = bias[m] + sum over the non-zeros j of row m: values[j] source[places[j] step + x]
    //
    //   row_ptr         [rows + 1]           into places and values
    //   places, values  [...]
    //   bias            [rows] or nullptr
    //   out             [rows][out_stride]   the first `width` of each row are overwritten
    void (*sparse_product)(int64_t rows, const int32_t* row_ptr, const int32_t* places,
                           const T* values, const T* source, int64_t step, const T* bias,
                           int64_t width, T* out, int64_t out_stride);

    // The largest element of each window and its place in the plane, or -FLT_MAX and -1.
    //
    //   plane      [H][r.width]
    //   top, mask  [r.outputs]    overwritten
    void (*max_pool_row)(const PoolRow& r, const T* plane, T* top, int32_t* mask);
    // The sum of each window.
    void (*sum_pool_row)(const PoolRow& r, const T* plane, T* top);
};

struct VectorKernels {
    ElementwiseKernels elementwise;
    ImplicitGemmKernel implicit_gemm;
    ChannelKernels channels;
    EltwiseKernels eltwise;
    LrnKernels lrn;
    // See softmax.h; x and y are [classes][inner].
    void (*softmax)(int64_t classes, int64_t inner, const float* x, float* y);
    DirectSparseKernel direct_sparse;
    BlockPoolKernels block_pool;
    // out = W x + bias, or 0 instead of less if relu; bias may be nullptr
    void (*panel_product)(const Panel& p, const float* x, const float* bias, bool relu, float* out);
    WinogradKernels winograd;
    TypedKernels<float> for_float;
    TypedKernels<double> for_double;
};

extern const VectorKernels portable_kernels;
#if defined(__x86_64__)
extern const VectorKernels avx2_kernels;
extern const VectorKernels avx512_kernels;
#endif

}  // namespace sscaffe
