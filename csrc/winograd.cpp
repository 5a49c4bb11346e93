#include "winograd.h"

#include <algorithm>

#include "cpu_features.h"
#include "parallel.h"

namespace sscaffe {
namespace {

constexpr int64_t kPoints = WinogradKernels::kPoints * WinogradKernels::kPoints;
constexpr int64_t kPanel = WinogradKernels::kVectors;
// What is at one point is so much longer than its numbers that those of all points do not fall on
// the same lines of the cache.
constexpr int64_t kApart = 16;
// Between what threads write, so that what one asks for ahead is not another's.
constexpr int64_t kRoomsApart = 4096;

// What a block of tiles takes of a cache of 1 MiB, in floats; the rest is for the weights.
constexpr int64_t kBlockFloats = 131072;

// Rows of tiles, numbered through all images, of which some make a block; a part is for a thread.
struct Grid {
    int64_t tile, rows, columns, strips, block, parts;

    Grid(const Winograd& w, const WinogradImages& top, int64_t channels)
        : tile(w.tile()),
          rows((top.height + tile - 1) / tile),
          columns((top.width + tile - 1) / tile),
          strips(w.batch * rows),
          block(std::clamp<int64_t>(kBlockFloats / (kPoints * channels * columns), 1, strips)),
          parts(std::min<int64_t>(get_num_threads(), strips)) {}

    int64_t first_strip(int64_t part) const { return strips * part / parts; }
};

// A bottom or a top, and room for what a block of it is at the points: [kPoints][tiles][stored].
struct Side {
    WinogradImages images;
    int64_t lanes, held;      // held: channels with those that fill up the last block
    int64_t vectors, stored;  // stored: channels at the points
    int64_t pad_height, pad_width;
    int64_t point_step = 0;

    Side(const WinogradImages& images, int64_t pad_height, int64_t pad_width)
        : images(images),
          lanes(vector_kernels().winograd.lanes),
          held((images.channels + images.block - 1) / images.block * images.block),
          vectors((held + lanes - 1) / lanes),
          stored(vectors * lanes),
          pad_height(pad_height),
          pad_width(pad_width) {}

    int64_t room(const Grid& g) {
        point_step = g.block * g.columns * stored + kApart;
        return kPoints * point_step;
    }

    // One vector of channels of strip i, which is the j-th of its block.
    WinogradStrip strip(const Grid& g, int64_t i, int64_t j, int64_t vector, float* points) const {
        const int64_t channel = vector * lanes, plane = images.height * images.width;
        const int64_t first = i / g.rows * held + channel / images.block * images.block;
        return {images.data + first * plane + channel % images.block,
                images.width * images.block,
                images.block,
                images.height,
                images.width,
                std::min(lanes, held - channel),
                i % g.rows * g.tile - pad_height,
                -pad_width,
                g.columns,
                g.tile,
                points + j * g.columns * stored + channel,
                point_step,
                stored};
    }
};

// Call fn(strip, first channel) for the strips [first, last).
template <typename Function>
void for_strips(const Side& side, const Grid& g, int64_t first, int64_t last, float* points,
                const Function& fn) {
    for (int64_t i = first; i < last; ++i) {
        for (int64_t v = 0; v < side.vectors; ++v)
            fn(side.strip(g, i, i - first, v, points), v * side.lanes);
    }
}

// The weights, or their gradient, at the points: [kPoints][panels][rows][kPanel vectors], the last
// panel being as narrow as it may.
struct Panels {
    int64_t rows, lanes, vectors, step;

    Panels(int64_t rows, const Side& columns)
        : rows(rows),
          lanes(columns.lanes),
          vectors(columns.vectors),
          step(rows * columns.stored + kApart) {}

    int64_t room() const { return kPoints * step; }
    int64_t width(int64_t vector) const {
        return std::min(kPanel, vectors - vector / kPanel * kPanel);
    }
    int64_t panel(int64_t vector) const { return vector / kPanel * kPanel * lanes * rows; }

