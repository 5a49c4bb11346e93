#include "implicit_gemm.h"

#include <algorithm>

#include "parallel.h"

namespace sscaffe {

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

std::vector<std::pair<int64_t, int64_t>> ImplicitGemm::kept() const {
    std::vector<std::pair<int64_t, int64_t>> sizes;
    for (const Group& group : groups_) sizes.emplace_back(group.rows.size(), group.columns.size());
    return sizes;
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
    const int64_t panels = group.panels(), all = job.band->vectors * panels;
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
            const int64_t row = group.first_rows[panel];
            t.row_count = group.first_rows[panel + 1] - row;
            t.rows = group.rows.data() + row;
            t.weights = group.weights.get() + row * t.depth;
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
    const int64_t panels = job.group->panels(), all = job.band->vectors * panels;
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
    const int64_t fit = bands_ > 1 ? 1 : kPlanesAtOnce / std::max<int64_t>(1, planes_size_);
    const int64_t wanted = std::min(kVectorsAtOnce / vectors_, fit);
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
