#pragma once

#include <cstdint>

// The inner loops that are compiled once for each instruction set, as tables of functions.
//
// The files vector_<isa>.cpp hold the tables; all include vector_body.h.  Nothing here or there may
// be an inline function or template of external linkage: the linker would keep one copy for all
// callers, perhaps the one with instructions that this machine lacks.

namespace sscaffe {

struct ElementwiseKernels {
    void (*add_scaled)(int64_t n, float factor, const float* x, float* y);
    void (*scale)(int64_t n, float factor, float* x);
    double (*sum_of_squares)(int64_t n, const float* x);
    void (*add_squares)(int64_t n, const float* x, double* sums);  // sums[i] += x[i]^2
    void (*add_products)(int64_t n, const float* factors, const float* x, float* y);
    void (*momentum_step)(int64_t n, float rate, float momentum, float* diff, float* history);
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

// Up to kLanes neighbouring elements of a row: where they are, from wherever the row begins.
struct ImplicitRun {
    int64_t source, target;
};

// A vector of sums, of neighbouring output positions of one image.
struct ImplicitVector {
    int64_t place;  // in the output, from the row's first position in the first image
    int64_t count;  // positions; the other lanes are of no use
};

// out[rows[i]][vectors] = bias[rows[i]] + sum over k: weights[k][i] packed[k][vectors]
struct ImplicitTile {
    int64_t depth, row_count, vector_count;
    const float* weights;           // [depth][row_count]
    const float* packed;            // [depth][vector_count][lanes]
    const int32_t* rows;            // [row_count]
    const ImplicitVector* vectors;  // [vector_count]
    const float* bias;              // by row, or nullptr
    float* out;
    int64_t out_stride;  // from row to row
};

// How ImplicitGemm multiplies a tile of the product.
struct ImplicitGemmKernel {
    int64_t rows, vectors, lanes;  // the most that a tile has, and the elements of a vector

    // Copy rows of `width` elements, to where rows are target_stride apart.
    void (*copy_rows)(int64_t rows, int64_t width, const float* source, float* target,
                      int64_t target_stride);
    // packed[k][run.target + i] = image[places[k] + run.source + i] for i in [0, lanes) and each
    // run, which may overwrite the end of the one before it and begin the next row.
    //
    //   packed  [depth][width], and room for another vector
    void (*pack)(int64_t depth, const int64_t* places, const float* image, int64_t run_count,
                 const ImplicitRun* runs, int64_t width, float* packed);
    void (*tile)(const ImplicitTile& t);
};

// The next `count` weights belong to this filter: in fours, the first of which may be incomplete
// and then has its weights last.
struct SparseFilter {
    int32_t filter, count;
};

// Neighbouring lanes of a vector of sums, and where they go.
struct SparseRun {
    int64_t lane, count, target;
};

constexpr int64_t kSparseStep = 2;  // floats; the unit of places in a packed tile

// sums[filter][y][x] (+)=
//     sum over its weights: value * packed[place * kSparseStep + y * pitch + x * lanes]
struct SparseTile {
    int64_t rows, columns;  // of vectors
    const float* packed;
    int64_t pitch;  // from row to row of packed
    int64_t filter_count;
    const SparseFilter* filters;  // [filter_count + 1], the last one without weights
    const uint64_t* places;       // of four weights, 16 bits each; there is one more
    const float* values;
    bool start;         // with the bias, or from what the sums are
    const float* bias;  // by filter, or nullptr
    float* sums;        // [filters][rows][columns][lanes]
    // What will be packed next, ahead[ahead_places[i]], is asked for meanwhile.
    int64_t ahead_count;
    const int64_t* ahead_places;
    const float* ahead;
};

// How SparseConvolution multiplies a tile, and moves what it reads and writes.
struct DirectSparseKernel {
    int64_t lanes;          // elements of a vector
    int64_t sums;           // the most vectors of a tile
    int64_t rows, columns;  // the most rows; and columns, if there are several rows
    void (*tile)(const SparseTile& t);
    // target[k * stride + i] = source[lanes[i] + k] for k in [0, count) and each lane i
    void (*gather)(const float* source, const int64_t* lanes, int64_t count, float* target,
                   int64_t stride);
    // target[lanes[i] + k] = max(least, source[k * stride + i]) for k in [0, count) and the first
    // lane_count lanes
    void (*scatter)(const float* source, int64_t stride, int64_t count, const int64_t* lanes,
                    int64_t lane_count, float least, float* target);
    // target[run.target + i] = max(least, source[run.lane + i]) for i in [0, run.count)
    void (*write_runs)(const float* source, int64_t run_count, const SparseRun* runs, float least,
                       float* target);
};

// Part of an LRN: `positions` neighbouring positions of all channels of one image.
struct LrnKernelSizes {
    int64_t channels, stride;  // elements from one channel to the next
    int64_t positions;
    int64_t size, before;  // channels in a window, and how many of them come before its own
};

// One row of windows of a pooling.
struct PoolRow {
    int64_t first, last;  // rows of the image under the windows
    int64_t width;        // of the image
    int64_t outputs, kernel, stride, pad;
    int64_t whole_first, whole_last;  // the windows that no side of the image cuts
};

template <typename T>
struct TypedKernels {
    GemmKernel<T> gemm;

    // out[m][x] = bias[m] + sum over the non-zeros j of row m: values[j] source[places[j] step + x]
    //
    //   row_ptr         [rows + 1]           into places and values
    //   places, values  [...]
    //   bias            [rows] or nullptr
    //   out             [rows][out_stride]   the first `width` of each row are overwritten
    void (*sparse_product)(int64_t rows, const int32_t* row_ptr, const int32_t* places,
                           const T* values, const T* source, int64_t step, const T* bias,
                           int64_t width, T* out, int64_t out_stride);

    // See lrn.h; all pointers are to the first position of the first channel.
    void (*lrn_forward)(const LrnKernelSizes& s, T alpha, T beta, T k, const T* x, T* scale, T* y);
    //   ratios  [channels + 1][positions]   room to work in
    void (*lrn_backward)(const LrnKernelSizes& s, T alpha, T beta, const T* x, const T* scale,
                         const T* dy, T* dx, T* ratios);

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
    DirectSparseKernel direct_sparse;
    TypedKernels<float> for_float;
    TypedKernels<double> for_double;
};

extern const VectorKernels portable_kernels;
#if defined(__x86_64__)
extern const VectorKernels avx2_kernels;
extern const VectorKernels avx512_kernels;
#endif

}  // namespace sscaffe
