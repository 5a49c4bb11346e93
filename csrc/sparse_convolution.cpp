#include "sparse_convolution.h"

#include <algorithm>
#include <cmath>

#include "cpu_features.h"
#include "parallel.h"

namespace sscaffe {
SparseConvolution::SparseConvolution(const ConvGeometry& g, int64_t group, int64_t m,
                                     const float* weights)
    : kernel_(vector_kernels().direct_sparse),
      phases_(g),
      channels_(g.channels),
      m_(m),
      groups_(group) {
    const int64_t channels = channels_ / groups_;
    row_ptr_.push_back(0);
    for (int64_t row = 0; row < m; ++row) {
        for (int32_t c = 0; c < channels; ++c) {
            for (int32_t kh = 0; kh < phases_.down.kernel; ++kh) {
                for (int32_t kw = 0; kw < phases_.across.kernel; ++kw, ++weights) {
                    if (*weights != 0) weights_.push_back({c, kh, kw, *weights});
                }
            }
        }
        row_ptr_.push_back(weights_.size());
    }
    const SparseWork one{phases_, 1, 1, 1, 1, 1, 1};
    fits_images_ = std::isfinite(choose_tiling(one, Lanes::kImages, kernel_).cycles);
}

SparseWork SparseConvolution::work(int64_t images) const {
    const double weights = m_ ? static_cast<double>(weights_.size()) / m_ : 0;
    return {phases_, images,  channels_ / groups_, m_ / groups_,
            groups_, weights, get_num_threads()};
}

bool SparseConvolution::is_better_as_strips(int64_t images) {
    if (choice_.images != images || choice_.threads != get_num_threads()) {
        const bool strips = choose_tiling(work(images), Lanes::kStrips, kernel_).cycles <
                            choose_tiling(work(images), Lanes::kImages, kernel_).cycles;
        choice_ = {images, get_num_threads(), strips};
    }
    return choice_.strips;
}

// Append the weights of one filter in one block of channels.
void SparseConvolution::pack_weights(const SparseTiling& t, int64_t first_channel, int64_t first,
                                     int64_t last, Part& part) const {
    // An incomplete four comes first.
    for (int64_t i = (last - first) % 4; i % 4; ++i) {
        if (part.values.size() % 4 == 0) part.places.push_back(0);
        part.values.push_back(0.0f);
    }
    for (int64_t j = first; j < last; ++j) {
        const Weight& w = weights_[j];
        const uint64_t vector = t.place(phases_, w.channel - first_channel, w.kh, w.kw);
        const uint64_t place = vector * kernel_.lanes / kSparseStep;
        if (part.values.size() % 4 == 0) part.places.push_back(0);
        part.places.back() |= place << part.values.size() % 4 * 16;
        part.values.push_back(w.value);
    }
}

SparseConvolution::Part SparseConvolution::pack_part(const SparseTiling& t, int64_t group,
                                                     int64_t index) const {
    const int64_t filters = m_ / groups_, channels = channels_ / groups_;
    // Parts share no line of the top.
    const int64_t unit = filters / t.parts >= kMostLanes ? kMostLanes : 1;
    const auto begin = [&](int64_t i) {
        return i == t.parts ? filters : filters / unit * i / t.parts * unit;
    };
    Part part{};
    part.group = group;
    part.first = group * filters + begin(index);
    part.count = begin(index + 1) - begin(index);
    std::vector<int64_t> next(row_ptr_.begin() + part.first,
                              row_ptr_.begin() + part.first + part.count);
    for (int64_t first = 0; first < channels; first += t.channels) {
        std::vector<SparseFilter> order;
        const std::vector<int64_t> begins = next;
        for (int64_t i = 0; i < part.count; ++i) {
            const int64_t end = row_ptr_[part.first + i + 1];
            while (next[i] < end && weights_[next[i]].channel < first + t.channels) ++next[i];
            const auto count = static_cast<int32_t>(next[i] - begins[i]);
            if (count || first == 0) order.push_back({static_cast<int32_t>(i), count});
        }
        // Loops of one length after the other are predicted well.
        std::stable_sort(order.begin(), order.end(),
                         [](SparseFilter a, SparseFilter b) { return a.count > b.count; });
        part.blocks.emplace_back(part.places.size(), part.filters.size());
        for (const SparseFilter& f : order) {
            pack_weights(t, first, begins[f.filter], next[f.filter], part);
        }
        part.filters.insert(part.filters.end(), order.begin(), order.end());
        part.filters.push_back({0, 0});
    }
    part.places.push_back(0);
    return part;
}

SparseConvolution::Column SparseConvolution::make_column(const SparseTiling& t, int64_t images,
                                                         int64_t index, int64_t image_size,
                                                         const ChannelBlocks& top) const {
    const int64_t width = phases_.across.output(), height = phases_.down.output() / t.cuts;
    const int64_t last = std::min((index + 1) * kernel_.lanes, images * width * t.cuts);
    Column column{};
    for (int64_t strip = index * kernel_.lanes; strip < last; ++strip) {
        const int64_t x = strip % width, y = strip / width % t.cuts * height;
        const int64_t image = strip / width / t.cuts, lane = column.targets.size();
        const int64_t target = image * top.image + (y * width + x) * top.block;
        if (lane == 0) column.image = image;
        column.images = image - column.image + 1;
        if (x == 0 || lane == 0) {
            column.runs.push_back(
                {(image - column.image) * image_size + y * phases_.columns + x, lane});
            column.target_runs.push_back({lane, 0, target});
        }
        ++column.target_runs.back().count;
        column.targets.push_back(target);
    }
    return column;
}

void SparseConvolution::plan_strips(Plan& plan, const Call& call) const {
    const SparseTiling& t = plan.tiling;
    const int64_t channel = phases_.channel_size();
    plan.block = t.channels * channel;
    plan.group = channels_ / groups_ * channel;
    plan.tile_columns = divide_up(call.images * phases_.across.output() * t.cuts, kernel_.lanes);
    // What a vector of strips reads of a group may have room in the second cache next to the sums.
    // Then each thread splits what it reads, some of it twice, rather than wait for the others and
    // for what they wrote, which may have a long way to come.
    constexpr int64_t kRoom = 512 * 1024 / sizeof(float);
    const int64_t per_image = phases_.across.output() * t.cuts;
    const int64_t together = std::min(call.images, 1 + divide_up(kernel_.lanes - 1, per_image));
    plan.apart = together * plan.group <= kRoom;
    plan.image = plan.apart ? plan.group : channels_ * channel;
    for (int64_t c = 0; c < t.channels; ++c) {
        for (int64_t v = 0; v < t.channel_vectors(); ++v) {
            plan.places.push_back({c * channel + t.source(phases_, v),
                                   (c * t.channel_vectors() + v) * kernel_.lanes});
        }
    }
    for (int64_t i = 0; i < plan.tile_columns; ++i) {
        plan.columns.push_back(make_column(t, call.images, i, plan.image, call.top));
    }
}

void SparseConvolution::prepare(Plan& plan, Lanes lanes, const Call& call) const {
    const Plan::Key key{call.images, get_num_threads(), call.bottom.block, call.top.block,
                        call.top.image};
    if (plan.key == key) return;
    plan = Plan();
    const SparseTiling t = plan.tiling = choose_tiling(work(call.images), lanes, kernel_);
    plan.tile_rows = divide_up(phases_.down.output() / t.cuts, t.down);
    plan.tile_columns = divide_up(phases_.across.output(), t.across);
    for (int64_t group = 0; group < groups_; ++group) {
        for (int64_t i = 0; i < t.parts; ++i) plan.parts.push_back(pack_part(t, group, i));
    }
    if (lanes == Lanes::kStrips) plan_strips(plan, call);
    plan.key = key;
}

}  // namespace sscaffe
