#include "sparse_matrix.h"

#include <algorithm>

#include "cpu_features.h"
#include "geometry.h"
#include "parallel.h"

namespace sscaffe {
namespace {

// packed[k][i] = x[i][k] in blocks that stay in the first cache; lanes from `lines` on are left.
template <typename T>
void transpose(const T* x, int64_t stride, int64_t lines, int64_t depth, int64_t width, T* packed) {
    constexpr int64_t kBlock = 16;
    for (int64_t begin = 0; begin < depth; begin += kBlock) {
        const int64_t end = std::min(begin + kBlock, depth);
        for (int64_t line = 0; line < lines; ++line) {
            const T* source = x + line * stride;
            for (int64_t k = begin; k < end; ++k) packed[k * width + line] = source[k];
        }
    }
}

template <typename T>
void copy_rectified(int64_t n, const T* x, int64_t stride, bool relu, T* y) {
    if (relu) {
        for (int64_t i = 0; i < n; ++i) y[i] = std::max(x[i * stride], T{0});
    } else {
        for (int64_t i = 0; i < n; ++i) y[i] = x[i * stride];
    }
}

}  // namespace

template <typename T>
SparseMatrix<T>::SparseMatrix(int64_t rows, int64_t columns, const int32_t* row_ptr,
                              const int32_t* indices, const T* values, int64_t width)
    : rows_(rows),
      columns_(columns),
      nnz_(row_ptr[rows]),
      places_(make_aligned<uint16_t>(nnz_)),
      values_(make_aligned<T>(nnz_)) {
    choose_blocks(width);
    lay_out(row_ptr, indices, values);
}

template <typename T>
void SparseMatrix<T>::choose_blocks(int64_t width) {
    constexpr int64_t kChunkRows = 128, kFirstCache = 32 << 10, kSecondCache = 512 << 10;
    constexpr int64_t kWorthARow = 16;   // non-zeros that a row should have in a block
    constexpr int64_t kLargest = 65536;  // places have 16 bits
    const SparseKernel<T>& kernel = typed_kernels<T>().sparse;
    chunks_ = std::max<int64_t>(1, divide_up(rows_, kChunkRows));
    if (width == 1) {
        block_columns_ = kLargest;
    } else {
        const int64_t vectors = std::clamp<int64_t>(width / kernel.lanes, 1, kernel.vectors);
        const int64_t bytes = vectors * kernel.lanes * sizeof(T);
        const int64_t worth = nnz_ ? kWorthARow * columns_ * rows_ / nnz_ : 1;
        block_columns_ = std::clamp(worth, kFirstCache / bytes, kSecondCache / bytes);
        block_columns_ = std::min(block_columns_, kLargest);
    }
    blocks_ = std::max<int64_t>(1, divide_up(columns_, block_columns_));
    block_columns_ = std::max<int64_t>(1, divide_up(columns_, blocks_));
}

template <typename T>
void SparseMatrix<T>::lay_out(const int32_t* row_ptr, const int32_t* indices, const T* values) {
    row_ptr_.reserve(blocks_ * (rows_ + chunks_));
    std::vector<int32_t> next(row_ptr, row_ptr + rows_);
    int32_t place = 0;
    for (int64_t chunk = 0; chunk < chunks_; ++chunk) {
        chunk_starts_.push_back(row_ptr_.size());
        for (int64_t block = 0; block < blocks_; ++block) {
            const int64_t first = block * block_columns_, last = first + block_columns_;
            row_ptr_.push_back(place);
            for (int64_t row = rows_before(chunk); row < rows_before(chunk + 1); ++row) {
                int32_t& j = next[row];
                for (; j < row_ptr[row + 1] && indices[j] < last; ++j) {
                    places_[place] = static_cast<uint16_t>(indices[j] - first);
                    values_[place++] = values[j];
                }
                row_ptr_.push_back(place);
            }
        }
    }
}

template <typename T>
void SparseMatrix<T>::multiply(int64_t batch, int64_t p, const T* x, const T* bias, bool relu,
                               T* out) {
    if (p == 1) return multiply_vectors(batch, x, bias, relu, out);
    const int64_t tiles = choose_tiles(batch, p);
    multiply({batch, p, {x, columns_ * p, p, 1}, {out, rows_ * p, p, 1}, bias, relu, tiles});
}

template <typename T>
void SparseMatrix<T>::multiply_vectors(int64_t batch, const T* x, const T* bias, bool relu,
                                       T* out) {
    const int64_t tiles = choose_tiles(1, batch);
    const Product product{1, batch, {x, 0, 1, columns_}, {out, 0, 1, rows_}, bias, relu, tiles};
    if (batch == 1) return multiply_vector(product);
    multiply(product);
}

// How many tiles each dense matrix is cut into: as even as can be, and so many that the threads get
// as many each.
template <typename T>
int64_t SparseMatrix<T>::choose_tiles(int64_t batch, int64_t width) const {
    const SparseKernel<T>& kernel = typed_kernels<T>().sparse;
    const int64_t threads = get_num_threads(), vectors = divide_up(width, kernel.lanes);
    const int64_t least = divide_up(vectors, kernel.vectors);
    // A tile of few vectors wastes the reading of the weights.
    const int64_t most = std::max(least, vectors / 4);
    for (int64_t tiles = least; tiles <= most && batch * tiles < 4 * threads; ++tiles) {
        if (batch * tiles % threads == 0) return tiles;
    }
    return least;
}

template <typename T>
void SparseMatrix<T>::make_rooms(int64_t threads, int64_t packed, int64_t sums) {
    if (static_cast<int64_t>(rooms_.size()) < threads) rooms_.resize(threads);
    for (Room& room : rooms_) {
        if (room.packed_size < packed) {
            room.packed = make_aligned<T>(packed);
            // Lanes that no column fills are computed too: let them hold numbers.
            std::fill_n(room.packed.get(), packed, T{0});
            room.packed_size = packed;
        }
        if (room.sums_size < sums) {
            room.sums = make_aligned<T>(sums);
            room.sums_size = sums;
        }
    }
}

template <typename T>
void SparseMatrix<T>::multiply(const Product& product) {
    const int64_t tiles = product.batch * product.tiles, threads = get_num_threads();
    if (tiles == 0 || rows_ == 0) return;
    const int64_t lanes = typed_kernels<T>().sparse.lanes;
    const int64_t vectors = divide_up(divide_up(product.width, lanes), product.tiles);
    const int64_t width = vectors * lanes;
    make_rooms(threads, columns_ * width, divide_up(rows_, chunks_) * width);
    const int64_t work = (nnz_ + columns_ + rows_) * width / 8;
    const auto multiply_chunks = [&](const Tile& tile, const T* packed, int64_t first,
                                     int64_t last) {
        T* sums = rooms_[omp_get_thread_num()].sums.get();
        for (int64_t chunk = first; chunk < last; ++chunk) {
            add_chunk(chunk, tile.vectors, packed, product.bias, sums);
            finish(product, tile, chunk, sums);
        }
    };
    if (tiles % threads == 0 || tiles >= 4 * threads) {
        parallel_for(0, tiles, grain_of(work), [&](int64_t first, int64_t last) {
            T* packed = rooms_[omp_get_thread_num()].packed.get();
            for (int64_t index = first; index < last; ++index) {
                const Tile tile = tile_at(product, index);
                pack(product, tile, 0, columns_, packed);
                multiply_chunks(tile, packed, 0, chunks_);
            }
        });
        return;
    }
    T* packed = rooms_[0].packed.get();
    for (int64_t index = 0; index < tiles; ++index) {
        const Tile tile = tile_at(product, index);
        parallel_for(0, columns_, grain_of(width), [&](int64_t first, int64_t last) {
            pack(product, tile, first, last, packed);
        });
        parallel_for(0, chunks_, grain_of(work / chunks_), [&](int64_t first, int64_t last) {
            multiply_chunks(tile, packed, first, last);
        });
    }
}

template <typename T>
void SparseMatrix<T>::multiply_vector(const Product& product) {
    const SparseKernel<T>& kernel = typed_kernels<T>().sparse;
    parallel_for(0, chunks_, grain_of((nnz_ + rows_) / chunks_), [&](int64_t first, int64_t last) {
        for (int64_t chunk = first; chunk < last; ++chunk) {
            const int64_t row = rows_before(chunk), rows = rows_before(chunk + 1) - row;
            T* sums = product.out.data + row;
            if (product.bias) {
                std::copy_n(product.bias + row, rows, sums);
            } else {
                std::fill_n(sums, rows, T{0});
            }
            const int32_t* row_ptr = row_ptr_.data() + chunk_starts_[chunk];
            for (int64_t block = 0; block < blocks_; ++block, row_ptr += rows + 1) {
                kernel.add_dots({rows, row_ptr, places_.get(), values_.get(),
                                 product.x.data + block * block_columns_, sums});
            }
            if (product.relu) copy_rectified<T>(rows, sums, 1, true, sums);
        }
    });
}

template <typename T>
typename SparseMatrix<T>::Tile SparseMatrix<T>::tile_at(const Product& product,
                                                        int64_t index) const {
    const int64_t lanes = typed_kernels<T>().sparse.lanes;
    const int64_t vectors = divide_up(product.width, lanes), t = index % product.tiles;
    // The larger tiles come last, for the last one may have an unfinished vector.
    const int64_t first = vectors * t / product.tiles, last = vectors * (t + 1) / product.tiles;
    return {index / product.tiles, first * lanes,
            std::min(last * lanes, product.width) - first * lanes, last - first};
}

template <typename T>
void SparseMatrix<T>::pack(const Product& product, const Tile& tile, int64_t first, int64_t last,
                           T* packed) const {
    const SparseKernel<T>& kernel = typed_kernels<T>().sparse;
    const T* source = product.x.at(tile.n, first, tile.first);
    T* target = packed + first * tile.vectors * kernel.lanes;
    if (product.x.column_stride == 1) {
        kernel.pack(last - first, tile.count, source, product.x.row_stride, target);
    } else {
        transpose(source, product.x.column_stride, tile.count, last - first,
                  tile.vectors * kernel.lanes, target);
    }
}

// sums = bias + the product of a chunk
template <typename T>
void SparseMatrix<T>::add_chunk(int64_t chunk, int64_t vectors, const T* packed, const T* bias,
                                T* sums) const {
    const SparseKernel<T>& kernel = typed_kernels<T>().sparse;
    const int64_t width = vectors * kernel.lanes;
    const int64_t row = rows_before(chunk), rows = rows_before(chunk + 1) - row;
    for (int64_t i = 0; i < rows; ++i) {
        std::fill_n(sums + i * width, width, bias ? bias[row + i] : T{0});
    }
    const int32_t* row_ptr = row_ptr_.data() + chunk_starts_[chunk];
    for (int64_t block = 0; block < blocks_; ++block, row_ptr += rows + 1) {
        kernel.add(vectors, {rows, row_ptr, places_.get(), values_.get(),
                             packed + block * block_columns_ * width, sums});
    }
}

template <typename T>
void SparseMatrix<T>::finish(const Product& product, const Tile& tile, int64_t chunk,
                             const T* sums) const {
    const int64_t width = tile.vectors * typed_kernels<T>().sparse.lanes;
    const int64_t row = rows_before(chunk), rows = rows_before(chunk + 1) - row;
    T* out = product.out.at(tile.n, row, tile.first);
    if (product.out.column_stride == 1) {
        for (int64_t i = 0; i < rows; ++i) {
            copy_rectified(tile.count, sums + i * width, 1, product.relu,
                           out + i * product.out.row_stride);
        }
        return;
    }
    for (int64_t i = 0; i < tile.count; ++i) {
        copy_rectified(rows, sums + i, width, product.relu, out + i * product.out.column_stride);
    }
}

template class SparseMatrix<float>;
template class SparseMatrix<double>;

}  // namespace sscaffe
