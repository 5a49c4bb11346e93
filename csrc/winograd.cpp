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

// Tiles of a block, if that is more: so many outputs are made of weights that are read once, which
// come from farther away the more of them there are.
constexpr int64_t kLeastTiles = 28, kLeastTilesOfMany = 56, kManyWeights = int64_t{1} << 20;

// Rows of tiles, numbered through all images, of which some make a block; a part is for a thread.
struct Grid {
    int64_t tile, rows, columns, strips, block, parts;

    // A tile takes `floats` at the points.
    Grid(const Winograd& w, const WinogradImages& top, int64_t floats, int64_t least_tiles,
         int64_t most_parts)
        : tile(w.tile()),
          rows((top.height + tile - 1) / tile),
          columns((top.width + tile - 1) / tile),
          strips(w.batch * rows),
          parts(std::min(most_parts, strips)) {
        const int64_t tiles = std::max(kBlockFloats / floats, least_tiles);
        const int64_t own = (strips + parts - 1) / parts;
        const int64_t most = std::clamp<int64_t>(tiles / columns, 1, own);
        const int64_t blocks = (own + most - 1) / most;
        block = (own + blocks - 1) / blocks;
    }

    int64_t first_strip(int64_t part) const { return strips * part / parts; }
};

// A bottom or a top, and room for what a block of it is at the points: [kPoints][tiles][stored],
// the channels being those of one group.
struct Side {
    WinogradImages images;
    int64_t lanes;
    int64_t held;              // channels of all groups with those that fill up the last block
    int64_t channels, filled;  // of a group; with those that fill up the last block
    // stored: channels at the points, and some more where else tiles would fall on the same lines
    // of the cache
    int64_t vectors, stored;
    int64_t pad_height, pad_width;
    int64_t point_step = 0;

    Side(const WinogradImages& images, int64_t group, int64_t pad_height, int64_t pad_width)
        : images(images),
          lanes(vector_kernels().winograd.lanes),
          held((images.channels + images.block - 1) / images.block * images.block),
          channels(images.channels / group),
          filled(group == 1 ? held : channels),
          vectors((filled + lanes - 1) / lanes),
          stored((vectors % 4 == 0 ? vectors + 1 : vectors) * lanes),
          pad_height(pad_height),
          pad_width(pad_width) {}

    int64_t room(const Grid& g) {
        point_step = g.block * g.columns * stored + kApart;
        return kPoints * point_step;
    }

    // One vector of a group's channels of strip i, which is the j-th of its block.
    WinogradStrip strip(const Grid& g, int64_t group, int64_t i, int64_t j, int64_t vector,
                        float* points) const {
        const int64_t channel = group * channels + vector * lanes;
        const int64_t plane = images.height * images.width;
        const int64_t first = i / g.rows * held + channel / images.block * images.block;
        return {images.data + first * plane + channel % images.block,
                images.width * images.block,
                images.block,
                images.height,
                images.width,
                std::min(lanes, filled - vector * lanes),
                i % g.rows * g.tile - pad_height,
                -pad_width,
                g.columns,
                g.tile,
                points + j * g.columns * stored + vector * lanes,
                point_step,
                stored};
    }
};

// Some vectors of channels of one group.
struct Span {
    int64_t group, first, last;
};

// Call fn(strip, vector) for the strips [first, last).
template <typename Function>
void for_strips(const Side& side, const Grid& g, const Span& span, int64_t first, int64_t last,
                float* points, const Function& fn) {
    for (int64_t i = first; i < last; ++i) {
        for (int64_t v = span.first; v < span.last; ++v)
            fn(side.strip(g, span.group, i, i - first, v, points), v);
    }
}

// Set the channels of a strip to 0; these only fill up a block.
void clear(const WinogradStrip& s) {
    for (int64_t y = s.top; y < std::min(s.height, s.top + s.stride); ++y) {
        float* pixel = s.image + y * s.row_step;
        for (int64_t x = 0; x < s.width; ++x, pixel += s.pixel_step)
            std::fill_n(pixel, s.channels, 0.0f);
    }
}

