#pragma once

#include <cstdint>
#include <vector>

#include "aligned.h"
#include "vector_kernels.h"

namespace sscaffe {

// A sparse matrix W of M x K, laid out for multiplying dense ones.
//
// Its non-zeros are kept by chunks of rows and, within a chunk, by blocks of columns: the rows of
// the dense matrix that a block meets stay in the first cache while the rows of a chunk go over
// them.  Not to be used by two threads at once.
//
// Cost of a product: 2 * nnz flops for each column of the dense matrix.  The threads share its
// columns where they are many, else the rows of W; small products stay on the calling thread.
template <typename T>
class SparseMatrix {
   public:
    // From CSR form; the arrays may go afterwards.
    //
    //   row_ptr          [rows + 1]
    //   indices, values  [nnz]       ascending in each row, in [0, columns)
    //   width            columns of the dense matrices to come; others are slower to multiply
    SparseMatrix(int64_t rows, int64_t columns, const int32_t* row_ptr, const int32_t* indices,
                 const T* values, int64_t width);

    int64_t rows() const { return rows_; }
    int64_t columns() const { return columns_; }

    // out[n] = W * x[n] + bias, and then the larger of that and 0 if `relu`
    //
    //   x     [batch][K][p]
    //   bias  [M] or nullptr
    //   out   [batch][M][p]   overwritten; must not overlap x
    void multiply(int64_t batch, int64_t p, const T* x, const T* bias, bool relu, T* out);

    // The same of vectors: x [batch][K], out [batch][M].
    void multiply_vectors(int64_t batch, const T* x, const T* bias, bool relu, T* out);

   private:
    // Where element (row, column) of dense matrices is: one stride of the two is 1.
    template <typename U>
    struct Places {
        U* data;
        int64_t batch_stride, row_stride, column_stride;

        U* at(int64_t n, int64_t row, int64_t column) const {
            return data + n * batch_stride + row * row_stride + column * column_stride;
        }
    };

    struct Product {
        int64_t batch, width;
        Places<const T> x;
        Places<T> out;
        const T* bias;
        bool relu;
        int64_t tiles;  // of each matrix
    };

    // Neighbouring columns of one of the dense matrices.
    struct Tile {
        int64_t n, first, count, vectors;
    };

    struct Room {
        AlignedArray<T> packed, sums;
        int64_t packed_size = 0, sums_size = 0;
    };

    void choose_blocks(int64_t width);
    void lay_out(const int32_t* row_ptr, const int32_t* indices, const T* values);
    int64_t rows_before(int64_t chunk) const { return rows_ * chunk / chunks_; }

    int64_t choose_tiles(int64_t batch, int64_t width) const;
    void make_rooms(int64_t threads, int64_t packed, int64_t sums);
    void multiply(const Product& product);
    void multiply_vector(const Product& product);
    Tile tile_at(const Product& product, int64_t index) const;
    void pack(const Product& product, const Tile& tile, int64_t first, int64_t last,
              T* packed) const;
    void add_chunk(int64_t chunk, int64_t vectors, const T* packed, const T* bias, T* sums) const;
    void finish(const Product& product, const Tile& tile, int64_t chunk, const T* sums) const;

    int64_t rows_, columns_, nnz_;
    int64_t chunks_ = 1, blocks_ = 1, block_columns_ = 1;
    std::vector<int64_t> chunk_starts_;  // [chunks] into row_ptr_: blocks x (rows + 1) each
    std::vector<int32_t> row_ptr_;
    AlignedArray<uint16_t> places_;  // columns within their block
    AlignedArray<T> values_;
    std::vector<Room> rooms_;
};

}  // namespace sscaffe
