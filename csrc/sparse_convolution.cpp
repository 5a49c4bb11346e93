#include "sparse_convolution.h"

#include <algorithm>
#include <atomic>
#include <limits>

#include "cpu_features.h"
#include "parallel.h"

namespace sscaffe {
namespace {

constexpr int64_t kMostLanes = 16;

int64_t divide_up(int64_t value, int64_t unit) {
    return (value + unit - 1) / unit;
}

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

}  // namespace

SparseConvolution::SparseConvolution(const ConvGeometry& g, int64_t group, int64_t m,
                                     const float* weights)
    : kernel_(vector_kernels().direct_sparse),
      packing_(vector_kernels().implicit_gemm),
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
}

SparseWork SparseConvolution::work(int64_t images) const {
    const double weights = m_ ? static_cast<double>(weights_.size()) / m_ : 0;
    return {phases_, images,  channels_ / groups_, m_ / groups_, groups_,
            weights, get_num_threads()};
}

bool SparseConvolution::is_better_as_strips(int64_t images) {
    if (choice_.images != images || choice_.threads != get_num_threads()) {
        const bool strips = choose_tiling(work(images), Lanes::kStrips, kernel_).cycles <
                            choose_tiling(work(images), Lanes::kImages, kernel_).cycles;
        choice_ = {images, get_num_threads(), strips};
    }
    return choice_.strips;
}

SparseConvolution::Part SparseConvolution::pack_part(const SparseTiling& t, int64_t group,
                                                     int64_t index) const {
    const int64_t filters = m_ / groups_, channels = channels_ / groups_;
    const int64_t unit = filters / t.parts >= kMostLanes ? kMostLanes : 1;
    const auto begin = [&](int64_t i) {
        return i == t.parts ? filters : filters / unit * i / t.parts * unit;
    };
    Part part{group, group * filters + begin(index), begin(index + 1) - begin(index), {}, {}, {}};
    std::vector<int64_t> next(row_ptr_.begin() + part.first,
                              row_ptr_.begin() + part.first + part.count);
    for (int64_t first = 0; first < channels; first += t.channels) {
        std::vector<SparseFilter> order;
        std::vector<int64_t> begins = next;
        for (int64_t i = 0; i < part.count; ++i) {
            const int64_t end = row_ptr_[part.first + i + 1];
            while (next[i] < end && weights_[next[i]].channel < first + t.channels) ++next[i];
            const int32_t count = next[i] - begins[i];
            if (count || first == 0) order.push_back({static_cast<int32_t>(i), count});
        }
        // Loops of one length after the other are predicted well.
        std::stable_sort(order.begin(), order.end(), [](SparseFilter a, SparseFilter b) {
            return a.count > b.count;
        });
        part.blocks.emplace_back(part.places.size(), part.filters.size());
        for (const SparseFilter& filter : order) {
            part.filters.push_back(filter);
            const int64_t begin = begins[filter.filter];
            for (int64_t j = begin - (4 - filter.count % 4) % 4; j < next[filter.filter]; ++j) {
                const bool filled = j >= begin;
                if (part.values.size() % 4 == 0) part.places.push_back(0);
                if (filled) {
                    const Weight& w = weights_[j];
                    const uint64_t place = (w.channel - first) * t.channel_vectors() +
                                           t.place(phases_, w.kh, w.kw);
                    part.places.back() |= place * kernel_.lanes / kSparseStep
                                          << part.values.size() % 4 * 16;
                }
                part.values.push_back(filled ? weights_[j].value : 0.0f);
            }
        }
        part.filters.push_back({0, 0});
    }
    part.places.push_back(0);
    return part;
}

SparseConvolution::Column SparseConvolution::make_column(const SparseTiling& t, int64_t images,
                                                         int64_t index,
                                                         const ChannelBlocks& top) const {
    const int64_t width = phases_.across.output(), height = phases_.down.output() / t.cuts;
    const int64_t last = std::min((index + 1) * kernel_.lanes, images * width * t.cuts);
    Column column;
    for (int64_t strip = index * kernel_.lanes; strip < last; ++strip) {
        const int64_t x = strip % width, y = strip / width % t.cuts * height;
        const int64_t image = strip / width / t.cuts, lane = column.targets.size();
        const int64_t target =
            image * top.image + (y * width + x) * top.block;
        if (x == 0 || lane == 0) {
            column.runs.push_back({image * channels_ * phases_.channel_size() +
                                       y * phases_.columns + x,
                                   lane});
            column.target_runs.push_back({lane, 0, target});
        }
        ++column.target_runs.back().count;
        column.targets.push_back(target);
    }
    return column;
}

