#include "implicit_gemm.h"

#include <algorithm>

#include "cpu_features.h"
#include "parallel.h"

namespace sscaffe {
namespace {

int64_t divide_up(int64_t value, int64_t unit) {
    return (value + unit - 1) / unit;
}

// Lay out rows as panels of `height` rows, the last one perhaps lower: [columns][height].
AlignedArray<float> pack_panels(const std::vector<const float*>& rows,
                                const std::vector<int64_t>& columns, int64_t height) {
    AlignedArray<float> panels = make_aligned<float>(rows.size() * columns.size());
    float* next = panels.get();
    const int64_t count = rows.size();
    for (int64_t first = 0; first < count; first += height) {
        const int64_t last = std::min(first + height, count);
        for (const int64_t column : columns) {
            for (int64_t row = first; row < last; ++row) *next++ = rows[row][column];
        }
    }
    return panels;
}

}  // namespace

ImplicitGemm::ImplicitGemm(const ConvGeometry& g, int64_t group, int64_t m, const float* weights)
    : kernel_(vector_kernels().implicit_gemm),
      phases_(g),
      channels_(g.channels),
      m_(m),
      positions_(g.output_size()),
      vectors_(divide_up(positions_, kernel_.lanes)) {
    const int64_t rows = m / group, columns = g.channels / group * g.kernel_size();
    const int64_t group_size = g.channels / group * phases_.channel_size();
    std::vector<bool> read(g.channels);
    for (int64_t i = 0; i < group; ++i) {
        groups_.push_back(
            pack_group(weights + i * rows * columns, i * rows, i * group_size, rows, columns));
        for (const int64_t place : groups_.back().places)
            read[place / phases_.channel_size()] = true;
        deepest_ = std::max<int64_t>(deepest_, groups_.back().places.size());
    }
    for (int64_t c = 0; c < g.channels; ++c) {
        if (read[c]) channels_read_.push_back(c);
    }
    std::vector<bool> kept(m);
    for (const Group& part : groups_) {
        for (const int32_t row : part.rows) kept[row] = true;
    }
    for (int64_t row = 0; row < m; ++row) {
        if (!kept[row]) zero_rows_.push_back(row);
    }
}

ImplicitGemm::Group ImplicitGemm::pack_group(const float* weights, int64_t first_row,
                                             int64_t first_place, int64_t rows,
                                             int64_t columns) const {
    Group group;
    std::vector<const float*> kept_rows;
    std::vector<bool> used(columns);
    for (int64_t row = 0; row < rows; ++row) {
        const float* values = weights + row * columns;
        bool kept = false;
        for (int64_t column = 0; column < columns; ++column) {
            if (values[column] != 0) kept = used[column] = true;
        }
        if (!kept) continue;
        group.rows.push_back(static_cast<int32_t>(first_row + row));
        kept_rows.push_back(values);
    }
    std::vector<int64_t> kept_columns;
    for (int64_t column = 0; column < columns; ++column) {
        if (!used[column]) continue;
        kept_columns.push_back(column);
        group.places.push_back(first_place + place_of_column(phases_, column));
    }
    group.panels = pack_panels(kept_rows, kept_columns, kernel_.rows);
    return group;
}

std::vector<std::pair<int64_t, int64_t>> ImplicitGemm::kept() const {
    std::vector<std::pair<int64_t, int64_t>> sizes;
    for (const Group& group : groups_) sizes.emplace_back(group.rows.size(), group.places.size());
    return sizes;
}

void ImplicitGemm::add_vector(int64_t image, int64_t position, Tile& tile) const {
    const int64_t lanes = kernel_.lanes, width = phases_.across.output();
    const int64_t count = std::min(lanes, positions_ - position);
    const int64_t first_lane = tile.vectors.size() * lanes;
    const int64_t first_source = image * channels_ * phases_.channel_size();
    for (int64_t lane = 0; lane < count;) {
        const int64_t y = (position + lane) / width, x = (position + lane) % width;
        tile.runs.push_back({first_source + y * phases_.columns + x, first_lane + lane});
        lane += width - x;
    }
    tile.vectors.push_back({image * m_ * positions_ + position, count});
}

std::vector<ImplicitGemm::Tile> ImplicitGemm::make_tiles(int64_t images) const {
    // As even as can be: two tiles of two vectors are faster than one of three and one of one.
    const int64_t all = images * vectors_, count = divide_up(all, kernel_.vectors);
    std::vector<Tile> tiles(count);
    for (int64_t t = 0; t < count; ++t) {
        for (int64_t v = all * t / count; v < all * (t + 1) / count; ++v) {
            add_vector(v / vectors_, v % vectors_ * kernel_.lanes, tiles[t]);
        }
    }
    return tiles;
}

void ImplicitGemm::make_rooms(int64_t threads, int64_t images) {
    const int64_t split = images * channels_ * phases_.channel_size() + kernel_.lanes;
    const int64_t packed = deepest_ * kernel_.vectors * kernel_.lanes + kernel_.lanes;
    if (static_cast<int64_t>(rooms_.size()) < threads) rooms_.resize(threads);
    for (int64_t i = 0; i < threads; ++i) {
        Room& room = rooms_[i];
        if (!room.packed) room.packed = make_aligned<float>(packed);
        if (room.images >= images) continue;
        room.split = make_aligned<float>(split);
        // The padding stays zero: only what is inside of it is ever written.
        std::fill_n(room.split.get(), split, 0.0f);
        room.images = images;
    }
}

// In operations on vectors.
int64_t ImplicitGemm::work_per_image() const {
    int64_t work = image_size() / kernel_.lanes;
    for (const Group& group : groups_) work += group.rows.size() * group.places.size() * vectors_;
    return work;
}

// What has to be done once for each image: channels to copy and rows of zeros to fill.
int64_t ImplicitGemm::preparations() const {
    return channels_read_.size() + zero_rows_.size();
}

void ImplicitGemm::prepare(const Chunk& chunk, int64_t item) const {
    const int64_t copies = channels_read_.size();
    const ConvAxis &down = phases_.down, &across = phases_.across;
    for (int64_t n = 0; n < chunk.count; ++n) {
        if (item >= copies) {
            const int64_t row = zero_rows_[item - copies];
            std::fill_n(chunk.out + (n * m_ + row) * positions_, positions_,
                        chunk.bias ? chunk.bias[row] : 0.0f);
            continue;
        }
        const int64_t channel = n * channels_ + channels_read_[item];
        const float* plane = chunk.images + channel * down.input * across.input;
        float* split = chunk.split + channel * phases_.channel_size();
        if (down.stride > 1 || across.stride > 1) {
            split_channel(phases_, plane, split);
        } else if (phases_.columns == across.input) {
            kernel_.copy_rows(1, down.input * across.input, plane, split + phases_.at(down.pad, 0),
                              0);
        } else {
            kernel_.copy_rows(down.input, across.input, plane,
                              split + phases_.at(down.pad, across.pad), phases_.columns);
        }
    }
}

// Units are the parts of the rows, within a tile, within a group.
void ImplicitGemm::multiply(const Chunk& chunk, int64_t unit, int64_t parts, float* packed) const {
    const int64_t tiles = chunk.tiles->size(), part = unit % parts;
    const Tile& tile = (*chunk.tiles)[unit / parts % tiles];
    const Group& group = groups_[unit / parts / tiles];
    const int64_t depth = group.places.size(), rows = group.rows.size();
    const int64_t panels = divide_up(rows, kernel_.rows);
    const int64_t width = tile.vectors.size() * kernel_.lanes;
    kernel_.pack(depth, group.places.data(), chunk.split, tile.runs.size(), tile.runs.data(), width,
                 packed);
    ImplicitTile t{};
    t.depth = depth;
    t.vector_count = tile.vectors.size();
    t.vectors = tile.vectors.data();
    t.packed = packed;
    t.bias = chunk.bias;
    t.out = chunk.out;
    t.out_stride = positions_;
    for (int64_t panel = panels * part / parts; panel < panels * (part + 1) / parts; ++panel) {
        const int64_t row = panel * kernel_.rows;
        t.row_count = std::min(kernel_.rows, rows - row);
        t.rows = group.rows.data() + row;
        t.weights = group.panels.get() + row * depth;
        kernel_.tile(t);
    }
}

void ImplicitGemm::convolve_alone(const Chunk& chunk, float* packed) const {
    for (int64_t item = 0; item < preparations(); ++item) prepare(chunk, item);
    const int64_t units = groups_.size() * chunk.tiles->size();
    for (int64_t unit = 0; unit < units; ++unit) multiply(chunk, unit, 1, packed);
}

void ImplicitGemm::convolve_together(const Chunk& chunk, int64_t threads) {
    parallel_for(0, preparations(), grain_of(chunk.count * image_size() / channels_ / 4),
                 [&](int64_t first, int64_t last) {
                     for (int64_t item = first; item < last; ++item) prepare(chunk, item);
                 });
    const int64_t tiles = groups_.size() * chunk.tiles->size();
    const int64_t parts = tiles < 2 * threads ? threads : 1, units = tiles * parts;
    parallel_for(0, units, grain_of(chunk.count * work_per_image() / units),
                 [&](int64_t first, int64_t last) {
                     float* packed = rooms_[omp_get_thread_num()].packed.get();
                     for (int64_t unit = first; unit < last; ++unit) {
                         multiply(chunk, unit, parts, packed);
                     }
                 });
}

void ImplicitGemm::forward(int64_t batch, const float* images, const float* bias, float* out) {
    constexpr int64_t kVectorsAtOnce = 12;
    const int64_t threads = get_num_threads();
    const int64_t at_once =
        std::clamp<int64_t>(kVectorsAtOnce / vectors_, 1, std::max<int64_t>(1, batch / threads));
    const int64_t chunks = divide_up(batch, at_once);
    make_rooms(threads, at_once);
    const std::vector<Tile> whole = make_tiles(at_once), rest = make_tiles(batch % at_once);
    const auto chunk_at = [&](int64_t index, const Room& room) {
        const int64_t first = index * at_once, count = std::min(at_once, batch - first);
        return Chunk{count,
                     images + first * image_size(),
                     bias,
                     out + first * output_size(),
                     room.split.get(),
                     count == at_once ? &whole : &rest};
    };
    const bool worth_sharing = grain_of(at_once * work_per_image() / 2) == 1;
    if (chunks < threads && worth_sharing) {
        for (int64_t i = 0; i < chunks; ++i) convolve_together(chunk_at(i, rooms_[0]), threads);
        return;
    }
    parallel_for(0, chunks, grain_of(at_once * work_per_image()), [&](int64_t first, int64_t last) {
        const Room& room = rooms_[omp_get_thread_num()];
        for (int64_t i = first; i < last; ++i) convolve_alone(chunk_at(i, room), room.packed.get());
    });
}

}  // namespace sscaffe
