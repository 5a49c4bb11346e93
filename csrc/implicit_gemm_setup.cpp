#include <algorithm>
#include <utility>

#include "cpu_features.h"
#include "implicit_gemm.h"

// The half of ImplicitGemm that runs once: packing the weights, and choosing planes and bands.

namespace sscaffe {
namespace {

// Lay out rows as panels: [columns][rows of the panel].
AlignedArray<float> pack_panels(const std::vector<const float*>& rows,
                                const std::vector<int64_t>& columns,
                                const std::vector<int64_t>& first_rows) {
    AlignedArray<float> packed = make_aligned<float>(rows.size() * columns.size());
    float* next = packed.get();
    for (size_t panel = 0; panel + 1 < first_rows.size(); ++panel) {
        for (const int64_t column : columns) {
            for (int64_t row = first_rows[panel]; row < first_rows[panel + 1]; ++row) {
                *next++ = rows[row][column];
            }
        }
    }
    return packed;
}

// The range of i in [0, size) for which first + i * step is in [0, input).
std::pair<int64_t, int64_t> inside(int64_t first, int64_t step, int64_t size, int64_t input) {
    const int64_t begin = first < 0 ? divide_up(-first, step) : 0;
    const int64_t end = first < input ? divide_up(input - first, step) : 0;
    return {std::min(begin, size), std::clamp(end, std::min(begin, size), size)};
}

}  // namespace

ImplicitGemm::ImplicitGemm(const ConvGeometry& g, int64_t group, int64_t m, const float* weights)
    : kernel_(vector_kernels().implicit_gemm),
      down_(g.axes[0]),
      across_(g.axes[1]),
      lowering_{down_.stride * across_.input, across_.stride, across_.output(), 0, 0},
      channels_(g.channels),
      m_(m),
      positions_(g.output_size()),
      vectors_(divide_up(positions_, kernel_.lanes)),
      group_channels_(g.channels / group) {
    const int64_t rows = m / group, columns = group_channels_ * g.kernel_size();
    std::vector<std::vector<Plane>> planes;
    for (int64_t i = 0; i < group; ++i) {
        groups_.push_back(pack_group(weights + i * rows * columns, i * rows, rows, columns));
        planes.push_back(find_planes(groups_.back().columns));
    }
    const std::vector<Band> bands = choose_bands(planes);
    bands_ = bands.size();
    for (int64_t i = 0; i < group; ++i) place_planes(groups_[i], planes[i], bands);
}

ImplicitGemm::Group ImplicitGemm::pack_group(const float* weights, int64_t first_row, int64_t rows,
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
        (kept ? group.rows : group.zero_rows).push_back(static_cast<int32_t>(first_row + row));
        if (kept) kept_rows.push_back(values);
    }
    for (int64_t column = 0; column < columns; ++column) {
        if (used[column]) group.columns.push_back(column);
    }
    std::stable_sort(group.columns.begin(), group.columns.end(),
                     [&](int64_t a, int64_t b) { return plane_of(a).is_before(plane_of(b)); });
    // Panels are as even as can be.
    const int64_t count = kept_rows.size(), panels = divide_up(count, kernel_.rows);
    for (int64_t i = 0; i <= panels; ++i) {
        group.first_rows.push_back(panels ? count * i / panels : 0);
    }
    group.weights = pack_panels(kept_rows, group.columns, group.first_rows);
    return group;
}

// The plane that a column of the weight matrix reads, and the row of it for the first output row.
ImplicitGemm::Plane ImplicitGemm::plane_of(int64_t column) const {
    const int64_t kernel_x = column % across_.kernel, channel_y = column / across_.kernel;
    const int64_t y = channel_y % down_.kernel * down_.dilation, row = y / down_.stride;
    return {channel_y / down_.kernel, kernel_x, y % down_.stride, row, row, 0};
}

// The planes of columns that are sorted by them.
std::vector<ImplicitGemm::Plane> ImplicitGemm::find_planes(
    const std::vector<int64_t>& columns) const {
    std::vector<Plane> planes;
    for (const int64_t column : columns) {
        const Plane plane = plane_of(column);
        if (planes.empty() || planes.back().is_before(plane)) {
            planes.push_back(plane);
        } else {
            planes.back().last = plane.last;
        }
    }
    return planes;
}

// As few bands as have planes of kPlanesAtOnce.
std::vector<ImplicitGemm::Band> ImplicitGemm::choose_bands(
    const std::vector<std::vector<Plane>>& planes) const {
    const int64_t tiles = divide_up(vectors_, kernel_.vectors);
    for (int64_t count = 1;; ++count) {
        std::vector<Band> bands = make_bands(1, count);
        int64_t rows = 0;
        for (const Band& band : bands) rows = std::max(rows, band.rows);
        int64_t largest = 0;
        for (const std::vector<Plane>& some : planes) {
            int64_t size = 0;
            for (const Plane& plane : some) size += (plane.last - plane.first + rows);
            largest = std::max(largest, size * lowering_.columns);
        }
        if (largest <= kPlanesAtOnce || count == tiles) return bands;
    }
}

