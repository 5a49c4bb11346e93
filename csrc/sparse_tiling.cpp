#include "sparse_tiling.h"

#include <algorithm>
#include <initializer_list>
#include <limits>

namespace sscaffe {
namespace {

// Elements that the kernel reads along an axis, from the first to the last.
int64_t extent(const ConvAxis& axis) {
    return axis.dilation * (axis.kernel - 1) + 1;
}

SparseTiling tiling_of(const SparseWork& work, Lanes lanes, int64_t down, int64_t across,
                       int64_t cuts, const DirectSparseKernel& kernel) {
    // What the first caches of today have, less a little for what passes through: sums and
    // weights.
    constexpr int64_t kRoom = 44 * 1024;
    const ConvAxis &rows = work.phases.down, &columns = work.phases.across;
    SparseTiling t{};
    t.lanes = lanes;
    t.down = down;
    t.across = across;
    t.cuts = cuts;
    if (lanes == Lanes::kStrips) {
        t.row_planes = std::min(rows.stride, extent(rows));
        t.plane_rows = down + (extent(rows) - 1) / rows.stride;
        t.column_planes = columns.kernel;
        t.plane_columns = 1;
    } else {
        t.row_planes = t.column_planes = 1;
        t.plane_rows = (down - 1) * rows.stride + extent(rows);
        t.plane_columns = (across - 1) * columns.stride + extent(columns);
    }
    const int64_t bytes = t.channel_vectors() * kernel.lanes * sizeof(float);
    // Places have 16 bits.
    const int64_t most = (kSparseStep << 16) / (t.reach(work.phases) * kernel.lanes);
    const int64_t room = std::clamp<int64_t>(kRoom / bytes, 1, work.channels);
    t.channels =
        most ? divide_up(work.channels, divide_up(work.channels, std::min(room, most))) : 0;
    // Blocks of channels that begin where the image's do.
    const int64_t unit = std::min(room, most) < 16 ? 8 : 16;
    if (lanes == Lanes::kImages && t.channels > unit / 2 && std::min(room, most) >= unit) {
        t.channels = std::min(work.channels, std::min(room, most) / unit * unit);
    }
    return t;
}

// Cycles for all filters of a group at one tile of so many vectors, in one part.
double tile_cycles(const SparseWork& work, const SparseTiling& t, int64_t vectors) {
    // Two loads in a cycle, one for each sum and two more; and a sum waits 4 cycles for itself.
    const double multiply = work.weights * std::max(4.0, vectors / 2.0 + 1);
    // The sums come from the second cache and go back there for each block of channels.
    const double blocks = divide_up(work.channels, t.channels);
    const double move = std::min(blocks, work.weights) * (2.0 * vectors + 10);
    const double write = 5.0 * vectors;
    // Strips are loaded and stored; images are transposed, many elements at once.
    const double cost = t.lanes == Lanes::kStrips ? 4.0 : 2.0;
    const double pack = cost * work.channels * t.channel_vectors() * t.parts;
    return work.filters * (multiply + move + write) + pack;
}

// Call fn(size, times) for the sizes of `parts` parts of a whole, which are as even as can be.
template <typename Function>
void for_sizes(int64_t whole, int64_t parts, const Function& fn) {
    const int64_t larger = whole % parts;
    fn(whole / parts, parts - larger);
    if (larger) fn(whole / parts + 1, larger);
}

double all_cycles(const SparseWork& work, const SparseTiling& t, int64_t lanes) {
    const int64_t height = work.phases.down.output() / t.cuts;
    const int64_t width = work.phases.across.output();
    const bool strips = t.lanes == Lanes::kStrips;
    const int64_t rows = divide_up(height, t.down), columns = divide_up(width, t.across);
    double cycles = 0, most = 0;
    const auto add = [&](int64_t vectors, int64_t tiles) {
        const double each = tile_cycles(work, t, vectors);
        cycles += each * tiles;
        most = std::max(most, each);
    };
    for_sizes(height, rows, [&](int64_t down, int64_t down_times) {
        if (strips) return add(down, down_times);
        for_sizes(width, columns, [&](int64_t across, int64_t across_times) {
            add(down * across, down_times * across_times);
        });
    });
    const int64_t times =
        work.groups * divide_up(strips ? work.images * width * t.cuts : work.images, lanes);
    const int64_t units = times * rows * (strips ? 1 : columns) * t.parts;
    // All wait for the thread that has the most.
    if (units <= work.threads) return most / t.parts * work.threads;
    const double shares = static_cast<double>(divide_up(units, work.threads)) * work.threads;
    return cycles * times * shares / units;
}

}  // namespace

int64_t SparseTiling::reach(const Phases& phases) const {
    if (lanes == Lanes::kStrips) return channel_vectors();
    return (extent(phases.down) - 1) * plane_columns + extent(phases.across);
}

int64_t SparseTiling::place(const Phases& phases, int64_t channel, int64_t kh, int64_t kw) const {
    const int64_t y = kh * phases.down.dilation, x = kw * phases.across.dilation;
    if (lanes == Lanes::kImages) return (y * plane_columns + x) * channels + channel;
    const int64_t row = y / phases.down.stride, row_plane = y % phases.down.stride;
    return channel * channel_vectors() + (row_plane * column_planes + kw) * plane_rows + row;
}

int64_t SparseTiling::source(const Phases& phases, int64_t vector) const {
    const int64_t row = vector % plane_rows, plane = vector / plane_rows;
    const int64_t row_plane = plane / column_planes, column_plane = plane % column_planes;
    return phases.at(row_plane, column_plane * phases.across.dilation) + row * phases.columns;
}

bool has_tiling(const ConvGeometry& g) {
    // Images side by side, one output position at a time, with the longest of vectors.
    constexpr int64_t kLanes = 16;
    int64_t vectors = 1;
    for (const ConvAxis& axis : g.axes) vectors *= extent(axis) + axis.stride - 1;
    return vectors * kLanes <= kSparseStep << 16;
}

SparseTiling choose_tiling(const SparseWork& work, Lanes lanes, const DirectSparseKernel& kernel) {
    const int64_t height = work.phases.down.output(), width = work.phases.across.output();
    SparseTiling best{};
    best.cycles = std::numeric_limits<double>::infinity();
    const auto consider = [&](int64_t down, int64_t across, int64_t cuts) {
        SparseTiling t = tiling_of(work, lanes, down, across, cuts, kernel);
        if (t.channels == 0) return;
        for (const int64_t parts : {int64_t{1}, work.threads}) {
            t.parts = parts;
            t.cycles = all_cycles(work, t, kernel.lanes);
            if (t.cycles < best.cycles) best = t;
        }
    };
    if (lanes == Lanes::kStrips) {
        for (int64_t cuts = 1; cuts <= height; ++cuts) {
            if (height % cuts) continue;
            const int64_t most = std::min(kernel.sums, height / cuts);
            for (int64_t down = 1; down <= most; ++down) consider(down, 1, cuts);
        }
        return best;
    }
    for (int64_t down = 1; down <= std::min(kernel.rows, height); ++down) {
        const int64_t most = std::min(kernel.columns, kernel.sums / down);
        for (int64_t across = 1; across <= std::min(most, width); ++across) {
            consider(down, across, 1);
        }
    }
    return best;
}

}  // namespace sscaffe