// The weights, or their gradient, at the points: [kPoints][panels][rows][kPanel vectors], the last
// panel being as narrow as it may.
struct Panels {
    int64_t rows, lanes, vectors, step;

    Panels(int64_t rows, int64_t columns)
        : rows(rows),
          lanes(vector_kernels().winograd.lanes),
          vectors((columns + lanes - 1) / lanes),
          step(rows * vectors * lanes + kApart) {}

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

// Products of a block of strips with the weights of a span.
void multiply(const Grid& grid, const Panels& panels, const Span& span, int64_t strips,
              const Side& in, const float* points, const float* weights, const Side& out,
              float* products) {
    const WinogradKernels& kernels = vector_kernels().winograd;
    for (int64_t p = 0; p < kPoints; ++p) {
        for (int64_t v = span.first; v < span.last; v += kPanel) {
            kernels.multiply[panels.width(v) - 1](
                {panels.rows, strips * grid.columns, points + p * in.point_step, in.stored,
                 weights + p * panels.step + panels.panel(v), panels.width(v) * out.lanes,
                 products + p * out.point_step + v * out.lanes, out.stored});
        }
    }
}

// The threads of a pass, and in how many parts they take the filters; else they part the tiles.
//
// Who has all filters reads all weights; who has all tiles transforms the whole bottom.
struct Threads {
    int64_t all, filters;
    int64_t vectors, panels;  // of the filters of a group

    Threads(const Winograd& w, const Side& in, const Panels& out, const WinogradImages& top)
        : vectors(out.vectors), panels((out.vectors + kPanel - 1) / kPanel) {
        // Products, and what transforms take.  With less than two threads would share, what they
        // have made lies in the caches of the other one, for which the next layer has to wait.
        constexpr int64_t kWorthAThread = 1000000, kTransform = 4;
        const int64_t tile = w.tile(), rows = (top.height + tile - 1) / tile;
        const int64_t tiles = w.batch * rows * ((top.width + tile - 1) / tile);
        const int64_t a = in.vectors * in.lanes, b = out.vectors * out.lanes;
        const int64_t work = kPoints * tiles * w.group * (a * b + kTransform * (a + b));
        all = std::clamp<int64_t>(work / kWorthAThread, 1, get_num_threads());
        filters = std::clamp<int64_t>(b / tiles, 1, std::min(panels, all));
        while (all % filters) --filters;
    }

    // The vectors of a group's channels that are in one of the parts.
    Span span(int64_t group, int64_t part) const {
        const int64_t first = panels * part / filters * kPanel;
        const int64_t last = panels * (part + 1) / filters * kPanel;
        return {group, first, std::min(vectors, last)};
    }
};

}  // namespace

int64_t Winograd::points_room(int64_t in, int64_t out) const {
    return group * Panels(in, out).room();
}

void Winograd::transform(int64_t in, int64_t out, const float* weights, bool flip,
                         float* points) const {
    const WinogradKernels& kernels = vector_kernels().winograd;
    const Panels panels(in, out);
    for (int64_t g = 0; g < group; ++g) {
        const float* own = weights + g * kernel * kernel * in * out;
        for_filters(panels, kernel, out, const_cast<float*>(own), points + g * panels.room(),
                    [&](const WinogradFilter& f) { kernels.scatter_filter[kernel == 3](f, flip); });
    }
}

