#include <algorithm>
#include <atomic>
#include <limits>
#include <tuple>

#include "parallel.h"
#include "sparse_convolution.h"

// How SparseConvolution computes: the other files have what it prepares and what it reads.

namespace sscaffe {
namespace {

constexpr int64_t kMostLanes = SparseConvolution::kMostLanes;

// First and size of one of so many parts of a whole, the larger ones before the smaller ones: the
// threads that are ready early take what is small.
std::pair<int64_t, int64_t> share_of(int64_t whole, int64_t parts, int64_t index) {
    const int64_t size = whole / parts, larger = whole % parts;
    return {size * index + std::min(index, larger), size + (index < larger)};
}

// What one thread has to do, and others do when they are ready: units differ in size, and so do
// threads in speed where the machine is shared. What a thread begins with is its own, in the same
// order each time, for what it read and wrote last may be near it and far from the others.
struct alignas(64) Queue {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
};

}  // namespace

// Units that share filters follow each other, and so do those that share strips.
SparseConvolution::Unit SparseConvolution::unit_at(const Plan& plan, int64_t index) const {
    const SparseTiling& t = plan.tiling;
    const int64_t parts = plan.parts.size(), rows = plan.tile_rows, columns = plan.tile_columns;
    const bool strips = t.lanes == Lanes::kStrips;
    const int64_t column = strips ? index / rows % columns : index % columns;
    const int64_t row = strips ? index % rows : index / columns % rows;
    const int64_t height = phases_.down.output() / t.cuts, width = phases_.across.output();
    const auto [y, down] = share_of(height, rows, row);
    Unit unit{
        plan.parts[index / columns / rows % parts], index / columns / rows / parts, y, down, 0, 1};
    if (strips) {
        unit.time = column;
    } else {
        std::tie(unit.x, unit.columns) = share_of(width, columns, column);
    }
    return unit;
}

// What of the tile depends on neither the block of channels nor the call.
SparseTile SparseConvolution::tile_of(const Plan& plan, const Unit& unit, const Room& room) const {
    SparseTile tile{};
    tile.source = room.packed.get();
    tile.sums = room.sums.get();
    if (plan.tiling.lanes == Lanes::kStrips) {
        tile.rows = 1;
        tile.columns = unit.rows;
        return tile;
    }
    const int64_t position = plan.tiling.channels * kernel_.lanes;
    tile.strides = true;
    tile.rows = unit.rows;
    tile.columns = unit.columns;
    tile.pitch = phases_.down.stride * plan.tiling.plane_columns * position;
    tile.step = phases_.across.stride * position;
    return tile;
}

// Lay out what a tile reads of a block of channels, and say what is wanted after it.
void SparseConvolution::fetch(const Plan& plan, const Call& call, int64_t index, int64_t block,
                              const Window& window, Room& room, SparseTile& tile) const {
    const SparseTiling& t = plan.tiling;
    const Unit unit = unit_at(plan, index);
    const int64_t channels = channels_ / groups_, first = block * t.channels;
    const int64_t count = std::min(channels - first, t.channels);
    float* packed = room.packed.get();
    if (t.lanes == Lanes::kStrips) {
        const Column& column = plan.columns[unit.time];
        const int64_t begin = unit.part.group * plan.group + column.image * plan.image;
        const float* split = plan.apart ? room.split.get() : plan.split.get() + begin;
        kernel_.pack(count * t.channel_vectors(), plan.places.data(),
                     split + unit.y * phases_.columns + block * plan.block, column.runs.size(),
                     column.runs.data(), packed);
        return;
    }
    gather_window(plan, call, window, unit.part.group * channels + first, count, packed);
    int64_t next = unit.part.group * channels + first + count;
    if (first + count == channels) {
        // The thread most likely goes on with the next unit.
        const Unit after = unit_at(plan, index + 1);
        next = after.part.group * channels;
        find_ahead(call, window_of(plan, call, after), room.ahead);
    }
    tile.ahead = call.bottom.data + offset(call.bottom, next);
    tile.ahead_places = room.ahead.data();
    // Those in the middle of a cache line came with the ones before them.
    const bool there = next % std::min(call.bottom.block, kMostLanes) != 0;
    tile.ahead_count = there ? 0 : room.ahead.size();
}

void SparseConvolution::multiply(const Plan& plan, const Call& call, int64_t index,
                                 Room& room) const {
    const Unit unit = unit_at(plan, index);
    const Part& part = unit.part;
    const bool strips = plan.tiling.lanes == Lanes::kStrips;
    SparseTile tile = tile_of(plan, unit, room);
    tile.bias = call.bias ? call.bias + part.first : nullptr;
    Window window{};
    if (!strips) {
        window = window_of(plan, call, unit);
        find_ahead(call, window, room.ahead);
        if (window.clipped) std::fill_n(room.packed.get(), room.packed_size, 0.0f);
    } else if (plan.apart) {
        stage_for_one(plan, call, unit, room);
    }
    for (size_t block = 0; block < part.blocks.size(); ++block) {
        const auto [place, filter] = part.blocks[block];
        const bool last = block + 1 == part.blocks.size();
        const int64_t end = last ? part.filters.size() : part.blocks[block + 1].second;
        fetch(plan, call, index, block, window, room, tile);
        tile.start = block == 0;
        tile.filter_count = end - 1 - filter;
        tile.filters = part.filters.data() + filter;
        tile.places = part.places.data() + place;
        tile.values = part.values.data() + place * 4;
        kernel_.tile(tile);
    }
    if (strips) {
        write_strips(plan, call, unit, tile.sums);
    } else {
        write_images(call, unit, tile.sums);
    }
}

void SparseConvolution::write_images(const Call& call, const Unit& unit, const float* sums) const {
    const ChannelBlocks& top = call.top;
    const Part& part = unit.part;
    const int64_t lanes = kernel_.lanes, width = phases_.across.output();
    const int64_t plane = phases_.down.output() * width * top.block;
    const int64_t filter = unit.rows * unit.columns * lanes;
    const int64_t images = std::min(lanes, call.images - unit.time * lanes);
    int64_t places[kMostLanes];
    for (int64_t i = 0; i < images; ++i) places[i] = i * top.image;
    float* data = top.data + unit.time * lanes * top.image;
    // The channels of a position may be neighbours, and so may the positions of a plain channel.
    const int64_t step = top.block > 1 ? 1 : lanes;
    for (int64_t y = 0; y < unit.rows; ++y) {
        for (int64_t x = 0; x < unit.columns; x += step) {
            const float* source = sums + (y * unit.columns + x) * lanes;
            float* target = data + ((unit.y + y) * width + unit.x + x) * top.block;
            for_neighbours(part.first, part.count, top.block, lanes, [&](int64_t c, int64_t count) {
                const int64_t run = top.block > 1 ? count : std::min(lanes, unit.columns - x);
                kernel_.scatter(source + (c - part.first) * filter, top.block > 1 ? filter : lanes,
                                run, places, images, call.least,
                                target + c / top.block * plane + c % top.block,
                                x + step < unit.columns ? step * top.block : 0);
            });
        }
    }
}

void SparseConvolution::write_strips(const Plan& plan, const Call& call, const Unit& unit,
                                     const float* sums) const {
    const ChannelBlocks& top = call.top;
    const Part& part = unit.part;
    const Column& column = plan.columns[unit.time];
    const int64_t lanes = kernel_.lanes, width = phases_.across.output();
    const int64_t plane = phases_.down.output() * width * top.block;
    const int64_t filter = unit.rows * lanes;
    for_neighbours(part.first, part.count, top.block, lanes, [&](int64_t c, int64_t count) {
        for (int64_t y = 0; y < unit.rows; ++y) {
            const float* source = sums + (c - part.first) * filter + y * lanes;
            float* target =
                top.data + c / top.block * plane + c % top.block + (unit.y + y) * width * top.block;
            if (top.block > 1) {
                kernel_.scatter(source, filter, count, column.targets.data(), column.targets.size(),
                                call.least, target, 0);
            } else {
                kernel_.write_runs(source, column.target_runs.size(), column.target_runs.data(),
                                   call.least, target);
            }
        }
    });
}

void SparseConvolution::run(Plan& plan, const Call& call) {
    const bool strips = plan.tiling.lanes == Lanes::kStrips;
    const int64_t times = strips ? call.images : divide_up(call.images, kernel_.lanes);
    make_rooms(plan, times);
    if (strips && !plan.apart) stage_for_all(plan, call);
    const int64_t units =
        (strips ? 1 : times) * plan.parts.size() * plan.tile_rows * plan.tile_columns;
    const int64_t each = static_cast<int64_t>(plan.tiling.cycles) / std::max<int64_t>(units, 1);
    const int64_t threads = get_num_threads();
    std::vector<Queue> queues(threads);
    for (int64_t i = 0; i < threads; ++i) {
        queues[i].next = units * i / threads;
        queues[i].end = units * (i + 1) / threads;
    }
    parallel_for(0, units, grain_of(each), [&](int64_t, int64_t) {
        const int64_t own = omp_get_thread_num();
        for (int64_t i = 0; i < threads; ++i) {
            Queue& queue = queues[(own + i) % threads];
            for (int64_t unit = queue.next++; unit < queue.end; unit = queue.next++) {
                multiply(plan, call, unit, rooms_[own]);
            }
        }
    });
}

void SparseConvolution::forward(int64_t batch, const ChannelBlocks& bottom, const float* bias,
                                bool relu, const ChannelBlocks& top) {
    const float least = relu ? 0.0f : -std::numeric_limits<float>::infinity();
    const auto part = [&](int64_t first, int64_t count) {
        return Call{count,
                    {bottom.data + first * bottom.image, bottom.block, bottom.image},
                    {top.data + first * top.image, top.block, top.image},
                    bias,
                    least};
    };
    const int64_t rest = fits_images_ ? batch % kernel_.lanes : batch;
    const bool strips = rest && (!fits_images_ || is_better_as_strips(rest));
    const int64_t side_by_side = strips ? batch - rest : batch;
    // As few as are worth starting the threads twice, for the caches.
    constexpr int64_t kWorthStarting = 1 << 20;
    const int64_t work = nnz() * phases_.down.output() * phases_.across.output() + 1;
    const int64_t most = std::max<int64_t>(1, kWorthStarting / work) * kernel_.lanes;
    for (int64_t first = 0; first < side_by_side; first += most) {
        prepare(image_plan_, Lanes::kImages, part(0, std::min(side_by_side, most)));
        run(image_plan_, part(first, std::min(most, side_by_side - first)));
    }
    if (strips) {
        prepare(strip_plan_, Lanes::kStrips, part(side_by_side, rest));
        run(strip_plan_, part(side_by_side, rest));
    }
}

}  // namespace sscaffe