void SparseConvolution::prepare(Plan& plan, Lanes lanes, int64_t images,
                                const ChannelBlocks& top) const {
    if (plan.images == images && plan.threads == get_num_threads() && plan.block == top.block &&
        plan.top_image == top.image) {
        return;
    }
    const SparseTiling t = plan.tiling = choose_tiling(work(images), lanes, kernel_);
    plan.tile_rows = divide_up(phases_.down.output() / t.cuts, t.down);
    plan.tile_columns = divide_up(phases_.across.output(), t.across);
    plan.parts.clear();
    for (int64_t group = 0; group < groups_; ++group) {
        for (int64_t i = 0; i < t.parts; ++i) plan.parts.push_back(pack_part(t, group, i));
    }
    const int64_t element = lanes == Lanes::kImages ? kernel_.lanes : 1;
    plan.places.clear();
    for (int64_t c = 0; c < t.channels; ++c) {
        for (int64_t v = 0; v < t.channel_vectors(); ++v) {
            plan.places.push_back((c * phases_.channel_size() + t.source(phases_, v)) * element);
        }
    }
    plan.columns.clear();
    if (std::getenv("SHOW")) fprintf(stderr,"lanes %d down %ld across %ld cuts %ld channels %ld vectors %ld parts %ld cycles %g\n",(int)lanes,t.down,t.across,t.cuts,t.channels,t.channel_vectors(),t.parts,t.cycles);
    if (lanes == Lanes::kStrips) {
        plan.tile_columns = divide_up(images * phases_.across.output() * t.cuts, kernel_.lanes);
        for (int64_t i = 0; i < plan.tile_columns; ++i) {
            plan.columns.push_back(make_column(t, images, i, top));
        }
    }
    plan.images = images;
    plan.threads = get_num_threads();
    plan.block = top.block;
    plan.top_image = top.image;
}

void SparseConvolution::make_rooms(Plan& plan, int64_t elements) {
    const SparseTiling& t = plan.tiling;
    const int64_t lanes = kernel_.lanes;
    // What is packed for the last rows and never used may come from behind the last channel.
    const int64_t behind = (t.plane_rows * phases_.columns + t.plane_columns + lanes) * lanes;
    make_room(plan.split, plan.split_size,
              elements * channels_ * phases_.channel_size() + behind);
    int64_t most = 0;
    for (const Part& part : plan.parts) most = std::max(most, part.count);
    rooms_.resize(std::max<size_t>(rooms_.size(), get_num_threads()));
    for (Room& room : rooms_) {
        make_room(room.packed, room.packed_size, (t.channels * t.channel_vectors() + 1) * lanes);
        make_room(room.sums, room.sums_size, (most * t.down * t.across + 1) * lanes);
        make_room(room.planes, room.planes_size,
                  kMostLanes * (phases_.down.input * phases_.across.input + lanes));
    }
}

// Put a block of channels of images side by side.
void SparseConvolution::stage_images(const Plan& plan, const Call& call, int64_t item) const {
    const ChannelBlocks& bottom = call.bottom;
    const ConvAxis &down = phases_.down, &across = phases_.across;
    const int64_t lanes = kernel_.lanes, channel = phases_.channel_size() * lanes;
    const int64_t blocks = divide_up(channels_, bottom.block);
    const int64_t time = item / blocks, first = item % blocks * bottom.block;
    const int64_t plane = down.input * across.input * bottom.block;
    int64_t images[kMostLanes];
    for (int64_t i = 0; i < lanes; ++i) {
        images[i] = std::min(time * lanes + i, call.images - 1) * bottom.image;
    }
    const float* source = bottom.data + first / bottom.block * plane;
    float* target = plan.split.get() + (time * channels_ + first) * channel;
    if (bottom.block > 1) {
        const int64_t count = std::min(bottom.block, channels_ - first);
        for (int64_t y = 0; y < down.input; ++y) {
            for (int64_t x = 0; x < across.input; ++x, source += bottom.block) {
                float* place = target + phases_.at(y + down.pad, x + across.pad) * lanes;
                for (int64_t c = 0; c < count; c += lanes) {
                    kernel_.gather(source + c, images, std::min(lanes, count - c),
                                   place + c * channel, channel);
                }
            }
        }
        return;
    }
    alignas(64) float moved[kMostLanes * kMostLanes];
    for (int64_t y = 0; y < down.input; ++y, source += across.input) {
        for (int64_t x = 0; x < across.input; x += lanes) {
            const int64_t count = std::min(lanes, across.input - x);
            if (across.stride == 1) {
                float* place = target + phases_.at(y + down.pad, x + across.pad) * lanes;
                kernel_.gather(source + x, images, count, place, lanes);
                continue;
            }
            kernel_.gather(source + x, images, count, moved, lanes);
            for (int64_t i = 0; i < count; ++i) {
                std::copy_n(moved + i * lanes, lanes,
                            target + phases_.at(y + down.pad, x + i + across.pad) * lanes);
            }
        }
    }
}

