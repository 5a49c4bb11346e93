#include "sparse_tiling.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

namespace sscaffe {
namespace {

static double env(const char* name, double def) {
    const char* s = std::getenv(name);
    return s ? std::atof(s) : def;
}


int64_t divide_up(int64_t value, int64_t unit) {
    return (value + unit - 1) / unit;
}

// Elements that the kernel reads along an axis, from the first to the last.
int64_t extent(const ConvAxis& axis) {
    return axis.dilation * (axis.kernel - 1) + 1;
}

SparseTiling tiling_of(const Phases& phases, Lanes lanes, int64_t down, int64_t across,
                       int64_t cuts, const DirectSparseKernel& kernel, int64_t channels) {
    SparseTiling t{};
    t.lanes = lanes;
    t.down = down;
    t.across = across;
    t.cuts = cuts;
    t.row_planes = std::min(phases.down.stride, extent(phases.down));
    t.plane_rows = down + (extent(phases.down) - 1) / phases.down.stride;
    if (lanes == Lanes::kStrips) {
        t.column_planes = phases.across.kernel;
        t.plane_columns = 1;
    } else {
        t.column_planes = std::min(phases.across.stride, extent(phases.across));
        t.plane_columns = across + (extent(phases.across) - 1) / phases.across.stride;
    }
    const int64_t bytes = t.channel_vectors() * kernel.lanes * sizeof(float);
    const int64_t room = static_cast<int64_t>(env("L1", 36864));
    const int64_t blocks = divide_up(channels, std::clamp<int64_t>(room / bytes, 1, channels));
    t.channels = divide_up(channels, blocks);
    return t;
}

// Cycles of one thread for all filters at one tile.
double tile_cycles(const SparseWork& work, const SparseTiling& t, int64_t vectors) {
    const double blocks = divide_up(work.channels, t.channels);
    // A load for each sum and weight, two of them in a cycle; sums wait 4 cycles for themselves.
    const double multiply = work.weights * std::max(4.0, vectors / 2.0 + env("WB", 1.0));
    const double move = std::min(blocks, work.weights) * (env("MV", 2.0) * vectors + env("MB", 10.0));
    const double pack = env("PK", 4) * work.channels * t.channel_vectors() * t.parts;
    return work.filters * (multiply + move + env("OUT", 5) * vectors) + pack;
}

double all_cycles(const SparseWork& work, const SparseTiling& t, int64_t lanes) {
    const int64_t height = work.phases.down.output() / t.cuts, width = work.phases.across.output();
    const bool strips = t.lanes == Lanes::kStrips;
    const int64_t columns = strips ? divide_up(work.images * width * t.cuts, lanes) : 1;
    const int64_t rows_of_tiles = divide_up(height, t.down);
    const int64_t columns_of_tiles = strips ? 1 : divide_up(width, t.across);
    double cycles = 0;
    for (int64_t i = 0; i < rows_of_tiles; ++i) {
        const int64_t rows =
            height * (i + 1) / rows_of_tiles - height * i / rows_of_tiles;
        for (int64_t j = 0; j < columns_of_tiles; ++j) {
            const int64_t across =
                strips ? 1
                       : width * (j + 1) / columns_of_tiles - width * j / columns_of_tiles;
            cycles += tile_cycles(work, t, rows * across);
        }
    }
    const int64_t times = strips ? columns : divide_up(work.images, lanes);
    const int64_t units =
        times * work.groups * rows_of_tiles * columns_of_tiles * t.parts;
    // The threads wait for the one that has the most.
    const double balance = static_cast<double>(divide_up(units, work.threads)) * work.threads / units;
    return cycles * times * work.groups * balance;
}

}  // namespace

int64_t SparseTiling::place(const Phases& phases, int64_t kh, int64_t kw) const {
    const int64_t y = kh * phases.down.dilation, x = kw * phases.across.dilation;
    const int64_t row = y / phases.down.stride, row_plane = y % phases.down.stride;
    if (lanes == Lanes::kStrips) return (row_plane * column_planes + kw) * plane_rows + row;
    const int64_t plane = row_plane * column_planes + x % phases.across.stride;
    return (plane * plane_rows + row) * plane_columns + x / phases.across.stride;
}

int64_t SparseTiling::source(const Phases& phases, int64_t vector) const {
    const int64_t column = vector % plane_columns, row = vector / plane_columns % plane_rows;
    const int64_t plane = vector / plane_columns / plane_rows;
    const int64_t row_plane = plane / column_planes, column_plane = plane % column_planes;
    const int64_t x = lanes == Lanes::kStrips ? column_plane * phases.across.dilation : column_plane;
    return phases.at(row_plane, x) + row * phases.columns + column;
}

SparseTiling choose_tiling(const SparseWork& work, Lanes lanes, const DirectSparseKernel& kernel) {
    const int64_t height = work.phases.down.output(), width = work.phases.across.output();
    SparseTiling best{};
    best.cycles = std::numeric_limits<double>::infinity();
    const auto consider = [&](int64_t down, int64_t across, int64_t cuts) {
        SparseTiling t = tiling_of(work.phases, lanes, down, across, cuts, kernel, work.channels);
        for (t.parts = 1; t.parts <= work.threads; t.parts += std::max<int64_t>(1, work.threads - 1)) {
            t.cycles = all_cycles(work, t, kernel.lanes);
            if (t.cycles < best.cycles) best = t;
        }
    };
    if (lanes == Lanes::kStrips) {
        for (int64_t cuts = 1; cuts <= height; ++cuts) {
            if (height % cuts) continue;
            for (int64_t down = 1; down <= std::min(kernel.sums, height / cuts); ++down) {
                consider(down, 1, cuts);
            }
        }
        return best;
    }
    const int64_t fr = env("FR", 0), fc = env("FC", 0);
    for (int64_t down = 1; down <= std::min(kernel.rows, height); ++down) {
        const int64_t most =
            down == 1 ? kernel.sums : std::min(kernel.columns, kernel.sums / down);
        for (int64_t across = 1; across <= std::min(most, width); ++across) {
            if ((fr && fr != down) || (fc && fc != across)) continue;
            consider(down, across, 1);
        }
    }
    return best;
}

}  // namespace sscaffe
