#include "implicit_gemm.h"

#include <algorithm>

#include "cpu_features.h"
#include "parallel.h"

namespace sscaffe {
namespace {

// Elements of the planes of a job, which stay in the second cache together with those of the next.
constexpr int64_t kPlanesAtOnce = 320 * 1024 / sizeof(float);

int64_t divide_up(int64_t value, int64_t unit) {
    return (value + unit - 1) / unit;
}

// Panels are as even as can be.
int64_t first_row_of(int64_t panel, int64_t panels, int64_t rows) {
    return rows * panel / panels;
}

// Lay out rows as panels of at most `height` rows: [columns][height].
AlignedArray<float> pack_panels(const std::vector<const float*>& rows,
                                const std::vector<int64_t>& columns, int64_t height) {
    AlignedArray<float> packed = make_aligned<float>(rows.size() * columns.size());
    float* next = packed.get();
    const int64_t count = rows.size(), panels = divide_up(count, height);
    for (int64_t panel = 0; panel < panels; ++panel) {
        const int64_t first = first_row_of(panel, panels, count);
        const int64_t last = first_row_of(panel + 1, panels, count);
        for (const int64_t column : columns) {
            for (int64_t row = first; row < last; ++row) *next++ = rows[row][column];
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

// Small things that are done between the panels of a product, for they wait for memory and it does
// not: rows of zeros of this job, and planes of the next one.
struct ImplicitGemm::Errands {
    const Call& call;
    const Job* fill;
    int64_t first_fill, fills;
    const Job* lower;
    int64_t planes;
    float* target;

    int64_t count() const { return fills + planes; }
};

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
    group.panels = pack_panels(kept_rows, group.columns, kernel_.rows);
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

std::vector<std::pair<int64_t, int64_t>> ImplicitGemm::kept() const {
    std::vector<std::pair<int64_t, int64_t>> sizes;
    for (const Group& group : groups_) sizes.emplace_back(group.rows.size(), group.columns.size());
    return sizes;
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

void ImplicitGemm::make_rooms(int64_t count, int64_t images) {
    if (images > room_images_) rooms_.clear();
    room_images_ = std::max(room_images_, images);
    while (static_cast<int64_t>(rooms_.size()) < count) {
        Room room;
        for (AlignedArray<float>& planes : room.planes) {
            planes = make_aligned<float>(room_images_ * planes_size_ + kernel_.lanes);
        }
        rooms_.push_back(std::move(room));
    }
}

// In operations on vectors.
int64_t ImplicitGemm::work_per_image() const {
    int64_t work = image_size() / kernel_.lanes;
    for (const Group& group : groups_) work += group.rows.size() * group.places.size() * vectors_;
    return work;
}

// Jobs of one group follow one another, so that its weights stay in the cache.
ImplicitGemm::Job ImplicitGemm::job_of(const Call& call, int64_t index) const {
    const int64_t chunks = divide_up(call.batch, call.at_once), band = index % bands_;
    const int64_t image = index / bands_ % chunks * call.at_once;
    const int64_t group = index / bands_ / chunks;
    const int64_t count = std::min(call.at_once, call.batch - image);
    const std::vector<Band>& bands = count == call.at_once ? call.whole : call.rest;
    return {&groups_[group],
            &bands[band],
            band,
            count,
            call.images + image * image_size() + group * (image_size() / groups_.size()),
            call.out + image * output_size()};
}

int64_t ImplicitGemm::planes(const Job& job) const {
    return job.count * job.group->planes[job.band_index].size();
}

// Planes [first, last) of all images, without the rows of the output that nobody will ask for.
void ImplicitGemm::lower(const Job& job, int64_t first, int64_t last, float* target,
                         const Unneeded& unneeded) const {
    const ImplicitLowering lowering{lowering_.row_step, lowering_.column_step, lowering_.columns,
                                    unneeded.above, unneeded.below};
    const std::vector<ImplicitPlane>& planes = job.group->planes[job.band_index];
    const int64_t count = planes.size();
    while (first < last) {
        const int64_t image = first / count, plane = first % count;
        const int64_t some = std::min(last - first, count - plane);
        kernel_.lower(lowering, some, planes.data() + plane, job.images + image * image_size(),
                      target + image * planes_size_);
        first += some;
    }
}

int64_t ImplicitGemm::fills(const Job& job) const {
    return job.band_index == 0 ? job.count * job.group->zero_rows.size() : 0;
}

void ImplicitGemm::fill_row(const Call& call, const Job& job, int64_t item) const {
    const int64_t zeros = job.group->zero_rows.size(), row = job.group->zero_rows[item % zeros];
    const float bias = call.bias ? call.bias[row] : 0.0f;
    float* target = job.out + (item / zeros * m_ + row) * positions_;
    const int64_t next = item % zeros + 1 < zeros ? job.group->zero_rows[item % zeros + 1] : row;
    kernel_.fill(positions_, call.relu && bias < 0 ? 0.0f : bias, target,
                 target + (next - row) * positions_);
}

void ImplicitGemm::run(const Errands& errands, int64_t first, int64_t last) const {
    const int64_t fills = errands.fills;
    for (; first < std::min(last, fills); ++first) {
        fill_row(errands.call, *errands.fill, errands.first_fill + first);
    }
    if (first < last) lower(*errands.lower, first - fills, last - fills, errands.target, {});
}

// The parts are equal shares of the panels of all tiles, by their vectors.
void ImplicitGemm::multiply(const Call& call, const Job& job, const float* planes, int64_t part,
                            int64_t parts, const Errands& errands) const {
    const Group& group = *job.group;
    const int64_t rows = group.rows.size(), panels = divide_up(rows, kernel_.rows);
    const int64_t all = job.band->vectors * panels;
    const int64_t begin = all * part / parts, end = all * (part + 1) / parts;
    int64_t errands_done = 0;
    ImplicitTile t{};
    t.depth = group.places.size();
    t.places = group.places.data();
    t.planes = planes;
    t.bias = call.bias;
    t.relu = call.relu;
    t.out = job.out;
    t.out_stride = positions_;
    for (const Tile& tile : job.band->tiles) {
        const int64_t width = tile.vectors.size(), before = tile.before * panels;
        const int64_t first = std::clamp<int64_t>((begin - before) / width, 0, panels);
        const int64_t last = std::clamp<int64_t>((end - before) / width, 0, panels);
        t.vector_count = width;
        t.vectors = tile.vectors.data();
        for (int64_t panel = first; panel < last; ++panel) {
            const int64_t row = first_row_of(panel, panels, rows);
            t.row_count = first_row_of(panel + 1, panels, rows) - row;
            t.rows = group.rows.data() + row;
            t.weights = group.panels.get() + row * t.depth;
            kernel_.tile(t);
            const int64_t done = before + (panel + 1) * width - begin;
            const int64_t due = std::min(errands.count(), errands.count() * done / (end - begin));
            run(errands, errands_done, due);
            errands_done = std::max(errands_done, due);
        }
    }
    run(errands, errands_done, errands.count());
}

void ImplicitGemm::work_alone(const Call& call, int64_t first, int64_t last,
                              const Room& room) const {
    if (first == last) return;
    Job job = job_of(call, first);
    lower(job, 0, planes(job), room.planes[first % 2].get(), {});
    for (int64_t index = first; index < last; ++index) {
        const Job next = job_of(call, std::min(index + 1, last - 1));
        const int64_t next_planes = index + 1 < last ? planes(next) : 0;
        const Errands errands{
            call, &job, 0, fills(job), &next, next_planes, room.planes[(index + 1) % 2].get()};
        multiply(call, job, room.planes[index % 2].get(), 0, 1, errands);
        job = next;
    }
}

// The rows of the output that a part of a job with one image does not write to.
ImplicitGemm::Unneeded ImplicitGemm::unneeded(const Job& job, int64_t part, int64_t parts) const {
    const int64_t panels = divide_up(job.group->rows.size(), kernel_.rows);
    const int64_t all = job.band->vectors * panels;
    if (job.count > 1 || all == 0) return {};
    const int64_t begin = all * part / parts / panels;
    const int64_t end = divide_up(all * (part + 1) / parts, panels);
    int64_t first = 0, last = job.band->vectors;
    for (const Tile& tile : job.band->tiles) {
        const int64_t next = tile.before + tile.vectors.size();
        if (next <= begin) first = next;
        if (tile.before < end) last = next;
    }
    // The band may begin within a row, and the image end within a vector.
    const int64_t width = lowering_.columns, source = job.band->tiles[0].vectors[0].source;
    const int64_t above = (source + first * kernel_.lanes) / width;
    const int64_t below = divide_up(source + last * kernel_.lanes, width);
    return {above, std::max<int64_t>(0, job.band->rows - below)};
}

// Each thread lowers for itself what it reads, which costs less than to fetch it from another.
void ImplicitGemm::work_on_part(const Call& call, int64_t index, int64_t part, int64_t parts,
                                const Room& room) const {
    const Job job = job_of(call, index);
    float* target = room.planes[0].get();
    lower(job, 0, planes(job), target, unneeded(job, part, parts));
    const int64_t first = fills(job) * part / parts, last = fills(job) * (part + 1) / parts;
    multiply(call, job, target, part, parts,
             {call, &job, first, last - first, nullptr, 0, nullptr});
}

void ImplicitGemm::work(const Call& call, int64_t thread, int64_t threads) const {
    const int64_t jobs = divide_up(call.batch, call.at_once) * bands_ * groups_.size();
    const int64_t alone = jobs / threads * threads, rest = jobs - alone;
    work_alone(call, alone * thread / threads, alone * (thread + 1) / threads, rooms_[thread]);
    // Those that are left, fewer than the threads, are done by some threads each.
    for (int64_t i = 0; i < rest; ++i) {
        const int64_t first = threads * i / rest, last = threads * (i + 1) / rest;
        if (thread < first || thread >= last) continue;
        work_on_part(call, alone + i, thread - first, last - first, rooms_[thread]);
    }
}

void ImplicitGemm::forward(int64_t batch, const float* images, const float* bias, bool relu,
                           float* out) {
    constexpr int64_t kVectorsAtOnce = 12;
    const int64_t most = get_num_threads();
    const int64_t threads = std::clamp<int64_t>(batch * work_per_image() / grain_of(1), 1, most);
    const int64_t wanted =
        std::min(kVectorsAtOnce / vectors_, kPlanesAtOnce / std::max<int64_t>(1, planes_size_));
    const int64_t at_once = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, batch / threads));
    make_rooms(threads, at_once);
    const Call call{batch,
                    at_once,
                    images,
                    bias,
                    relu,
                    out,
                    make_bands(at_once, bands_),
                    make_bands(batch % at_once, bands_)};
    if (threads == 1) return work(call, 0, 1);
#pragma omp parallel num_threads(static_cast<int>(threads))
    // The runtime may give fewer threads than were asked for.
    work(call, omp_get_thread_num(), omp_get_num_threads());
}

}  // namespace sscaffe