// Split a block of channels of one image into their phases.
void SparseConvolution::stage_strips(const Plan& plan, const Call& call, int64_t item,
                                     float* planes) const {
    const ChannelBlocks& bottom = call.bottom;
    const int64_t lanes = kernel_.lanes, channel = phases_.channel_size();
    const int64_t positions = phases_.down.input * phases_.across.input;
    const int64_t blocks = divide_up(channels_, bottom.block);
    const int64_t image = item / blocks, first = item % blocks * bottom.block;
    const float* source = bottom.data + image * bottom.image + first * positions;
    float* target = plan.split.get() + (image * channels_ + first) * channel;
    if (bottom.block == 1) return split_channel(phases_, source, target);
    const int64_t count = std::min(bottom.block, channels_ - first), plane = positions + lanes;
    for (int64_t p = 0; p < positions; p += lanes) {
        int64_t places[kMostLanes];
        for (int64_t i = 0; i < lanes; ++i) places[i] = std::min(p + i, positions - 1) * bottom.block;
        for (int64_t c = 0; c < count; c += lanes) {
            kernel_.gather(source + c, places, std::min(lanes, count - c), planes + c * plane + p,
                           plane);
        }
    }
    for (int64_t c = 0; c < count; ++c) {
        split_channel(phases_, planes + c * plane, target + c * channel);
    }
}

// Units that share filters follow each other.
SparseConvolution::Unit SparseConvolution::unit_at(const Plan& plan, int64_t index) const {
    const SparseTiling& t = plan.tiling;
    const int64_t parts = plan.parts.size(), rows = plan.tile_rows, columns = plan.tile_columns;
    const int64_t column = index % columns, row = index / columns % rows;
    const int64_t height = phases_.down.output() / t.cuts, width = phases_.across.output();
    const int64_t y = height * row / rows;
    Unit unit{plan.parts[index / columns / rows % parts], index / columns / rows / parts, y,
              height * (row + 1) / rows - y, 0, 1};
    if (t.lanes == Lanes::kStrips) {
        unit.time = column;
    } else {
        unit.x = width * column / columns;
        unit.columns = width * (column + 1) / columns - unit.x;
    }
    return unit;
}

