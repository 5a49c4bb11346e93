#include "implicit_gemm.h"

#include <algorithm>

#include "parallel.h"

namespace sscaffe {
namespace {

// Where a channel begins in an image whose channels have `size` elements.
int64_t place_of(int64_t channel, int64_t block, int64_t size) {
    return channel / block * size * block + channel % block;
}

}  // namespace

std::vector<std::pair<int64_t, int64_t>> ImplicitGemm::kept() const {
    std::vector<std::pair<int64_t, int64_t>> sizes;
    for (const Group& group : groups_) sizes.emplace_back(group.rows.size(), group.columns.size());
    return sizes;
}

// Find where the columns read, for bottoms in blocks of so many channels.
void ImplicitGemm::lay_bottom(int64_t block) {
    if (block == bottom_block_) return;
    for (Group& group : groups_) {
        for (size_t i = 0; i < group.columns.size(); ++i) {
            const Column& column = group.columns[i];
            const int64_t position =
                column.y * down_.dilation * across_.input + column.x * across_.dilation;
            const int64_t channel = place_of(column.channel, block, down_.input * across_.input);
            group.places[i] = static_cast<int32_t>(channel + position * block);
        }
    }
    bottom_block_ = block;
}

// Find where the sums go, for tops in blocks of so many channels.
void ImplicitGemm::lay_top(int64_t block) {
    if (block == top_block_) return;
    fill_of_.clear();
    for (Group& group : groups_) {
        for (Chunk& chunk : group.chunks) {
            // What fills up the last block belongs to the last chunk.
            const int64_t last = chunk.last == m_ ? divide_up(m_, block) * block : chunk.last;
            aim(chunk, last, block);
        }
    }
    fills_ = make_aligned<float>(fill_of_.size());
    top_block_ = block;
}

// Cut the channels of a chunk, which go on to `last`, into vectors that lie side by side.
void ImplicitGemm::aim(Chunk& chunk, int64_t last, int64_t block) {
    const int64_t size = down_.output() * across_.output(), lanes = kernel_.lanes;
    chunk.targets.clear();
    chunk.fill = fill_of_.size();
    int64_t row = 0, channel = chunk.first;
    while (channel < last) {
        const int64_t end = std::min({channel + lanes, last, (channel / block + 1) * block});
        ImplicitTarget target{place_of(channel, block, size), static_cast<int32_t>(row),
                              static_cast<int32_t>(end - channel), 0};
        for (int64_t i = 0; channel < end; ++channel, ++i) {
            const bool has_sums =
                row < static_cast<int64_t>(chunk.rows.size()) && chunk.rows[row] == channel;
            target.mask |= static_cast<uint32_t>(has_sums) << i;
            row += has_sums;
            fill_of_.push_back(channel < m_ ? static_cast<int32_t>(channel) : -1);
        }
        fill_of_.resize(chunk.fill + (chunk.targets.size() + 1) * lanes, -1);
        chunk.targets.push_back(target);
    }
    chunk.is_direct = static_cast<int64_t>(chunk.targets.size()) == chunk.vectors;
    for (size_t i = 0; i < chunk.targets.size(); ++i) {
        const ImplicitTarget& target = chunk.targets[i];
        const bool is_vector = target.source == static_cast<int64_t>(i) * lanes && target.mask &&
                               (target.mask & (target.mask + 1)) == 0;
        chunk.is_direct = chunk.is_direct && is_vector;
    }
}

// Set what sums start with, and what channels without sums are.
void ImplicitGemm::start(const float* bias, bool relu) {
    for (size_t i = 0; i < start_of_.size(); ++i) {
        starts_[i] = bias && start_of_[i] >= 0 ? bias[start_of_[i]] : 0.0f;
    }
    for (size_t i = 0; i < fill_of_.size(); ++i) {
        const float value = bias && fill_of_[i] >= 0 ? bias[fill_of_[i]] : 0.0f;
        fills_[i] = relu && value < 0 ? 0.0f : value;
    }
}

// In operations on vectors.
int64_t ImplicitGemm::work_per_image() const {
    int64_t work = 0;
    for (const Group& group : groups_) {
        for (const Chunk& chunk : group.chunks) work += chunk.work() * (group.columns.size() + 1);
    }
    return work * down_.output() * across_.output() / 2;
}

// All tiles of a chunk in a row of the output, while what is `ahead` is asked for.
void ImplicitGemm::multiply(const Call& call, const Group& group, const Chunk& chunk, int64_t image,
                            int64_t y, const Ahead& ahead) const {
    const Tiling& tiling = group.tilings[chunk.is_halved][chunk.vectors];
    const ChannelBlocks &bottom = call.bottom, &top = call.top;
    const int64_t row = (y * down_.stride - down_.pad) * across_.input - across_.pad;
    ImplicitTile t{};
    t.vectors = chunk.vectors;
    t.is_halved = chunk.is_halved;
    t.step = across_.stride * bottom.block;
    t.places = group.places.data();
    t.weights = group.weights.get() + chunk.weights;
    t.start = starts_.get() + chunk.start;
    t.relu = call.relu;
    t.out_step = top.block;
    t.targets = chunk.targets.data();
    t.target_count = chunk.targets.size();
    t.is_direct = chunk.is_direct;
    t.fill = fills_.get() + chunk.fill;
    for (int64_t i = 0; i < tiling.tiles(); ++i) {
        const int64_t x = tiling.begins[i];
        const auto& spans = tiling.spans[tiling.lists[kind_of_row_[y] * tiling.tiles() + i]];
        t.positions = tiling.begins[i + 1] - x;
        t.image = bottom.data + image * bottom.image + (row + x * across_.stride) * bottom.block;
        t.spans = spans.data();
        t.span_count = spans.size();
        t.out = top.data + image * top.image + (y * across_.output() + x) * top.block;
        const int64_t done = ahead.begin + (ahead.end - ahead.begin) * i / tiling.tiles();
        t.ahead = bottom.data + done;
        t.ahead_count = ahead.begin + (ahead.end - ahead.begin) * (i + 1) / tiling.tiles() - done;
        kernel_.tile(t);
    }
}

// The units [begin, end): halves of vectors of rows of the matrix, for each row of the output.
void ImplicitGemm::work(const Call& call, int64_t begin, int64_t end) const {
    const int64_t rows = down_.output(), units_of_image = units_ * rows;
    const int64_t size = call.bottom.image;
    for (int64_t image = begin / units_of_image; image * units_of_image < end; ++image) {
        int64_t before = image * units_of_image;
        // Each tile asks for its share of the next image.
        const bool goes_on = (image + 1) * units_of_image < end && size <= kMostAhead;
        const int64_t first = (image + 1) * size, every = goes_on ? size : 0;
        int64_t done = 0;
        const auto ahead_of = [&](int64_t unit) {
            const int64_t due = every * (done + unit) / units_of_image;
            const Ahead ahead{first + every * done / units_of_image, first + due};
            done += unit;
            return ahead;
        };
        for (const Group& group : groups_) {
            for (const Chunk& chunk : group.chunks) {
                const int64_t unit = chunk.work();
                const auto row_at = [&](int64_t place) {
                    return place <= before ? 0 : std::min((place - before) / unit, rows);
                };
                const int64_t last = row_at(end);
                for (int64_t y = row_at(begin); y < last; ++y) {
                    multiply(call, group, chunk, image, y, ahead_of(unit));
                }
                before += unit * rows;
            }
        }
    }
}

// Where all weights are zero, each channel is what its sums would start with.
void ImplicitGemm::fill(int64_t batch, const float* bias, bool relu,
                        const ChannelBlocks& top) const {
    const int64_t size = down_.output() * across_.output(), block = top.block;
    const int64_t blocks = divide_up(m_, block);
    std::vector<float> values(blocks * block);
    for (int64_t channel = 0; channel < m_ && bias; ++channel) {
        values[channel] = relu && bias[channel] < 0 ? 0.0f : bias[channel];
    }
    parallel_for(0, batch * blocks, grain_of(size * block), [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
            const float* source = &values[i % blocks * block];
            float* out = top.data + i / blocks * top.image + i % blocks * size * block;
            if (std::all_of(source, source + block, [=](float v) { return v == *source; })) {
                std::fill_n(out, size * block, *source);
                continue;
            }
            for (int64_t x = 0; x < size; ++x) out = std::copy_n(source, block, out);
        }
    });
}

void ImplicitGemm::forward(int64_t batch, const ChannelBlocks& bottom, const float* bias, bool relu,
                           const ChannelBlocks& top) {
    const auto is_zero = [](const Group& group) { return group.columns.empty(); };
    if (std::all_of(groups_.begin(), groups_.end(), is_zero)) return fill(batch, bias, relu, top);
    lay_bottom(bottom.block);
    lay_top(top.block);
    start(bias, relu);
    const Call call{bottom, top, relu};
    const int64_t units = batch * units_ * down_.output();
    const int64_t threads =
        std::clamp<int64_t>(batch * work_per_image() / grain_of(1), 1, get_num_threads());
    if (threads == 1) return work(call, 0, units);
#pragma omp parallel num_threads(static_cast<int>(threads))
    {
        // The runtime may give fewer threads than were asked for.
        const int64_t part = omp_get_thread_num(), parts = omp_get_num_threads();
        work(call, units * part / parts, units * (part + 1) / parts);
    }
}

}  // namespace sscaffe
