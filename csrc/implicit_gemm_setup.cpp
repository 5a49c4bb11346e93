#include <algorithm>
#include <tuple>
#include <utility>

#include "cpu_features.h"
#include "implicit_gemm.h"

// The half of ImplicitGemm that runs once: packing the weights, and choosing tiles.

namespace sscaffe {
namespace {

// A kernel of one element sees an image as one long row.
bool sees_one_row(const ConvAxis& axis) {
    return axis.kernel == 1 && axis.stride == 1 && axis.pad == 0;
}

// How many of `count` numbers first, first + step, ... are below `limit`.
int64_t how_many_below(int64_t limit, int64_t first, int64_t step, int64_t count) {
    return first < limit ? std::min(count, divide_up(limit - first, step)) : 0;
}

}  // namespace

ImplicitGemm::ImplicitGemm(const ConvGeometry& g, int64_t group, int64_t m, const float* weights)
    : kernel_(vector_kernels().implicit_gemm),
      bottom_dims_{g.channels, g.axes[0].input, g.axes[1].input},
      top_dims_{m, g.axes[0].output(), g.axes[1].output()},
      down_(g.axes[0]),
      across_(g.axes[1]),
      m_(m),
      group_channels_(g.channels / group) {
    if (sees_one_row(down_) && sees_one_row(across_)) {
        across_.input *= down_.input;
        down_.input = 1;
    }
    find_row_kinds();
    const int64_t rows = m / group, columns = group_channels_ * g.kernel_size();
    for (int64_t i = 0; i < group; ++i) {
        groups_.push_back(pack_group(weights + i * rows * columns, i * rows, rows, i));
    }
    for (Group& each : groups_) {
        for (Chunk& chunk : each.chunks) {
            chunk.start = start_of_.size();
            for (int32_t row : lanes_of(chunk)) {
                start_of_.push_back(row < 0 ? row : chunk.rows[row]);
            }
            units_ += chunk.work();
        }
    }
    starts_ = make_aligned<float>(start_of_.size());
}

void ImplicitGemm::find_row_kinds() {
    for (int64_t y = 0; y < down_.output(); ++y) {
        const int64_t top = y * down_.stride - down_.pad;
        const RowKind kind{how_many_below(0, top, down_.dilation, down_.kernel),
                           how_many_below(down_.input, top, down_.dilation, down_.kernel)};
        if (row_kinds_.empty() || row_kinds_.back().first != kind.first ||
            row_kinds_.back().last != kind.last) {
            row_kinds_.push_back(kind);
        }
        kind_of_row_.push_back(row_kinds_.size() - 1);
    }
}

ImplicitGemm::Group ImplicitGemm::pack_group(const float* weights, int64_t first_row, int64_t rows,
                                             int64_t group) const {
    const int64_t columns = group_channels_ * down_.kernel * across_.kernel;
    Group packed;
    std::vector<const float*> kept;
    std::vector<bool> used(columns);
    for (int64_t row = 0; row < rows; ++row) {
        const float* values = weights + row * columns;
        bool is_kept = false;
        for (int64_t column = 0; column < columns; ++column) {
            if (values[column] != 0) is_kept = used[column] = true;
        }
        if (!is_kept) continue;
        packed.rows.push_back(static_cast<int32_t>(first_row + row));
        kept.push_back(values);
    }
    packed.columns = find_columns(used, group);
    packed.places.resize(packed.columns.size());
    cut_rows(packed, first_row, first_row + rows);
    pack_chunks(packed, kept);
    for (const Chunk& chunk : packed.chunks) {
        Tiling& tiling = packed.tilings[chunk.is_halved][chunk.vectors];
        if (!tiling.begins.empty()) continue;
        tiling = tile_rows(packed, kernel_.positions[chunk.is_halved][chunk.vectors]);
    }
    return packed;
}

std::vector<ImplicitGemm::Column> ImplicitGemm::find_columns(const std::vector<bool>& used,
                                                             int64_t group) const {
    std::vector<Column> columns;
    for (int64_t place = 0; place < static_cast<int64_t>(used.size()); ++place) {
        if (!used[place]) continue;
        const int64_t above = place / across_.kernel, channel = above / down_.kernel;
        columns.push_back({place % across_.kernel, above % down_.kernel,
                           group * group_channels_ + channel, place});
    }
    std::sort(columns.begin(), columns.end(), [](const Column& a, const Column& b) {
        return std::tie(a.x, a.y, a.channel) < std::tie(b.x, b.y, b.channel);
    });
    return columns;
}

// Two vectors at a time, and three rather than one in the end: a single one waits for the image,
// every element of which is then read for one product.
void ImplicitGemm::cut_rows(Group& group, int64_t first_row, int64_t last_row) const {
    const int64_t count = group.rows.size(), lanes = kernel_.lanes;
    int64_t row = 0, weights = 0;
    do {
        const int64_t left = divide_up(count - row, lanes);
        Chunk chunk{};
        chunk.vectors = left > kernel_.kMostVectors ? 2 : left;
        const int64_t end = std::min(count, row + chunk.vectors * lanes);
        const int64_t in_last = end - row - (chunk.vectors - 1) * lanes;
        chunk.is_halved = chunk.vectors > 1 && in_last <= lanes / 2;
        chunk.rows.assign(group.rows.begin() + row, group.rows.begin() + end);
        chunk.first = row == 0 ? first_row : group.rows[row];
        chunk.last = end == count ? last_row : group.rows[end];
        chunk.weights = weights;
        weights += chunk.vectors * lanes * group.columns.size();
        group.chunks.push_back(std::move(chunk));
        row = end;
    } while (row < count);
}

void ImplicitGemm::pack_chunks(Group& group, const std::vector<const float*>& rows) const {
    const int64_t lanes = kernel_.lanes, vectors = divide_up(rows.size(), lanes);
    group.weights = make_aligned<float>(vectors * lanes * group.columns.size());
    float* next = group.weights.get();
    auto row = rows.begin();
    for (const Chunk& chunk : group.chunks) {
        const std::vector<int32_t> rows_of_lanes = lanes_of(chunk);
        for (const Column& column : group.columns) {
            for (int32_t i : rows_of_lanes) *next++ = i < 0 ? 0.0f : row[i][column.place];
        }
        row += chunk.rows.size();
    }
}

// Of each lane of a chunk's vectors the row that it holds, among those of the chunk, or -1.
std::vector<int32_t> ImplicitGemm::lanes_of(const Chunk& chunk) const {
    const int64_t lanes = kernel_.lanes;
    std::vector<int32_t> rows(chunk.vectors * lanes, -1);
    for (size_t i = 0; i < chunk.rows.size(); ++i) rows[i] = i;
    if (chunk.is_halved) std::copy_n(rows.end() - lanes, lanes / 2, rows.end() - lanes / 2);
    return rows;
}

// As few tiles as there can be, as even as can be, of no more than so many positions.
ImplicitGemm::Tiling ImplicitGemm::tile_rows(const Group& group, int64_t positions) const {
    Tiling tiling;
    const int64_t width = across_.output(), tiles = divide_up(width, positions);
    for (int64_t i = 0; i <= tiles; ++i) tiling.begins.push_back(width * i / tiles);
    if (group.columns.empty()) {
        tiling.spans.emplace_back();
        tiling.lists.assign(row_kinds_.size() * tiles, 0);
        return tiling;
    }
    for (const RowKind& kind : row_kinds_) {
        for (int64_t i = 0; i < tiles; ++i) {
            const int64_t x = tiling.begins[i];
            std::vector<ImplicitSpan> spans = spans_of(group, kind, x, tiling.begins[i + 1] - x);
            const auto same = [&](const std::vector<ImplicitSpan>& other) {
                return std::equal(spans.begin(), spans.end(), other.begin(), other.end(),
                                  [](const ImplicitSpan& a, const ImplicitSpan& b) {
                                      return a.first == b.first && a.count == b.count &&
                                             a.sees_as(b);
                                  });
            };
            if (tiling.spans.empty() || !same(tiling.spans.back())) {
                tiling.spans.push_back(std::move(spans));
            }
            tiling.lists.push_back(tiling.spans.size() - 1);
        }
    }
    return tiling;
}

// The columns that see something of the image from the positions [x, x + positions) of a row.
std::vector<ImplicitSpan> ImplicitGemm::spans_of(const Group& group, const RowKind& kind, int64_t x,
                                                 int64_t positions) const {
    std::vector<ImplicitSpan> spans;
    for (size_t i = 0; i < group.columns.size(); ++i) {
        const Column& column = group.columns[i];
        const int64_t at = x * across_.stride - across_.pad + column.x * across_.dilation;
        const int64_t left = how_many_below(0, at, across_.stride, positions);
        const int64_t right =
            positions - how_many_below(across_.input, at, across_.stride, positions);
        if (column.y < kind.first || column.y >= kind.last || left + right >= positions) continue;
        const ImplicitSpan span{static_cast<int32_t>(i), 1, static_cast<int32_t>(left),
                                static_cast<int32_t>(right)};
        const bool goes_on = !spans.empty() && spans.back().sees_as(span) &&
                             spans.back().first + spans.back().count == span.first;
        if (goes_on) {
            ++spans.back().count;
        } else {
            spans.push_back(span);
        }
    }
    return spans;
}

}  // namespace sscaffe
