#include "pooling.h"

#include <algorithm>
#include <vector>

#include "cpu_features.h"
#include "parallel.h"

namespace sscaffe {
namespace {

// One window along one axis: its elements in the image, and how many the average counts.
struct Window {
    int64_t first, last, counted;

    bool empty() const { return first >= last; }
};

Window window_at(const PoolAxis& axis, int64_t output) {
    const int64_t start = output * axis.stride - axis.pad;
    const int64_t stop = std::min(start + axis.kernel, axis.input + axis.pad);
    return {std::max<int64_t>(start, 0), std::min(stop, axis.input), stop - start};
}

int64_t plane_size(const PoolGeometry& g) {
    return g.rows.input * g.columns.input;
}

int64_t pooled_size(const PoolGeometry& g) {
    return g.rows.output * g.columns.output;
}

// Call fn(row, plane, top) for each of some rows of windows, counted through all planes; `plane`
// and `top` are the offsets of the plane and of the row's first top.
template <typename Function>
void for_some_rows(const PoolGeometry& g, int64_t first_row, int64_t last_row, const Function& fn) {
    const PoolAxis& c = g.columns;
    const int64_t whole_first = std::min(c.output, (c.pad + c.stride - 1) / c.stride);
    const int64_t room = c.input + c.pad - c.kernel;
    const int64_t whole_last = room < 0 ? 0 : std::min(c.output, room / c.stride + 1);
    PoolRow row{0,        0,           c.input,
                c.output, c.kernel,    c.stride,
                c.pad,    whole_first, std::max(whole_first, whole_last)};
    for (int64_t i = first_row; i < last_row; ++i) {
        const Window window = window_at(g.rows, i % g.rows.output);
        row.first = window.first;
        row.last = window.last;
        fn(row, i / g.rows.output * plane_size(g), i * c.output);
    }
}

// The same for all rows of some planes.
template <typename Function>
void for_each_row(const PoolGeometry& g, int64_t first_plane, int64_t last_plane,
                  const Function& fn) {
    for_some_rows(g, first_plane * g.rows.output, last_plane * g.rows.output, fn);
}

int64_t grain(const PoolGeometry& g) {
    return grain_of(pooled_size(g) * g.rows.kernel * g.columns.kernel + plane_size(g));
}

// By what the average divides the sum of each window of a plane.
template <typename T>
std::vector<T> divisors_of(const PoolGeometry& g) {
    std::vector<T> divisors;
    divisors.reserve(pooled_size(g));
    for (int64_t y = 0; y < g.rows.output; ++y) {
        const Window rows = window_at(g.rows, y);
        for (int64_t x = 0; x < g.columns.output; ++x) {
            const Window columns = window_at(g.columns, x);
            const bool empty = rows.empty() || columns.empty();
            divisors.push_back(empty ? T{1} : static_cast<T>(rows.counted * columns.counted));
        }
    }
    return divisors;
}

// Add each top's share to the elements of its window.
template <typename T>
void share_row(const PoolRow& r, const T* top_diff, const T* divisors, T* plane) {
    for (int64_t o = 0; o < r.outputs; ++o) {
        const int64_t start = o * r.stride - r.pad, stop = std::min(start + r.kernel, r.width);
        const T share = top_diff[o] / divisors[o];
        for (int64_t y = r.first; y < r.last; ++y) {
            for (int64_t x = std::max<int64_t>(start, 0); x < stop; ++x) {
                plane[y * r.width + x] += share;
            }
        }
    }
}

}  // namespace

template <typename T>
void max_pool_forward(const PoolGeometry& g, const T* bottom, T* top, int32_t* mask) {
    const auto kernel = typed_kernels<T>().max_pool_row;
    parallel_for(0, g.planes, grain(g), [&](int64_t first, int64_t last) {
        for_each_row(g, first, last, [=](const PoolRow& row, int64_t plane, int64_t at) {
            kernel(row, bottom + plane, top + at, mask + at);
        });
    });
}

template <typename T>
void max_pool_backward(const PoolGeometry& g, const T* top_diff, const int32_t* mask,
                       T* bottom_diff) {
    const int64_t size = plane_size(g), pooled = pooled_size(g);
    parallel_for(0, g.planes, grain_of(size + pooled), [=](int64_t first, int64_t last) {
        std::fill(bottom_diff + first * size, bottom_diff + last * size, T{0});
        for (int64_t plane = first; plane < last; ++plane) {
            for (int64_t i = plane * pooled; i < (plane + 1) * pooled; ++i) {
                if (mask[i] >= 0) bottom_diff[plane * size + mask[i]] += top_diff[i];
            }
        }
    });
}

template <typename T>
void ave_pool_forward(const PoolGeometry& g, const T* bottom, T* top) {
    const std::vector<T> divisors = divisors_of<T>(g);
    const auto kernel = typed_kernels<T>().sum_pool_row;
    const int64_t width = g.columns.output, pooled = pooled_size(g);
    parallel_for(0, g.planes, grain(g), [&](int64_t first, int64_t last) {
        for_each_row(g, first, last, [&](const PoolRow& row, int64_t plane, int64_t at) {
            kernel(row, bottom + plane, top + at);
            const T* divisor = divisors.data() + at % pooled;
            for (int64_t x = 0; x < width; ++x) top[at + x] /= divisor[x];
        });
    });
}

template <typename T>
void ave_pool_backward(const PoolGeometry& g, const T* top_diff, T* bottom_diff) {
    const std::vector<T> divisors = divisors_of<T>(g);
    const int64_t size = plane_size(g), pooled = pooled_size(g);
    parallel_for(0, g.planes, grain(g), [&](int64_t first, int64_t last) {
        std::fill(bottom_diff + first * size, bottom_diff + last * size, T{0});
        for_each_row(g, first, last, [&](const PoolRow& row, int64_t plane, int64_t at) {
            share_row(row, top_diff + at, divisors.data() + at % pooled, bottom_diff + plane);
        });
    });
}

BlockPooling::BlockPooling(const PoolGeometry& g, bool max) : g_(g) {
    if (!max) divisors_ = divisors_of<float>(g);
}

void BlockPooling::forward(int64_t block, const float* bottom, float* top) const {
    const PoolGeometry& g = g_;
    const BlockPoolKernels& kernels = vector_kernels().block_pool;
    const float* divisors = divisors_.data();
    const bool max = divisors_.empty();
    const int64_t work = g.columns.output * g.rows.kernel * g.columns.kernel * block;
    parallel_for(0, g.planes * g.rows.output, grain_of(work), [&](int64_t begin, int64_t end) {
        for_some_rows(g, begin, end, [=](const PoolRow& row, int64_t plane, int64_t at) {
            if (max) {
                kernels.max_row(row, block, bottom + plane * block, top + at * block);
            } else {
                kernels.average_row(row, block, bottom + plane * block,
                                    divisors + at % pooled_size(g), top + at * block);
            }
        });
    });
}

template void max_pool_forward(const PoolGeometry&, const float*, float*, int32_t*);
template void max_pool_forward(const PoolGeometry&, const double*, double*, int32_t*);
template void max_pool_backward(const PoolGeometry&, const float*, const int32_t*, float*);
template void max_pool_backward(const PoolGeometry&, const double*, const int32_t*, double*);
template void ave_pool_forward(const PoolGeometry&, const float*, float*);
template void ave_pool_forward(const PoolGeometry&, const double*, double*);
template void ave_pool_backward(const PoolGeometry&, const float*, float*);
template void ave_pool_backward(const PoolGeometry&, const double*, double*);

}  // namespace sscaffe