    // A vector of one row, here and in weights [kernel][kernel][rows][columns].
    WinogradFilter filter(int64_t row, int64_t vector, int64_t kernel, int64_t columns,
                          float* weights, float* points) const {
        const int64_t tap = rows * columns;
        return {weights + row * columns + vector * lanes,
                kernel * tap,
                tap,
                std::clamp<int64_t>(columns - vector * lanes, 0, lanes),
                points + panel(vector) + (row * width(vector) + vector % kPanel) * lanes,
                step};
    }
};

// Call fn(filter) for every vector of the weights.
template <typename Function>
void for_filters(const Panels& panels, int64_t kernel, int64_t columns, float* weights,
                 float* points, const Function& fn) {
    constexpr int64_t kWork = 512;  // of a vector
    parallel_for(0, panels.rows, grain_of(panels.vectors * kWork), [&](int64_t from, int64_t to) {
        for (int64_t row = from; row < to; ++row) {
            for (int64_t v = 0; v < panels.vectors; ++v)
                fn(panels.filter(row, v, kernel, columns, weights, points));
        }
    });
}

// Call fn(part, first, last) for blocks of strips; those of one part come one after the other.
template <typename Function>
void for_blocks(const Grid& g, const Function& fn) {
    parallel_for(0, g.parts, 1, [&](int64_t from, int64_t to) {
        for (int64_t part = from; part < to; ++part) {
            const int64_t end = g.first_strip(part + 1);
            for (int64_t first = g.first_strip(part); first < end; first += g.block)
                fn(part, first, std::min(end, first + g.block));
        }
    });
}

}  // namespace

void Winograd::convolve(const WinogradImages& bottom, const float* weights, bool flip,
                        const float* bias, bool relu, const WinogradImages& top,
                        Scratch& scratch) const {
    const WinogradKernels& kernels = vector_kernels().winograd;
    const int size = kernel == 3;
    Side in(bottom, pad_height, pad_width), out(top, 0, 0);
    const Grid grid(*this, top, in.stored + out.stored);
    const Panels panels(bottom.channels, out);
    const int64_t in_room = in.room(grid), room = in_room + out.room(grid) + kRoomsApart;
    float* filters = scratch.room(panels.room() + out.stored + grid.parts * room);
    float* start = filters + panels.room();
    float* rooms = start + out.stored;

    std::fill_n(start, out.stored, 0.0f);
    if (bias) std::copy_n(bias, top.channels, start);
    for_filters(panels, kernel, top.channels, const_cast<float*>(weights), filters,
                [&](const WinogradFilter& f) { kernels.scatter_filter[size](f, flip); });
    for_blocks(grid, [&](int64_t part, int64_t first, int64_t last) {
        float *points = rooms + part * room, *products = points + in_room;
        for_strips(in, grid, first, last, points,
                   [&](const WinogradStrip& s, int64_t) { kernels.scatter(s); });
        for (int64_t p = 0; p < kPoints; ++p) {
            for (int64_t v = 0; v < out.vectors; v += kPanel) {
                kernels.multiply[panels.width(v) - 1](
                    {bottom.channels, (last - first) * grid.columns, points + p * in.point_step,
                     in.stored, filters + p * panels.step + panels.panel(v),
                     panels.width(v) * out.lanes, products + p * out.point_step + v * out.lanes,
                     out.stored});
            }
        }
        for_strips(out, grid, first, last, products, [&](const WinogradStrip& s, int64_t channel) {
            kernels.gather[size](s, start + channel, relu);
        });
    });
}

void Winograd::gradient(const WinogradImages& bottom, const WinogradImages& top_diff,
                        float* weights_diff, float* bias_diff, Scratch& scratch) const {
    const WinogradKernels& kernels = vector_kernels().winograd;
    const int size = kernel == 3;
    Side in(bottom, pad_height, pad_width), out(top_diff, 0, 0);
    const Grid grid(*this, top_diff, in.stored + out.stored);
    const Panels panels(bottom.channels, out);
    const int64_t in_room = in.room(grid), out_room = out.room(grid);
    // Of each part: the sums over its tiles for the weights and the bias, then a block.
    const int64_t sums = panels.room() + out.stored, room = sums + in_room + out_room + kRoomsApart;
    float* rooms = scratch.room(grid.parts * room);

    for_blocks(grid, [&](int64_t part, int64_t first, int64_t last) {
        float *filters = rooms + part * room, *bias_sums = filters + panels.room();
        float *points = filters + sums, *diffs = points + in_room;
        if (first == grid.first_strip(part)) std::fill_n(filters, sums, 0.0f);
        for_strips(in, grid, first, last, points,
                   [&](const WinogradStrip& s, int64_t) { kernels.scatter(s); });
        for_strips(out, grid, first, last, diffs, [&](const WinogradStrip& s, int64_t channel) {
            kernels.spread[size](s, bias_sums + channel);
        });
        for (int64_t p = 0; p < kPoints; ++p) {
            for (int64_t v = 0; v < out.vectors; v += kPanel) {
                kernels.add_transposed[panels.width(v) - 1](
                    {(last - first) * grid.columns, bottom.channels, points + p * in.point_step,
                     in.stored, diffs + p * out.point_step + v * out.lanes, out.stored,
                     filters + p * panels.step + panels.panel(v), panels.width(v) * out.lanes});
            }
        }
    });
    parallel_for(0, sums, grain_of(grid.parts), [&](int64_t from, int64_t to) {
        for (int64_t part = 1; part < grid.parts; ++part) {
            const float* more = rooms + part * room;
            vector_kernels().elementwise.add_scaled(to - from, 1.0f, more + from, rooms + from);
        }
    });
    for_filters(panels, kernel, top_diff.channels, weights_diff, rooms,
                [&](const WinogradFilter& f) { kernels.gather_filter[size](f); });
    if (bias_diff) std::copy_n(rooms + panels.room(), top_diff.channels, bias_diff);
}

}  // namespace sscaffe
