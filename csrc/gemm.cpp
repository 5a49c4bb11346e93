#include "gemm.h"

#include <algorithm>

#include "aligned.h"
#include "cpu_features.h"
#include "parallel.h"

namespace sscaffe {
namespace {

// An operand as lines, each a row of op(a) or a column of op(b), of `depth` elements.  One of the
// two strides is 1.
template <typename T>
struct Lines {
    const T* data;
    int64_t line_stride, depth_stride;

    Lines from(int64_t line, int64_t depth) const {
        return {data + line * line_stride + depth * depth_stride, line_stride, depth_stride};
    }
};

int64_t round_up(int64_t value, int64_t unit) {
    return (value + unit - 1) / unit * unit;
}

// Lay out `width` lines side by side: packed[d][line].
template <typename T>
void pack_panel(const Lines<T>& x, int64_t lines, int64_t depth, int64_t width, T* packed) {
    if (x.line_stride == 1) {
        for (int64_t d = 0; d < depth; ++d) {
            std::copy_n(x.data + d * x.depth_stride, lines, packed + d * width);
        }
        return;
    }
    // Blocks of the transpose that stay in the first cache.
    constexpr int64_t kBlock = 16;
    for (int64_t begin = 0; begin < depth; begin += kBlock) {
        const int64_t end = std::min(begin + kBlock, depth);
        for (int64_t line = 0; line < lines; ++line) {
            const T* source = x.data + line * x.line_stride;
            for (int64_t d = begin; d < end; ++d) packed[d * width + line] = source[d];
        }
    }
}

// Lay out lines as panels of `width` lines, the last one filled up with zeros.
template <typename T>
void pack(const Lines<T>& x, int64_t lines, int64_t depth, int64_t width, T* packed) {
    for (int64_t line = 0; line < lines; line += width, packed += width * depth) {
        if (line + width > lines) std::fill_n(packed, width * depth, T{0});
        pack_panel(x.from(line, 0), std::min(width, lines - line), depth, width, packed);
    }
}

// How much is packed at a time: a block of a (rows x depth) stays in the second cache, one of b
// (depth x columns) in the third.
struct Blocks {
    int64_t rows, columns, depth;
};

template <typename T>
Blocks choose_blocks(const GemmKernel<T>& kernel, int64_t m, int64_t n, int64_t k) {
    constexpr int64_t kRows = 192, kColumns = 3072, kDepth = 1024 / sizeof(T);
    return {round_up(std::min(m, kRows), kernel.rows),
            round_up(std::min(n, kColumns), kernel.columns), std::min(k, kDepth)};
}

// out (+)= a * b in one thread, with `packed` as room for a block of each.
template <typename T>
void multiply(const GemmKernel<T>& kernel, const Blocks& blocks, const Lines<T>& a,
              const Lines<T>& b, int64_t m, int64_t n, int64_t k, bool accumulate, T* packed,
              T* out, int64_t out_stride) {
    T* packed_a = packed + blocks.columns * blocks.depth;
    for (int64_t column = 0; column < n; column += blocks.columns) {
        const int64_t columns = std::min(blocks.columns, n - column);
        for (int64_t d = 0; d < k; d += blocks.depth) {
            const int64_t depth = std::min(blocks.depth, k - d);
            pack(b.from(column, d), columns, depth, kernel.columns, packed);
            for (int64_t row = 0; row < m; row += blocks.rows) {
                const int64_t rows = std::min(blocks.rows, m - row);
                pack(a.from(row, d), rows, depth, kernel.rows, packed_a);
                for (int64_t j = 0; j < columns; j += kernel.columns) {
                    for (int64_t i = 0; i < rows; i += kernel.rows) {
                        kernel.tile(depth, packed_a + i * depth, packed + j * depth,
                                    std::min(kernel.rows, rows - i),
                                    std::min(kernel.columns, columns - j), accumulate || d > 0,
                                    out + (row + i) * out_stride + column + j, out_stride);
                    }
                }
            }
        }
    }
}

// Parts of the product, one for each thread: `down` bands of rows times `across` of columns.
struct Grid {
    int64_t down, across, rows, columns;
};

// Choose the grid with the least to compute and to pack in each part.
template <typename T>
Grid choose_grid(const GemmKernel<T>& kernel, int64_t m, int64_t n, int64_t k) {
    constexpr int64_t kWorthAThread = 1 << 20;  // multiply-adds
    constexpr int64_t kPackingCost = 16;        // in multiply-adds for each element
    const int64_t threads = std::clamp<int64_t>(m * n * k / kWorthAThread, 1, get_num_threads());
    Grid best{};
    int64_t least = INT64_MAX;
    for (int64_t down = 1; down <= threads; ++down) {
        const int64_t across = threads / down;
        const int64_t rows = round_up((m + down - 1) / down, kernel.rows);
        const int64_t columns = round_up((n + across - 1) / across, kernel.columns);
        const int64_t cost = rows * columns + kPackingCost * (rows + columns);
        if (cost < least) {
            least = cost;
            best = {(m + rows - 1) / rows, (n + columns - 1) / columns, rows, columns};
        }
    }
    return best;
}

}  // namespace

template <typename T>
void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const T* a,
          const T* b, bool accumulate, T* out) {
    if (k == 0 && !accumulate) std::fill_n(out, m * n, T{0});
    if (m == 0 || n == 0 || k == 0) return;
    const Lines<T> lines_a{a, transpose_a ? 1 : k, transpose_a ? m : 1};
    const Lines<T> lines_b{b, transpose_b ? k : 1, transpose_b ? 1 : n};
    const GemmKernel<T>& kernel = typed_kernels<T>().gemm;
    const Grid grid = choose_grid(kernel, m, n, k);
    const Blocks blocks =
        choose_blocks(kernel, std::min(m, grid.rows), std::min(n, grid.columns), k);
    const int64_t room = (blocks.rows + blocks.columns) * blocks.depth;
    const AlignedArray<T> packed = make_aligned<T>(grid.down * grid.across * room);
    parallel_for(0, grid.down * grid.across, 1, [&](int64_t first, int64_t last) {
        for (int64_t part = first; part < last; ++part) {
            const int64_t row = part / grid.across * grid.rows;
            const int64_t column = part % grid.across * grid.columns;
            multiply(kernel, blocks, lines_a.from(row, 0), lines_b.from(column, 0),
                     std::min(grid.rows, m - row), std::min(grid.columns, n - column), k,
                     accumulate, packed.get() + part * room, out + row * n + column, n);
        }
    });
}

template void gemm(bool, bool, int64_t, int64_t, int64_t, const float*, const float*, bool, float*);
template void gemm(bool, bool, int64_t, int64_t, int64_t, const double*, const double*, bool,
                   double*);

}  // namespace sscaffe
