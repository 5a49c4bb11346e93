#include <algorithm>

#include "parallel.h"
#include "sparse_convolution.h"

// How SparseConvolution brings images to where it multiplies.

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
    if (!plan.apart) return make_room(plan.split, plan.split_size, images * plan.image + behind);
    int64_t together = 0;
    for (const Column& column : plan.columns) together = std::max(together, column.images);
    for (Room& room : rooms_) {
        make_room(room.split, room.split_size, together * plan.image + behind);
        room.staged = {-1, 0, 0};
    }
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
            const float* source =
                bottom.data + offset(bottom, c) + ((w.y + y) * width + w.x) * bottom.block;
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

// Split some channels of one image, neighbours and kMostLanes at most, into their phases.
void SparseConvolution::stage_channels(const Call& call, int64_t image, int64_t first,
                                       int64_t count, float* target, float* planes) const {
    const ChannelBlocks& bottom = call.bottom;
    const int64_t lanes = kernel_.lanes, positions = phases_.down.input * phases_.across.input;
    const float* source = bottom.data + image * bottom.image + offset(bottom, first);
    const int64_t channel = phases_.channel_size();
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

// Split the images of all threads, together.
void SparseConvolution::stage_for_all(const Plan& plan, const Call& call) {
    const int64_t block = call.bottom.block, most = std::min(block, kMostLanes);
    const int64_t items = divide_up(channels_, most), all = call.images * items;
    const int64_t grain = grain_of(plan.image / std::max<int64_t>(items, 1));
    parallel_for(0, all, grain, [&](int64_t begin, int64_t end) {
        float* planes = rooms_[omp_get_thread_num()].planes.get();
        for (int64_t item = begin; item < end; ++item) {
            const int64_t image = item / items, first = item % items * most;
            const int64_t count = std::min({most, channels_ - first, block - first % block});
            stage_channels(call, image, first, count,
                           plan.split.get() + image * plan.image + first * phases_.channel_size(),
                           planes);
        }
    });
}

// Split what a unit reads, in the room of its thread.
void SparseConvolution::stage_for_one(const Plan& plan, const Call& call, const Unit& unit,
                                      Room& room) const {
    const Column& column = plan.columns[unit.time];
    const std::array<int64_t, 3> wanted{unit.part.group, column.image, column.images};
    if (room.staged == wanted) return;
    room.staged = wanted;
    const int64_t channels = channels_ / groups_, begin = unit.part.group * channels;
    for (int64_t i = 0; i < column.images; ++i) {
        float* target = room.split.get() + i * plan.image;
        for_neighbours(begin, channels, call.bottom.block, kMostLanes, [&](int64_t c, int64_t n) {
            stage_channels(call, column.image + i, c, n,
                           target + (c - begin) * phases_.channel_size(), room.planes.get());
        });
    }
}

}  // namespace sscaffe
