#include <algorithm>
#include <cstring>

#include "channels.h"
#include "parallel.h"

namespace sscaffe {
namespace {

int64_t product(const Dims& dims, size_t first) {
    int64_t result = 1;
    for (size_t i = first; i < dims.size(); ++i) result *= dims[i];
    return result;
}

ChannelSizes channels_last(int64_t positions, int64_t channels) {
    return {1, 1, positions, channels, channels};
}

ChannelSizes plain_sizes(const Dims& dims) {
    const int64_t positions = product(dims, 2);
    if (positions == 1) return channels_last(dims[0], dims[1]);
    return {dims[0], dims[1], positions, 1, dims[1]};
}

// How many rows a whole has, each of which holds all channels of an image, or of one position.  Its
// parts have as many; they themselves do not tell, for one channel last is a plain layout too.
int64_t rows_of(const Memory& whole) {
    const Layout& layout = whole.layout();
    const Dims& dims = layout.dims();
    return is_channels_last(layout) ? dims[0] * product(dims, 2) : dims[0];
}

// Copy rows that lie `stride`s apart, on all threads.
void copy_rows(int64_t rows, int64_t width, const float* source, int64_t source_stride,
               float* target, int64_t target_stride) {
    constexpr int64_t kPiece = 4096;
    const int64_t pieces = (width + kPiece - 1) / kPiece;
    parallel_for(
        0, rows * pieces, grain_of(std::min(width, kPiece)), [=](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; ++i) {
                const int64_t row = i / pieces, at = i % pieces * kPiece;
                std::memcpy(target + row * target_stride + at, source + row * source_stride + at,
                            std::min(kPiece, width - at) * sizeof(float));
            }
        });
}

}  // namespace

#ifdef SSCAFFE_ONEDNN

std::optional<ChannelSizes> channel_sizes(const Layout& layout) {
    const Dims& dims = layout.dims();
    if (dims.size() < 2 || layout.count() == 0) return std::nullopt;
    if (layout.is_plain()) return plain_sizes(dims);
    const auto& desc = layout.desc();
    if (desc.get_format_kind() != dnnl::memory::format_kind::blocked) return std::nullopt;
    const Dims blocks = desc.get_inner_blks(), axes = desc.get_inner_idxs();
    if (blocks.size() > 1 || (!axes.empty() && axes[0] != 1)) return std::nullopt;
    const int64_t images = dims[0], channels = dims[1], positions = product(dims, 2);
    const int64_t block = blocks.empty() ? channels : blocks[0];
    const int64_t groups = (channels + block - 1) / block;
    // [N][groups][positions][block], all of it dense.
    Dims expected(dims.size());
    int64_t stride = block;
    for (size_t axis = dims.size(); axis-- > 2; stride *= dims[axis]) expected[axis] = stride;
    expected[1] = blocks.empty() ? 1 : stride;
    expected[0] = stride * groups;
    const Dims strides = desc.get_strides();
    for (size_t axis = 0; axis < dims.size(); ++axis) {
        const bool moves = axis == 1 ? groups > 1 || blocks.empty() : dims[axis] > 1;
        if (moves && strides[axis] != expected[axis]) return std::nullopt;
    }
    if (layout.stored() != images * groups * positions * block) return std::nullopt;
    if (blocks.empty()) return channels_last(images * positions, channels);
    return ChannelSizes{images, groups, positions, block, channels};
}

bool is_channels_last(const Layout& layout) {
    return !layout.is_plain() && layout.desc().get_inner_nblks() == 0;
}

Layout layout_like(const Layout& layout, const Dims& dims) {
    using tag = dnnl::memory::format_tag;
    const tag last[] = {tag::nwc, tag::nhwc, tag::ndhwc};
    const tag eights[] = {tag::nCw8c, tag::nChw8c, tag::nCdhw8c};
    const tag sixteens[] = {tag::nCw16c, tag::nChw16c, tag::nCdhw16c};
    const size_t axes = dims.size();
    if (layout.is_plain() || !channel_sizes(layout) || axes < 3 || axes > 5) return Layout(dims);
    const bool is_last = is_channels_last(layout);
    const int64_t block = is_last ? 0 : layout.desc().get_inner_blks()[0];
    if (!is_last && block != 8 && block != 16) return Layout(dims);
    const tag* tags = is_last ? last : block == 8 ? eights : sixteens;
    return Layout(dnnl::memory::desc(dims, dnnl::memory::data_type::f32, tags[axes - 3]));
}

#else

std::optional<ChannelSizes> channel_sizes(const Layout& layout) {
    const Dims& dims = layout.dims();
    if (dims.size() < 2 || layout.count() == 0) return std::nullopt;
    return plain_sizes(dims);
}

bool is_channels_last(const Layout&) {
    return false;
}

Layout layout_like(const Layout&, const Dims& dims) {
    return Layout(dims);
}

#endif

void join_channels(const std::vector<const Memory*>& parts, Memory& whole) {
    const int64_t rows = rows_of(whole);
    if (rows == 0) return;
    const int64_t stride = whole.layout().stored() / rows;
    int64_t at = 0;
    for (const Memory* part : parts) {
        const int64_t width = part->layout().stored() / rows;
        if (rows > 1 || part->data() != whole.data() + at)
            copy_rows(rows, width, part->data(), width, whole.data() + at, stride);
        at += width;
    }
}

bool are_joined(const std::vector<const Memory*>& parts, const Memory& whole) {
    if (rows_of(whole) != 1) return false;
    const float* at = whole.data();
    for (const Memory* part : parts) {
        if (part->data() != at) return false;
        at += part->layout().stored();
    }
    return true;
}

void part_channels(const Memory& whole, const std::vector<Memory*>& parts) {
    const int64_t rows = rows_of(whole);
    if (rows == 0) return;
    const int64_t stride = whole.layout().stored() / rows;
    int64_t at = 0;
    for (Memory* part : parts) {
        const int64_t width = part->layout().stored() / rows;
        copy_rows(rows, width, whole.data() + at, stride, part->data(), width);
        at += width;
    }
}

void frame_channels(const Memory& inside, int64_t height, int64_t width, const float* edge,
                    Memory& whole) {
    const Dims &inner = inside.layout().dims(), &outer = whole.layout().dims();
    const int64_t channels = outer[1], rows = outer[2], columns = outer[3];
    const auto fill = [=](int64_t count, float* at) {
        for (int64_t i = 0; i < count; ++i, at += channels) std::copy_n(edge, channels, at);
        return at;
    };
    const int64_t total = outer[0] * rows;
    parallel_for(0, total, grain_of(columns * channels), [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
            const int64_t image = i / rows, y = i % rows - height;
            float* at = whole.data() + i * columns * channels;
            if (y < 0 || y >= inner[2]) {
                fill(columns, at);
                continue;
            }
            const int64_t count = inner[3] * channels;
            at = fill(width, at);
            std::copy_n(inside.data() + (image * inner[2] + y) * count, count, at);
            fill(width, at + count);
        }
    });
}

void flatten_image(const ChannelSizes& sizes, const float* x, float* flat) {
    const int64_t positions = sizes.inner, block = sizes.block;
    for (int64_t group = 0; group < sizes.groups; ++group) {
        const int64_t first = group * block, count = std::min(block, sizes.channels - first);
        const float* source = x + first * positions;
        for (int64_t c = 0; c < count; ++c) {
            float* target = flat + (first + c) * positions;
            for (int64_t p = 0; p < positions; ++p) target[p] = source[p * block + c];
        }
    }
}

}  // namespace sscaffe
