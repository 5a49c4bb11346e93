#include "memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <numeric>
#include <stdexcept>

#include "aligned.h"

#ifdef SSCAFFE_ONEDNN
#include "dense_onednn.h"
#endif

namespace sscaffe {
namespace {

std::shared_ptr<void> allocate(int64_t count) {
    const size_t bytes = static_cast<size_t>(count) * sizeof(float);
    std::shared_ptr<void> data(aligned_allocate(bytes), std::free);
    std::memset(data.get(), 0, bytes);
    return data;
}

#ifdef SSCAFFE_ONEDNN
dnnl::memory::desc plain_desc(const Dims& dims) {
    dnnl::memory::dims strides(dims.size(), 1);
    for (size_t i = dims.size(); i-- > 1;)
        strides[i - 1] = strides[i] * std::max<int64_t>(dims[i], 1);
    return dnnl::memory::desc(dims, dnnl::memory::data_type::f32, strides);
}

using tag = dnnl::memory::format_tag;

dnnl::memory::desc desc_of(const Dims& dims, tag layout) {
    return dnnl::memory::desc(dims, dnnl::memory::data_type::f32, layout);
}
#endif

}  // namespace

int64_t count_of(const Dims& dims) {
    return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<int64_t>());
}

#ifdef SSCAFFE_ONEDNN

Layout::Layout(Dims plain_dims)
    : dims_(plain_dims.empty() ? Dims{1} : std::move(plain_dims)), desc_(plain_desc(dims_)) {}

Layout::Layout(const dnnl::memory::desc& desc)
    : dims_(desc.get_dims()), plain_(desc == plain_desc(desc.get_dims())), desc_(desc) {}

int64_t Layout::stored() const {
    return desc_.get_size() / sizeof(float);
}

int64_t Layout::image_block() const {
    if (plain_) return 1;
    if (dims_.size() != 4) return 0;
    const int blocks = desc_.get_inner_nblks();
    if (blocks == 0) return desc_ == desc_of(dims_, tag::nhwc) ? dims_[1] : 0;
    const int64_t block = desc_.get_inner_blks()[0];
    const bool known = blocks == 1 && (block == 8 || block == 16);
    return known && *this == with_channel_block(dims_, block) ? block : 0;
}

Layout Layout::with_channel_block(const Dims& dims, int64_t block) {
    if (block == 1) return Layout(dims);
    return Layout(desc_of(dims, block == 8 ? tag::nChw8c : block == 16 ? tag::nChw16c : tag::nhwc));
}

bool Layout::operator==(const Layout& other) const {
    return desc_ == other.desc_;
}

Memory::Memory(const Layout& layout)
    : layout_(layout),
      owner_(allocate(layout.stored())),
      data_(static_cast<float*>(owner_.get())),
      native_(layout.desc(), onednn_engine(), data_) {}

Memory::Memory(const Layout& layout, float* data, std::shared_ptr<void> owner)
    : layout_(layout),
      owner_(std::move(owner)),
      data_(data),
      native_(layout_.desc(), onednn_engine(), data_) {}

#else

Layout::Layout(Dims plain_dims) : dims_(plain_dims.empty() ? Dims{1} : std::move(plain_dims)) {}

int64_t Layout::stored() const {
    return count();
}

int64_t Layout::image_block() const {
    return 1;
}

Layout Layout::with_channel_block(const Dims& dims, int64_t) {
    return Layout(dims);
}

bool Layout::operator==(const Layout& other) const {
    return dims_ == other.dims_;
}

Memory::Memory(const Layout& layout)
    : layout_(layout),
      owner_(allocate(layout.stored())),
      data_(static_cast<float*>(owner_.get())) {}

Memory::Memory(const Layout& layout, float* data, std::shared_ptr<void> owner)
    : layout_(layout), owner_(std::move(owner)), data_(data) {}

#endif

Memory::Memory(float* data, const Dims& dims, std::shared_ptr<void> owner)
    : Memory(Layout(dims), data, std::move(owner)) {}

void Memory::copy_to(Memory& other) const {
    if (layout_.count() != other.layout_.count()) {
        throw std::invalid_argument("copy_to: the layouts differ in their number of elements");
    }
    if (layout_.is_plain() && other.layout_.is_plain()) {
        std::memcpy(other.data_, data_, layout_.count() * sizeof(float));
        return;
    }
#ifdef SSCAFFE_ONEDNN
    reorder(*this, other);
#endif
}

void Memory::move_to(Memory& other) {
#ifdef SSCAFFE_ONEDNN
    constexpr int64_t kLarge = int64_t{32} << 20;
    const int64_t bytes = layout_.count() * static_cast<int64_t>(sizeof(float));
    const bool worth_it = bytes >= kLarge && layout_.is_plain() && !other.layout_.is_plain();
    if (worth_it && reorder_by_parts(*this, other, &give_back_pages)) return;
#endif
    copy_to(other);
}

}  // namespace sscaffe
