#include "lrn.h"

#include <algorithm>

#include "aligned.h"
#include "cpu_features.h"
#include "parallel.h"

namespace sscaffe {
namespace {

// Positions of plain memory that are worked on at a time: their channels stay in the second cache.
constexpr int64_t kPositions = 128;
// Elements of other memory, several copies of which stay in the first cache.
constexpr int64_t kRowElements = 1536;

LrnFactors factors_of(const LrnConstants& c, int64_t count) {
    const float share = c.alpha / static_cast<float>(count);
    return {c.beta, c.k, share, 2 * c.alpha * c.beta / static_cast<float>(count)};
}

// All images of an array in pieces of some positions.
struct Pieces {
    const ChannelSizes& sizes;
    int64_t most;  // positions of a piece

    int64_t parts() const { return (sizes.inner + most - 1) / most; }
    int64_t stride() const { return sizes.inner * sizes.block; }  // from group to group

    // Call fn(positions, offset of the first element, room) for each piece, on all threads; each
    // thread has a room of its own, at first 0.
    template <typename Function>
    void for_each(int64_t size, int64_t room, const Function& fn) const {
        const int64_t grain = grain_of(sizes.padded() * size * std::min(most, sizes.inner));
        const AlignedArray<float> rooms = make_aligned<float>(get_num_threads() * room);
        parallel_for(0, sizes.outer * parts(), grain, [&](int64_t first, int64_t last) {
            float* own = rooms.get() + omp_get_thread_num() * room;
            std::fill_n(own, room, 0.0f);
            for (int64_t i = first; i < last; ++i) {
                const int64_t position = i % parts() * most;
                fn(std::min(most, sizes.inner - position),
                   i / parts() * sizes.groups * stride() + position * sizes.block, own);
            }
        });
    }
};

LrnPiece piece_of(const ChannelSizes& s, const LrnConstants& c, int64_t positions) {
    return {s.groups, s.inner, positions, c.size, (c.size - 1) / 2};
}

// The channels of a position, and room for zeros between them and the next position's.
int64_t row_width(const ChannelSizes& s, const LrnConstants& c) {
    return s.padded() + c.size - 1;
}

int64_t row_count(const ChannelSizes& s, const LrnConstants& c) {
    return std::clamp<int64_t>(kRowElements / row_width(s, c), 1, std::max<int64_t>(s.inner, 1));
}

LrnRows rows_of(const ChannelSizes& s, const LrnConstants& c, int64_t positions) {
    const int64_t width = row_width(s, c);
    return {s.groups, s.inner * s.block, s.block, positions,
            c.size,   (c.size - 1) / 2,  width,   row_count(s, c) * width};
}

// Call fn(plane, offset of its first element, room) for each plane of each image, on all threads;
// each thread has a room of its own, at first 0.
template <typename Function>
void for_each_plane(const ChannelSizes& s, const ImageSize& image, const LrnConstants& c,
                    int64_t room, const Function& fn) {
    const LrnPlane plane{image.height, image.width, s.block, c.size};
    const int64_t elements = image.height * image.width * s.block;
    const int64_t planes = elements ? s.positions() * s.padded() / elements : 0;
    const AlignedArray<float> rooms = make_aligned<float>(get_num_threads() * room);
    parallel_for(0, planes, grain_of(elements * c.size), [&](int64_t first, int64_t last) {
        float* own = rooms.get() + omp_get_thread_num() * room;
        std::fill_n(own, room, 0.0f);
        for (int64_t i = first; i < last; ++i) fn(plane, i * elements, own);
    });
}

// A row of a plane with room for zeros at both ends.
int64_t plane_row(const ChannelSizes& s, const ImageSize& image, const LrnConstants& c) {
    return (image.width + c.size - 1) * s.block;
}

}  // namespace

void lrn_across_forward(const ChannelSizes& s, const LrnConstants& c, const float* x, float* scale,
                        float* y) {
    const LrnKernels& kernels = vector_kernels().lrn;
    const LrnFactors f = factors_of(c, c.size);
    if (s.block == 1) {
        const auto run = [&](int64_t positions, int64_t at, float*) {
            kernels.forward(piece_of(s, c, positions), f, x + at, scale + at, y + at);
        };
        Pieces{s, kPositions}.for_each(c.size, 0, run);
        return;
    }
    const int64_t most = row_count(s, c), room = 3 * most * row_width(s, c) + c.size;
    const auto run = [&](int64_t positions, int64_t at, float* own) {
        kernels.rows_forward(rows_of(s, c, positions), f, x + at, scale + at, y + at, own);
    };
    Pieces{s, most}.for_each(c.size, room, run);
}

void lrn_across_backward(const ChannelSizes& s, const LrnConstants& c, const float* x,
                         const float* scale, const float* dy, float* dx) {
    const LrnKernels& kernels = vector_kernels().lrn;
    const LrnFactors f = factors_of(c, c.size);
    if (s.block == 1) {
        const auto run = [&](int64_t positions, int64_t at, float* own) {
            kernels.backward(piece_of(s, c, positions), f, x + at, scale + at, dy + at, dx + at,
                             own);
        };
        Pieces{s, kPositions}.for_each(c.size, (s.groups + 1) * std::min(kPositions, s.inner), run);
        return;
    }
    const int64_t most = row_count(s, c), room = 5 * most * row_width(s, c) + c.size;
    const auto run = [&](int64_t positions, int64_t at, float* own) {
        kernels.rows_backward(rows_of(s, c, positions), f, x + at, scale + at, dy + at, dx + at,
                              own);
    };
    Pieces{s, most}.for_each(c.size, room, run);
}

void lrn_within_forward(const ChannelSizes& s, const ImageSize& image, const LrnConstants& c,
                        const float* x, float* scale, float* y) {
    const auto kernel = vector_kernels().lrn.within_forward;
    const LrnFactors f = factors_of(c, c.size * c.size);
    const auto run = [&](const LrnPlane& plane, int64_t at, float* own) {
        kernel(plane, f, x + at, scale + at, y + at, own);
    };
    for_each_plane(s, image, c, plane_row(s, image, c), run);
}

void lrn_within_backward(const ChannelSizes& s, const ImageSize& image, const LrnConstants& c,
                         const float* x, const float* scale, const float* dy, float* dx) {
    const auto kernel = vector_kernels().lrn.within_backward;
    const LrnFactors f = factors_of(c, c.size * c.size);
    const auto run = [&](const LrnPlane& plane, int64_t at, float* own) {
        kernel(plane, f, x + at, scale + at, dy + at, dx + at, own);
    };
    const int64_t rows = image.height + 1;
    const int64_t room = plane_row(s, image, c) + rows * image.width * s.block;
    for_each_plane(s, image, c, room, run);
}

}  // namespace sscaffe
