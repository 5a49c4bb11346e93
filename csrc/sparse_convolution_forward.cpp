#include <algorithm>
#include <atomic>
#include <limits>
#include <tuple>

#include "parallel.h"
#include "sparse_convolution.h"

// How SparseConvolution computes: the other file has what it prepares.

namespace sscaffe {
namespace {

constexpr int64_t kMostLanes = SparseConvolution::kMostLanes;

// Grow a zeroed array.
void make_room(AlignedArray<float>& array, int64_t& size, int64_t wanted) {
    if (size >= wanted) return;
    size = 0;
    array = make_aligned<float>(wanted);
    std::fill_n(array.get(), wanted, 0.0f);
    size = wanted;
}

// Call fn(channel, count) for the channels, as many at once as are neighbours in memory.
template <typename Function>
void for_neighbours(int64_t first, int64_t count, int64_t block, int64_t most, const Function& fn) {
    for (int64_t c = first; c < first + count;) {
        const int64_t n = std::min({block - c % block, first + count - c, most});
        fn(c, n);
        c += n;
    }
}

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

void SparseConvolution::make_rooms(Plan& plan, int64_t images) {
    const SparseTiling& t = plan.tiling;
    const int64_t lanes = kernel_.lanes;
    int64_t most = 0;
    for (const Part& part : plan.parts) most = std::max(most, part.count);
    rooms_.resize(std::max<size_t>(rooms_.size(), get_num_threads()));
    for (Room& room : rooms_) {
        make_room(room.sums, room.sums_size, (most * t.down * t.across + 1) * lanes);
        make_room(room.packed, room.packed_size, (t.channels * t.channel_vectors() + 1) * lanes);
        if (t.lanes == Lanes::kImages) continue;
        make_room(room.planes, room.planes_size,
                  kMostLanes * (phases_.down.input * phases_.across.input + lanes));
    }
    if (t.lanes == Lanes::kImages) return;
    // What is packed for the last rows and never used may come from behind the last channel.
    const int64_t behind = t.plane_rows * phases_.columns + t.plane_columns + lanes;
    make_room(plan.split, plan.split_size, images * plan.image + behind);
}

SparseConvolution::Window SparseConvolution::window_of(const Plan& plan, const Call& call,
                                                       const Unit& unit) const {
    const ConvAxis &down = phases_.down, &across = phases_.across;
    const int64_t y = unit.y * down.stride - down.pad, x = unit.x * across.stride - across.pad;
    const int64_t rows = (unit.rows - 1) * down.stride + down.dilation * (down.kernel - 1) + 1;
    const int64_t columns =
        (unit.columns - 1) * across.stride + across.dilation * (across.kernel - 1) + 1;
    Window w;
    for (int64_t i = 0; i < kernel_.lanes; ++i) {
        // What has no image gets the last one's, which nobody will look at.
        const int64_t image = std::min(unit.time * kernel_.lanes + i, call.images - 1);
        w.images[i] = image * call.bottom.image;
    }
    w.y = std::max<int64_t>(y, 0);
    w.x = std::max<int64_t>(x, 0);
    w.rows = std::max<int64_t>(0, std::min(y + rows, down.input) - w.y);
    w.columns = std::max<int64_t>(0, std::min(x + columns, across.input) - w.x);
    w.target = (w.y - y) * plan.tiling.plane_columns + w.x - x;
    w.clipped = w.rows < rows || w.columns < columns;
    return w;
}

// Put some channels of `lanes` images side by side.
void SparseConvolution::gather_window(const Plan& plan, const Call& call, const Window& w,
                                      int64_t first, int64_t count, float* packed) const {
    const ChannelBlocks& bottom = call.bottom;
    const int64_t lanes = kernel_.lanes, width = phases_.across.input;
    const int64_t position = plan.tiling.channels * lanes;
    const bool plain = bottom.block == 1;
    for_neighbours(first, count, bottom.block, lanes, [&](int64_t c, int64_t n) {
        for (int64_t y = 0; y < w.rows; ++y) {
            const float* source = bottom.data + offset(bottom, c) +
                                  ((w.y + y) * width + w.x) * bottom.block;
            float* target = packed + (c - first) * lanes +
                            (w.target + y * plan.tiling.plane_columns) * position;
            for (int64_t x = 0; x < w.columns; x += plain ? lanes : 1) {
                kernel_.gather(source + x * bottom.block, w.images, lanes,
                               plain ? std::min(lanes, w.columns - x) : n, target + x * position,
                               plain ? position : lanes, 0);
            }
        }
    });
}

// Where the windows of the channels are that are neighbours in the bottom, from their first.
void SparseConvolution::find_ahead(const Call& call, const Window& w,
                                   std::vector<int64_t>& ahead) const {
    const int64_t lanes = kernel_.lanes, block = call.bottom.block;
    const int64_t step = std::max<int64_t>(1, kSparseAhead * lanes / block);
    ahead.clear();
    for (int64_t x = 0; x < w.columns; x += step) {
        const int64_t first = w.x + std::max<int64_t>(0, std::min(x, w.columns - step));
        for (int64_t y = 0; y < w.rows; ++y) {
            const int64_t place = ((w.y + y) * phases_.across.input + first) * block;
            for (int64_t i = 0; i < lanes; ++i) ahead.push_back(w.images[i] + place);
        }
    }
}

// Split a channel into its phases.
void SparseConvolution::copy_channel(const float* plane, float* split) const {
    const ConvAxis &down = phases_.down, &across = phases_.across;
    if (down.stride > 1 || across.stride > 1) return split_channel(phases_, plane, split);
    kernel_.copy_rows(down.input, across.input, plane, split + phases_.at(down.pad, across.pad),
                      phases_.columns);
}

// Copy some channels, which are neighbours, to where there is one phase only.
void SparseConvolution::gather_rows(const ChannelBlocks& bottom, int64_t count, const float* source,
                                    float* target) const {
    const ConvAxis &down = phases_.down, &across = phases_.across;
    const int64_t lanes = kernel_.lanes, channel = phases_.channel_size();
    for (int64_t x = 0; x < across.input; x += lanes) {
        const int64_t width = std::min(lanes, across.input - x);
        int64_t places[kMostLanes];
        for (int64_t i = 0; i < lanes; ++i) places[i] = std::min(i, width - 1) * bottom.block;
        for (int64_t y = 0; y < down.input; ++y) {
            const float* row = source + (y * across.input + x) * bottom.block;
            float* place = target + phases_.at(y + down.pad, x + across.pad);
            for (int64_t c = 0; c < count; c += lanes) {
                kernel_.gather(row + c, places, width, std::min(lanes, count - c),
                               place + c * channel, channel, 0);
            }
        }
    }
}

// Split some channels of one image, kMostLanes at most, into their phases.
void SparseConvolution::stage_strips(const Plan& plan, const Call& call, int64_t item,
                                     float* planes) const {
    const ChannelBlocks& bottom = call.bottom;
    const int64_t lanes = kernel_.lanes, positions = phases_.down.input * phases_.across.input;
    const int64_t most = std::min(bottom.block, kMostLanes), items = divide_up(channels_, most);
    const int64_t image = item / items, first = item % items * most, place = first % bottom.block;
    const int64_t count = std::min({most, channels_ - first, bottom.block - place});
    const float* source = bottom.data + image * bottom.image + (first - place) * positions + place;
    const int64_t channel = phases_.channel_size();
    float* target = plan.split.get() + image * plan.image + first * channel;
    if (bottom.block == 1) return copy_channel(source, target);
    if (phases_.down.stride == 1 && phases_.across.stride == 1) {
        return gather_rows(bottom, count, source, target);
    }
    const int64_t plane = positions + lanes;
    for (int64_t p = 0; p < positions; p += lanes) {
        int64_t places[kMostLanes];
        for (int64_t i = 0; i < lanes; ++i)
            places[i] = std::min(p + i, positions - 1) * bottom.block;
        for (int64_t c = 0; c < count; c += lanes) {
            kernel_.gather(source + c, places, lanes, std::min(lanes, count - c),
                           planes + c * plane + p, plane, 0);
        }
    }
    for (int64_t c = 0; c < count; ++c) {
        copy_channel(planes + c * plane, target + c * channel);
    }
}

// Units that share filters follow each other.
SparseConvolution::Unit SparseConvolution::unit_at(const Plan& plan, int64_t index) const {
    const SparseTiling& t = plan.tiling;
    const int64_t parts = plan.parts.size(), rows = plan.tile_rows, columns = plan.tile_columns;
    const int64_t column = index % columns, row = index / columns % rows;
    const int64_t height = phases_.down.output() / t.cuts, width = phases_.across.output();
    const auto [y, down] = share_of(height, rows, row);
    Unit unit{
        plan.parts[index / columns / rows % parts], index / columns / rows / parts, y, down, 0, 1};
    if (t.lanes == Lanes::kStrips) {
        unit.time = column;
    } else {
        std::tie(unit.x, unit.columns) = share_of(width, columns, column);
    }
    return unit;
}

// What of the tile does not depend on the block of channels.
SparseTile SparseConvolution::tile_of(const Plan& plan, const Call& call, const Unit& unit,
                                      const Room& room) const {
    SparseTile tile{};
    tile.bias = call.bias ? call.bias + unit.part.first : nullptr;
    tile.sums = room.sums.get();
    if (plan.tiling.lanes == Lanes::kStrips) {
        tile.rows = 1;
        tile.columns = unit.rows;
        tile.source = room.packed.get();
        return tile;
    }
    tile.strides = true;
    tile.rows = unit.rows;
    tile.columns = unit.columns;
    tile.source = room.packed.get();
    const int64_t position = plan.tiling.channels * kernel_.lanes;
    tile.pitch = phases_.down.stride * plan.tiling.plane_columns * position;
    tile.step = phases_.across.stride * position;
    return tile;
}

void SparseConvolution::multiply(const Plan& plan, const Call& call, int64_t index,
                                 Room& room) const {
    const SparseTiling& t = plan.tiling;
    const int64_t lanes = kernel_.lanes;
    const Unit unit = unit_at(plan, index);
    const Part& part = unit.part;
    const bool strips = t.lanes == Lanes::kStrips;
    const int64_t channels = channels_ / groups_, blocks = part.blocks.size();
    const auto size_of = [&](int64_t block) {
        return std::min(channels - block * t.channels, t.channels);
    };
    const auto first_of = [&](int64_t block) {
        return part.group * channels + block * t.channels;
    };
    SparseTile tile = tile_of(plan, call, unit, room);
    Window window;
    if (!strips) {
        window = window_of(plan, call, unit);
        find_ahead(call, window, room.ahead);
        if (window.clipped) std::fill_n(room.packed.get(), room.packed_size, 0.0f);
    }
    for (int64_t block = 0; block < blocks; ++block) {
        const auto [place, filter] = part.blocks[block];
        const bool last = block + 1 == blocks;
        const int64_t end = last ? part.filters.size() : part.blocks[block + 1].second;
        if (strips) {
            const std::vector<SparseSource>& runs = plan.columns[unit.time].runs;
            kernel_.pack(size_of(block) * t.channel_vectors(), plan.places.data(),
                         plan.split.get() + part.group * plan.group + block * plan.block +
                             unit.y * phases_.columns,
                         runs.size(), runs.data(), room.packed.get());
        } else {
            gather_window(plan, call, window, first_of(block), size_of(block), room.packed.get());
            int64_t wanted = first_of(block + 1);
            if (last) {
                const Unit next = unit_at(plan, index + 1);
                wanted = next.part.group * channels;
                find_ahead(call, window_of(plan, call, next), room.ahead);
            }
            tile.ahead = call.bottom.data + offset(call.bottom, wanted);
            tile.ahead_places = room.ahead.data();
            const bool there = wanted % call.bottom.block && wanted % lanes;
            tile.ahead_count = there ? 0 : room.ahead.size();
        }
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
    if (strips) {
        const int64_t items = times * divide_up(channels_, std::min(call.bottom.block, kMostLanes));
        const int64_t grain = grain_of(times * plan.image / std::max<int64_t>(items, 1));
        parallel_for(0, items, grain, [&](int64_t first, int64_t last) {
            float* planes = rooms_[omp_get_thread_num()].planes.get();
            for (int64_t item = first; item < last; ++item) stage_strips(plan, call, item, planes);
        });
    }
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
