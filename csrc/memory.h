#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#ifdef SSCAFFE_ONEDNN
#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace sscaffe {

using Dims = std::vector<int64_t>;

int64_t count_of(const Dims& dims);

// How the elements of an array of `dims` lie in memory: row-major ("plain"), or as oneDNN chose.
class Layout {
   public:
    explicit Layout(Dims plain_dims);

    const Dims& dims() const { return dims_; }
    int64_t count() const { return count_of(dims_); }
    bool is_plain() const { return plain_; }
    // b where the layout is [N][C / b][H][W][b], 1 where it is plain, C where channels are last, 0
    // where it is another one.
    int64_t image_block() const;
    // That layout, b being 1, 8, 16 or C; the plain one in a build without oneDNN.
    static Layout with_channel_block(const Dims& dims, int64_t block);
    // Elements in memory, with the padding that blocked layouts add.
    int64_t stored() const;
    bool operator==(const Layout& other) const;

#ifdef SSCAFFE_ONEDNN
    explicit Layout(const dnnl::memory::desc& desc);
    const dnnl::memory::desc& desc() const { return desc_; }
#endif

   private:
    Dims dims_;
    bool plain_ = true;
#ifdef SSCAFFE_ONEDNN
    dnnl::memory::desc desc_;
#endif
};

// Floats in some layout; the owner is whatever keeps the pointer alive.
class Memory {
   public:
    // Memory of its own, every element 0.
    explicit Memory(const Layout& layout);
    // Somebody else's plain array.
    Memory(float* data, const Dims& dims, std::shared_ptr<void> owner);
    // Somebody else's layout.stored() floats.
    Memory(const Layout& layout, float* data, std::shared_ptr<void> owner);

    const Layout& layout() const { return layout_; }
    float* data() const { return data_; }
    // Set `other`, which has as many elements, to the same values in its own layout.
    void copy_to(Memory& other) const;
    // The same, but the values here are lost: a large plain array gives its pages back to the
    // system while it is read, so that the two are never in memory whole.
    void move_to(Memory& other);

#ifdef SSCAFFE_ONEDNN
    const dnnl::memory& native() const { return native_; }
#endif

   private:
    Layout layout_;
    std::shared_ptr<void> owner_;
    float* data_;
#ifdef SSCAFFE_ONEDNN
    dnnl::memory native_;
#endif
};

}  // namespace sscaffe