void Winograd::convolve(const WinogradImages& bottom, const float* points, const float* bias,
                        bool add, bool relu, const WinogradImages& top, Scratch& scratch) const {
    const WinogradKernels& kernels = vector_kernels().winograd;
    Side in(bottom, group, pad_height, pad_width), out(top, group, 0, 0);
    const Panels panels(in.channels, out.channels);
    const Threads threads(*this, in, panels, top);
    const Grid grid(*this, top, kPoints * (in.stored + out.stored),
                    panels.step > kManyWeights / kPoints ? kLeastTilesOfMany : kLeastTiles,
                    threads.all / threads.filters);
    const int64_t in_room = in.room(grid), room = in_room + out.room(grid) + kRoomsApart;
    const int64_t parts = grid.parts * threads.filters;
    float* start = scratch.room(group * out.stored + parts * room);
    float* rooms = start + group * out.stored;

    std::fill_n(start, group * out.stored, 0.0f);
    for (int64_t g = 0; bias && g < group; ++g)
        std::copy_n(bias + g * out.channels, out.channels, start + g * out.stored);
    // One block of tiles and some of the filters of one group.
    const auto make = [&](const Span& outs, int64_t first, int64_t last, float* own) {
        const float* weights = points + outs.group * panels.room();
        const float* begin = start + outs.group * out.stored;
        float* products = own + in_room;
        for_strips(in, grid, {outs.group, 0, in.vectors}, first, last, own,
                   [&](const WinogradStrip& s, int64_t) { kernels.scatter(s); });
        multiply(grid, panels, outs, last - first, in, own, weights, out, products);
        for_strips(out, grid, outs, first, last, products, [&](const WinogradStrip& s, int64_t v) {
            kernels.gather[kernel == 3](s, begin + v * out.lanes, add, relu);
        });
        if (outs.last < panels.vectors) return;
        for_strips(out, grid, {outs.group, panels.vectors, out.vectors}, first, last, products,
                   [](const WinogradStrip& s, int64_t) { clear(s); });
    };
    parallel_for(0, parts, 1, [&](int64_t from, int64_t to) {
        for (int64_t part = from; part < to; ++part) {
            const int64_t tiles = part / threads.filters;
            const int64_t end = grid.first_strip(tiles + 1);
            for (int64_t g = 0; g < group; ++g) {
                const Span outs = threads.span(g, part % threads.filters);
                for (int64_t first = grid.first_strip(tiles); first < end; first += grid.block)
                    make(outs, first, std::min(end, first + grid.block), rooms + part * room);
            }
        }
    });
}

void Winograd::gradient(const WinogradImages& bottom, const WinogradImages& top_diff,
                        float* weights_diff, float* bias_diff, Scratch& scratch) const {
    const WinogradKernels& kernels = vector_kernels().winograd;
    const int size = kernel == 3;
    Side in(bottom, 1, pad_height, pad_width), out(top_diff, 1, 0, 0);
    const Grid grid(*this, top_diff, kPoints * (in.stored + out.stored), 0, get_num_threads());
    const Panels panels(bottom.channels, top_diff.channels);
    const int64_t in_room = in.room(grid), out_room = out.room(grid);
    // Of each part: the sums over its tiles for the weights and the bias, then a block.
    const int64_t sums = panels.room() + out.stored, room = sums + in_room + out_room + kRoomsApart;
    float* rooms = scratch.room(grid.parts * room);

    for_blocks(grid, [&](int64_t part, int64_t first, int64_t last) {
        float *filters = rooms + part * room, *bias_sums = filters + panels.room();
        float *points = filters + sums, *diffs = points + in_room;
        if (first == grid.first_strip(part)) std::fill_n(filters, sums, 0.0f);
        for_strips(in, grid, {0, 0, in.vectors}, first, last, points,
                   [&](const WinogradStrip& s, int64_t) { kernels.scatter(s); });
        for_strips(out, grid, {0, 0, out.vectors}, first, last, diffs,
                   [&](const WinogradStrip& s, int64_t vector) {
                       kernels.spread[size](s, bias_sums + vector * out.lanes);
                   });
        for (int64_t p = 0; p < kPoints; ++p) {
            for (int64_t v = 0; v < panels.vectors; v += kPanel) {
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