// Find where in memory the planes and columns of a group are.
void ImplicitGemm::place_planes(Group& group, std::vector<Plane>& planes,
                                const std::vector<Band>& bands) {
    int64_t rows = 0, size = 0;
    for (const Band& band : bands) rows = std::max(rows, band.rows);
    for (Plane& plane : planes) {
        plane.place = size;
        size += (plane.last - plane.first + rows) * lowering_.columns;
    }
    planes_size_ = std::max(planes_size_, size);
    auto plane = planes.begin();
    for (const int64_t column : group.columns) {
        const Plane read = plane_of(column);
        while (plane->is_before(read)) ++plane;
        const int64_t place = plane->place + (read.first - plane->first) * lowering_.columns;
        group.places.push_back(static_cast<int32_t>(place));
    }
    for (const Band& band : bands) {
        std::vector<ImplicitPlane> lowered;
        for (const Plane& each : planes) lowered.push_back(lowering_of(each, band));
        group.planes.push_back(std::move(lowered));
    }
    look_ahead(group);
}

// Tell each plane where the one is that comes some later: in this band, in the next, or in the next
// image.
void ImplicitGemm::look_ahead(Group& group) const {
    constexpr int64_t kAhead = 8;
    const int64_t bands = group.planes.size();
    for (int64_t b = 0; b < bands; ++b) {
        std::vector<ImplicitPlane>& planes = group.planes[b];
        const std::vector<ImplicitPlane>& next = group.planes[(b + 1) % bands];
        const int64_t count = planes.size();
        for (int64_t i = 0; i < count; ++i) {
            const int64_t later = i + kAhead, wrapped = std::min(later - count, count - 1);
            const int64_t source = later < count
                                       ? planes[later].source
                                       : next[wrapped].source + (b + 1 == bands ? image_size() : 0);
            planes[i].ahead = source - planes[i].source;
        }
    }
}

ImplicitPlane ImplicitGemm::lowering_of(const Plane& plane, const Band& band) const {
    const int64_t channel_size = down_.input * across_.input;
    const int64_t x = plane.kernel_x * across_.dilation - across_.pad;
    const int64_t y = (plane.first + band.first_row) * down_.stride + plane.phase - down_.pad;
    const int64_t rows = plane.last - plane.first + band.rows;
    const auto [top, bottom] = inside(y, down_.stride, rows, down_.input);
    const auto [left, right] = inside(x, across_.stride, lowering_.columns, across_.input);
    const auto narrow = [](int64_t number) { return static_cast<int32_t>(number); };
    return {plane.channel * channel_size + y * across_.input + x,
            plane.place,
            0,
            narrow(rows),
            narrow(top),
            narrow(bottom),
            narrow(left),
            narrow(right)};
}

// More than one image has one band.
std::vector<ImplicitGemm::Band> ImplicitGemm::make_bands(int64_t images, int64_t count) const {
    const int64_t width = across_.output(), lanes = kernel_.lanes;
    const int64_t all = images * vectors_, tiles = divide_up(all, kernel_.vectors);
    // As even as can be: two tiles of two vectors are faster than one of three and one of one.
    const auto first_vector = [&](int64_t tile) { return all * tile / tiles; };
    std::vector<Band> bands(all ? count : 0);
    for (int64_t b = 0; b < static_cast<int64_t>(bands.size()); ++b) {
        Band& band = bands[b];
        const int64_t first_tile = tiles * b / count, last_tile = tiles * (b + 1) / count;
        const int64_t first = first_vector(first_tile), last = first_vector(last_tile);
        band.first_row = first % vectors_ * lanes / width;
        band.rows = count == 1
                        ? down_.output()
                        : divide_up(std::min(last * lanes, positions_), width) - band.first_row;
        band.vectors = last - first;
        for (int64_t t = first_tile; t < last_tile; ++t) {
            Tile tile;
            tile.before = first_vector(t) - first;
            for (int64_t v = first_vector(t); v < first_vector(t + 1); ++v) {
                const int64_t image = v / vectors_, position = v % vectors_ * lanes;
                tile.vectors.push_back({image * planes_size_ + position - band.first_row * width,
                                        image * m_ * positions_ + position,
                                        std::min(lanes, positions_ - position)});
            }
            band.tiles.push_back(std::move(tile));
        }
    }
    return bands;
}

}  // namespace sscaffe
