#pragma once

// The only header that knows oneDNN's primitives.  Every class keeps its primitives and scratch
// memory, takes operands in any layout, and moves one only where the primitive wants another.
// None of them may be used by two threads at once.

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>

#include "aligned.h"
#include "channels.h"
#include "memory.h"
#include "panels.h"
#include "pooling.h"

namespace sscaffe {

dnnl::engine& onednn_engine();

// Set `to`, which has as many elements, to the values of `from`, in row-major order of both.
void reorder(const Memory& from, Memory& to);

// The same for a plain `from` of the dims of `to`, some rows after the other; `done(begin, end)` is
// told which floats have been read.  False, and nothing is done, where `to` has no such parts.
bool reorder_by_parts(const Memory& from, Memory& to, void (*done)(const void*, const void*));

// out[m][n] = a[m][k] * b[k][n], or out += where `accumulate`; operands may be stored transposed.
void onednn_sgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                  const float* a, const float* b, bool accumulate, float* out);

// An operand in the layout a primitive wants, with the scratch memory for moving it there.
//
// All operands of one thread and one place share the scratch memory, which is released with the
// last of them.  So those that a primitive uses at once must have different places.
class Operand {
   public:
    static constexpr size_t kPlaces = 3;
    explicit Operand(size_t place) : place_(place) {}

    const dnnl::memory& in(const Memory& given, const dnnl::memory::desc& wanted);
    // Memory of any content in `wanted`, until another operand of this thread and place is used.
    Memory& room(const dnnl::memory::desc& wanted);

   private:
    size_t place_;
    std::shared_ptr<Scratch> scratch_;
    std::optional<Memory> memory_;
};

struct Argument {
    int name;
    dnnl::memory memory;  // may be none
};

// What primitives of the calling thread compute in; kept as long as the thread lives.
std::shared_ptr<Scratch> scratchpad_of_thread();

// A primitive whose scratchpad is the calling thread's.
class Primitive {
   public:
    Primitive() = default;
    explicit Primitive(const dnnl::primitive& primitive);
    explicit operator bool() const { return static_cast<bool>(primitive_); }

    // Execute it and wait for it.
    void run(std::initializer_list<Argument> arguments);

   private:
    dnnl::primitive primitive_;
    dnnl::memory scratchpad_;  // of no data yet; none where none is needed
    int64_t scratchpad_floats_ = 0;
};

// What a forward pass does beyond the product.
struct Extras {
    bool bias;
    bool add;    // add to what the top holds
    bool relu;   // then max(0, .)
    bool train;  // or there will be no backward pass
    // Rather make the top in whole blocks of channels, so that those of an image that follow each
    // other lie in one piece, than in the layout that is a little faster by itself.
    bool blocks = false;
};

struct ConvolutionSizes {
    int64_t batch, in_channels, out_channels, group;
    Dims input, output, kernel, stride, pad, dilation;  // spatial axes
};

// What the dense primitives with weights share: a forward, and two halves of backward.
class WeightedPrimitive {
   public:
    virtual ~WeightedPrimitive() = default;

    Layout top_layout() const;
    virtual Layout weights_layout() const { return Layout(forward_weights_); }
    virtual Layout bottom_diff_layout();
    virtual Layout weights_diff_layout();
    const std::string& implementation() const { return implementation_; }

    // top is in top_layout(); with Extras::add it holds what is added.
    virtual void forward(const Memory& bottom, const Memory& weights, const Memory* bias,
                         Memory& top);
    // bottom_diff is in bottom_diff_layout().
    virtual void backward_data(const Memory& top_diff, const Memory& weights, Memory& bottom_diff);
    // weights_diff is in weights_diff_layout(); both diffs are added to where `accumulate`.
    virtual void backward_weights(const Memory& bottom, const Memory& top_diff,
                                  Memory& weights_diff, Memory* bias_diff, bool accumulate);

   protected:
    virtual void make_backward_data() = 0;
    virtual void make_backward_weights() = 0;

    Primitive forward_, backward_data_, backward_weights_;
    dnnl::memory::desc forward_src_, forward_weights_, forward_dst_;
    Dims border_;  // of bias around forward_dst_ in the top, on each axis; empty for none
    bool border_is_rectified_ = false;
    dnnl::memory::desc data_dst_, data_weights_, data_src_;
    dnnl::memory::desc weights_src_, weights_dst_, weights_weights_;
    std::string implementation_;
    Operand first_{0}, second_{1}, added_weights_{2};
    bool is_small_ = false;  // too small for more than one thread

   private:
    Operand inside_{2};
    std::optional<Memory> added_bias_;
};

class Convolution : public WeightedPrimitive {
   public:
    Convolution(const ConvolutionSizes& sizes, const Extras& extras);

   protected:
    void make_backward_data() override;
    void make_backward_weights() override;

    ConvolutionSizes sizes_;
    Extras extras_;

   private:
    dnnl::memory::desc activations(const Dims& dims) const;
    dnnl::memory::desc forward_top(const Dims& dims) const;
    void make_forward(const Dims& weights, const dnnl::memory::desc& bottom,
                      const dnnl::memory::desc& top, const Dims& pad);

    Dims bottom_, top_;
    dnnl::convolution_forward::primitive_desc forward_desc_;
};

class InnerProduct : public WeightedPrimitive {
   public:
    // bottom: (batch, ...), flattened after its first axis; weights: (outputs, ...).
    InnerProduct(const Dims& bottom, int64_t outputs, const Extras& extras);

    // The product of a single vector is sscaffe's own, by the weights as oneDNN lays them out.
    void forward(const Memory& bottom, const Memory& weights, const Memory* bias,
                 Memory& top) override;

   protected:
    void make_backward_data() override;
    void make_backward_weights() override;

   private:
    const float* flattened(const Memory& bottom);

    Dims bottom_dims_, weights_dims_;
    int64_t outputs_;
    Extras extras_;
    std::optional<Panels> panels_;  // without data; of a batch of 1
    std::optional<Layout> bottom_layout_;
    std::optional<ChannelSizes> bottom_sizes_;
    dnnl::inner_product_forward::primitive_desc forward_desc_;
};

struct PoolingSizes {
    int64_t batch, channels;
    Dims input, output, kernel, stride, pad;  // two spatial axes
    // Or the average: over the elements of the image or, where there is pad, the whole window.
    bool max;
};

// Pooling in the layout that the bottom has.
class Pooling {
   public:
    explicit Pooling(const PoolingSizes& sizes) : sizes_(sizes) {}

    Layout top_layout(const Layout& bottom);
    // top is in top_layout(bottom.layout()).
    void forward(const Memory& bottom, Memory& top);
    // The same where no backward pass will follow: by sscaffe's own loops, if they know the layout.
    void infer(const Memory& bottom, Memory& top);
    // After forward; bottom_diff is in the layout that the bottom had.
    void backward(const Memory& top_diff, Memory& bottom_diff);

   private:
    void make(const Layout& bottom);

    PoolingSizes sizes_;
    std::optional<Layout> bottom_layout_;
    std::optional<ChannelSizes> bottom_sizes_;
    std::optional<BlockPooling> own_;
    dnnl::pooling_forward::primitive_desc forward_desc_;
    Primitive forward_, backward_;
    dnnl::memory workspace_;
    Operand top_diff_{0};
};

}  // namespace sscaffe