void SparseConvolution::multiply(const Plan& plan, const Call& call, const Unit& unit,
                                 const Room& room) const {
    const SparseTiling& t = plan.tiling;
    const Part& part = unit.part;
    const int64_t lanes = kernel_.lanes, channel = phases_.channel_size();
    const int64_t channels = channels_ / groups_, position = unit.y * phases_.columns + unit.x;
    const bool strips = t.lanes == Lanes::kStrips;
    const std::vector<ImplicitRun> whole{{0, 0}};
    const std::vector<ImplicitRun>& runs = strips ? plan.columns[unit.time].runs : whole;
    const int64_t element = strips ? 1 : lanes;
    const float* source =
        plan.split.get() + position * element +
        ((strips ? 0 : unit.time * channels_) + part.group * channels) * channel * element;
    SparseTile tile{};
    tile.rows = strips ? 1 : unit.rows;
    tile.columns = strips ? unit.rows : unit.columns;
    tile.packed = room.packed.get();
    tile.pitch = t.plane_columns * lanes;
    tile.bias = call.bias ? call.bias + part.first : nullptr;
    tile.sums = room.sums.get();
    for (size_t block = 0; block < part.blocks.size(); ++block) {
        const int64_t first = block * t.channels;
        const auto [place, filter] = part.blocks[block];
        const int64_t end = block + 1 < part.blocks.size() ? part.blocks[block + 1].second
                                                           : part.filters.size();
        tile.start = block == 0;
        tile.filter_count = end - 1 - filter;
        tile.filters = part.filters.data() + filter;
        tile.places = part.places.data() + place;
        tile.values = part.values.data() + place * 4;
        packing_.pack(std::min(t.channels, channels - first) * t.channel_vectors(),
                      plan.places.data(), source + first * channel * element, runs.size(),
                      runs.data(), lanes, room.packed.get());
        const int64_t next = first + t.channels;
        tile.ahead_count = 0;
        if (next < channels && !strips) {
            tile.ahead_count = std::min(t.channels, channels - next) * t.channel_vectors();
            tile.ahead_places = plan.places.data();
            tile.ahead = source + next * channel * element;
        }
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
    for_neighbours(part.first, part.count, top.block, lanes, [&](int64_t c, int64_t count) {
        const float* source = sums + (c - part.first) * filter;
        for (int64_t y = 0; y < unit.rows; ++y) {
            float* target = data + c / top.block * plane + c % top.block +
                            ((unit.y + y) * width + unit.x) * top.block;
            if (top.block > 1) {
                for (int64_t x = 0; x < unit.columns; ++x) {
                    kernel_.scatter(source + (y * unit.columns + x) * lanes, filter, count, places,
                                    images, call.least, target + x * top.block);
                }
                continue;
            }
            for (int64_t x = 0; x < unit.columns; x += lanes) {
                kernel_.scatter(source + (y * unit.columns + x) * lanes, lanes,
                                std::min(lanes, unit.columns - x), places, images, call.least,
                                target + x);
            }
        }
    });
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
            float* target = top.data + c / top.block * plane + c % top.block +
                            (unit.y + y) * width * top.block;
            if (top.block > 1) {
                kernel_.scatter(source, filter, count, column.targets.data(),
                                column.targets.size(), call.least, target);
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
    make_rooms(plan, strips ? times : times * kernel_.lanes);
    const int64_t items = times * divide_up(channels_, call.bottom.block);
    static double T0=0,T1=0; static int NC=0; double q0=omp_get_wtime();
    const int64_t staged = phases_.down.input * phases_.across.input * call.bottom.block;
    parallel_for(0, items, grain_of(staged), [&](int64_t first, int64_t last) {
        float* planes = rooms_[omp_get_thread_num()].planes.get();
        for (int64_t item = first; item < last; ++item) {
            if (strips) {
                stage_strips(plan, call, item, planes);
            } else {
                stage_images(plan, call, item);
            }
        }
    });
    double q1=omp_get_wtime();
    const int64_t units = (strips ? 1 : times) * plan.parts.size() * plan.tile_rows *
                          plan.tile_columns;
    const int64_t each = static_cast<int64_t>(plan.tiling.cycles) / std::max<int64_t>(units, 1);
    // Each thread takes the next unit when it is ready: they differ in size, and so do the threads
    // in speed where the machine is shared.
    std::atomic<int64_t> next{0};
    parallel_for(0, units, grain_of(each), [&](int64_t, int64_t) {
        const Room& room = rooms_[omp_get_thread_num()];
        for (int64_t i = next++; i < units; i = next++) {
            multiply(plan, call, unit_at(plan, i), room);
        }
    });
    double q2=omp_get_wtime(); T0+=q1-q0;T1+=q2-q1; if(++NC%200==0){ if(std::getenv("SHOW")) fprintf(stderr,"stage %.3f ms compute %.3f ms\n",T0*5,T1*5); T0=T1=0;}
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
    const int64_t rest = batch % kernel_.lanes;
    const bool strips = rest && is_better_as_strips(rest);
    const int64_t side_by_side = strips ? batch - rest : batch;
    // As few as are worth starting the threads twice, for the caches.
    constexpr int64_t kWorthStarting = 1 << 20;
    const int64_t work = nnz() * phases_.down.output() * phases_.across.output() + 1;
    const int64_t most = std::max<int64_t>(1, kWorthStarting / work) * kernel_.lanes;
    for (int64_t first = 0; first < side_by_side; first += most) {
        prepare(image_plan_, Lanes::kImages, std::min(side_by_side, most), top);
        run(image_plan_, part(first, std::min(most, side_by_side - first)));
    }
    if (strips) {
        prepare(strip_plan_, Lanes::kStrips, rest, top);
        run(strip_plan_, part(side_by_side, rest));
    }
}

}  // namespace sscaffe
