#include "dense_onednn.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <vector>

#include "cpu_features.h"
#include "elementwise.h"
#include "geometry.h"
#include "parallel.h"

namespace sscaffe {
namespace {

using dnnl::algorithm;
using dnnl::memory;
using dnnl::prop_kind;
using desc = dnnl::memory::desc;

dnnl::stream& stream() {
    static dnnl::stream the_stream(onednn_engine());
    return the_stream;
}

desc any_layout(const Dims& dims) {
    return desc(dims, memory::data_type::f32, memory::format_tag::any);
}

desc channels_last(const Dims& dims) {
    using tag = memory::format_tag;
    const tag tags[] = {tag::nwc, tag::nhwc, tag::ndhwc};
    return desc(dims, memory::data_type::f32, tags[dims.size() - 3]);
}

// How many times more channels a blocked layout computes than there are.
double padding_factor(int64_t channels) {
    constexpr int64_t kBlock = 16;
    return static_cast<double>((channels + kBlock - 1) / kBlock * kBlock) / channels;
}

// Blocked layouts are the fastest for whole blocks of 16 channels; where they compute much padding,
// channels-last wins: 4.4 against 6.3 ms for all passes of LeNet's conv2 (20 to 50 channels).
bool prefers_channels_last(const ConvolutionSizes& sizes) {
    constexpr double kTooMuch = 1.25;
    // A bottom of few channels is not padded.
    const double in = sizes.in_channels < 8 ? 1.0 : padding_factor(sizes.in_channels);
    return sizes.group == 1 && in * padding_factor(sizes.out_channels) > kTooMuch;
}

// The layout of whole blocks of channels that direct convolutions of this machine have, or none.
std::optional<desc> blocked(const Dims& dims) {
    using tag = memory::format_tag;
    const tag eights[] = {tag::nCw8c, tag::nChw8c, tag::nCdhw8c};
    const tag sixteens[] = {tag::nCw16c, tag::nChw16c, tag::nCdhw16c};
    const bool has_512 = dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core;
    if (dims[1] % (has_512 ? 16 : 8)) return std::nullopt;
    return desc(dims, memory::data_type::f32, (has_512 ? sixteens : eights)[dims.size() - 3]);
}

// Primitives take their scratchpad from the caller: one of oneDNN's own belongs to the thread that
// made the primitive, and another thread that runs it crashes.
dnnl::primitive_attr plain_attributes() {
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return attributes;
}

Dims joined(Dims head, const Dims& tail) {
    head.insert(head.end(), tail.begin(), tail.end());
    return head;
}

// Whether convolutions that read `dims` like to have channels last.
bool readers_like_channels_last(const Dims& dims) {
    const Dims ones(dims.size() - 2, 1), zeros(dims.size() - 2, 0);
    const dnnl::convolution_forward::primitive_desc reader(
        onednn_engine(), prop_kind::forward_inference, algorithm::convolution_direct,
        any_layout(dims), any_layout(joined({dims[1], dims[1]}, ones)), desc(), any_layout(dims),
        ones, zeros, zeros, zeros, plain_attributes());
    return is_channels_last(Layout(reader.src_desc()));
}

desc bias_desc(bool bias, int64_t count) {
    return bias ? desc({count}, memory::data_type::f32, memory::format_tag::x) : desc();
}

prop_kind forward_kind(const Extras& extras) {
    return extras.train ? prop_kind::forward_training : prop_kind::forward_inference;
}

dnnl::primitive_attr attributes(const Extras& extras) {
    dnnl::post_ops after;
    if (extras.add) after.append_sum(1.0f);
    if (extras.relu) after.append_eltwise(algorithm::eltwise_relu, 0.0f, 0.0f);
    dnnl::primitive_attr attributes = plain_attributes();
    attributes.set_post_ops(after);
    return attributes;
}

Dims reduced_by_one(Dims dims) {
    for (auto& size : dims) --size;
    return dims;
}

// `from`, seen with the dims of `to` where one of them is plain.
memory with_dims_of(const Memory& from, const desc& to) {
    if (!from.layout().is_plain() || from.layout().desc() == to) return from.native();
    if (from.layout().dims() == to.get_dims()) return from.native();
    return memory(Layout(to.get_dims()).desc(), onednn_engine(), from.data());
}

// Making a reorder takes longer than moving a small blob, so the last few are kept.
struct KeptReorder {
    desc from, to;
    dnnl::reorder primitive;
};

dnnl::reorder reorder_between(const memory& from, const memory& to) {
    constexpr size_t kKept = 32;
    static thread_local std::vector<KeptReorder> kept;
    static thread_local size_t next = 0;
    const desc source = from.get_desc(), target = to.get_desc();
    for (const KeptReorder& one : kept) {
        if (one.from == source && one.to == target) return one.primitive;
    }
    KeptReorder made{source, target, dnnl::reorder(from, to)};
    if (kept.size() < kKept) {
        kept.push_back(made);
    } else {
        kept[next++ % kKept] = made;
    }
    return made.primitive;
}

void execute_reorder(const memory& from, const memory& to) {
    memory source = from, target = to;
    reorder_between(source, target).execute(stream(), source, target);
    stream().wait();
}

std::shared_ptr<Scratch> scratch_of_thread(size_t place) {
    static thread_local std::array<std::weak_ptr<Scratch>, Operand::kPlaces> shared;
    std::shared_ptr<Scratch> scratch = shared[place].lock();
    if (!scratch) shared[place] = scratch = std::make_shared<Scratch>();
    return scratch;
}

// How weights that are laid out [rows / block][columns / a][a][block] are to be taken, or nothing
// if they are not.
std::optional<Panels> panels_of(const desc& weights) {
    if (weights.get_format_kind() != memory::format_kind::blocked) return std::nullopt;
    const Dims dims = weights.get_dims(), padded = weights.get_padded_dims(),
               strides = weights.get_strides(), blocks = weights.get_inner_blks();
    if (dims.size() != 2 || weights.get_inner_idxs() != Dims{1, 0}) return std::nullopt;
    const Panels panels{dims[0], dims[1], blocks[1], padded[1], nullptr};
    const bool is_whole = strides == Dims{padded[1] * blocks[1], blocks[0] * blocks[1]};
    const int64_t lanes = vector_kernels().implicit_gemm.lanes;
    return is_whole && blocks[1] % lanes == 0 ? std::optional(panels) : std::nullopt;
}

// Lets oneDNN use the calling thread alone, if that is asked for, as long as this lives.
class OneThread {
   public:
    explicit OneThread(bool wanted) : before_(wanted ? get_num_threads() : 0) {
        if (before_) set_num_threads(1);
    }
    ~OneThread() {
        if (before_) set_num_threads(before_);
    }
    OneThread(const OneThread&) = delete;
    OneThread& operator=(const OneThread&) = delete;

   private:
    int before_;
};

// Whether a forward pass takes so little that other threads do not help: what they have made lies
// in their caches, and the next layer has to wait for it.  LeNet's first convolution and the
// pooling after it take 6.3 us on one thread, 12.3 on two.
bool is_small(const ConvolutionSizes& s, const Extras& extras) {
    constexpr int64_t kWorthThreads = 500000, kBlock = 16;
    const int64_t outputs = divide_up(s.out_channels, kBlock) * kBlock;
    const int64_t work =
        s.batch * count_of(s.output) * outputs * (s.in_channels / s.group) * count_of(s.kernel);
    return !extras.train && work < kWorthThreads;
}

// The rows [first, first + count) of `whole`.
desc rows_of(const desc& whole, int64_t first, int64_t count) {
    Dims dims = whole.get_dims(), offsets(dims.size(), 0);
    dims[0] = count;
    offsets[0] = first;
    return whole.submemory_desc(dims, offsets);
}

}  // namespace

dnnl::engine& onednn_engine() {
    static dnnl::engine the_engine(dnnl::engine::kind::cpu, 0);
    return the_engine;
}

std::shared_ptr<Scratch> scratchpad_of_thread() {
    static thread_local const std::shared_ptr<Scratch> pad = std::make_shared<Scratch>();
    return pad;
}

void reorder(const Memory& from, Memory& to) {
    if (from.layout().dims() != to.layout().dims() && !from.layout().is_plain() &&
        !to.layout().is_plain()) {
        // oneDNN keeps the dims of what it moves; the row-major array has no such memory.
        Memory plain{Layout(from.layout().dims())};
        reorder(from, plain);
        reorder(plain, to);
        return;
    }
    const memory source = with_dims_of(from, to.layout().desc());
    execute_reorder(source, with_dims_of(to, source.get_desc()));
}

bool reorder_by_parts(const Memory& from, Memory& to, void (*done)(const void*, const void*)) {
    constexpr int64_t kPart = int64_t{4} << 20, kBlock = 64;  // floats; rows of any layout's block
    const desc source = from.layout().desc(), target = to.layout().desc();
    if (!from.layout().is_plain() || source.get_dims() != target.get_dims()) return false;
    const int64_t rows = source.get_dims()[0],
                  row = from.layout().count() / std::max<int64_t>(rows, 1);
    const int64_t part = (kPart / std::max<int64_t>(row, 1) / kBlock + 1) * kBlock;
    if (part >= rows) return false;
    try {
        for (int64_t first = 0; first < rows; first += part)
            rows_of(target, first, std::min(part, rows - first));
    } catch (const dnnl::error&) {
        return false;
    }
    for (int64_t first = 0; first < rows; first += part) {
        const int64_t count = std::min(part, rows - first);
        memory in(rows_of(source, first, count), onednn_engine(), from.data());
        memory out(rows_of(target, first, count), onednn_engine(), to.data());
        dnnl::reorder(in, out).execute(stream(), in, out);
        stream().wait();
        done(from.data() + first * row, from.data() + (first + count) * row);
    }
    return true;
}

void onednn_sgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                  const float* a, const float* b, bool accumulate, float* out) {
    const auto status =
        dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, 1.0f, a,
                   transpose_a ? m : k, b, transpose_b ? k : n, accumulate ? 1.0f : 0.0f, out, n);
    if (status != dnnl_success) throw std::runtime_error("oneDNN refused a matrix product");
}

const memory& Operand::in(const Memory& given, const desc& wanted) {
    if (given.layout().desc() == wanted) return given.native();
    reorder(given, room(wanted));
    return memory_->native();
}

Memory& Operand::room(const desc& wanted) {
    scratch_ = scratch_of_thread(place_);
    float* data = scratch_->room(wanted.get_size() / sizeof(float));
    if (!memory_ || memory_->data() != data || memory_->layout().desc() != wanted) {
        memory_.emplace(Layout(wanted), data, nullptr);
    }
    return *memory_;
}

Primitive::Primitive(const dnnl::primitive& primitive) : primitive_(primitive) {
    const const_dnnl_memory_desc_t wanted =
        dnnl_primitive_desc_query_md(primitive.get_primitive_desc(), dnnl_query_scratchpad_md, 0);
    if (!wanted || dnnl_memory_desc_get_size(wanted) == 0) return;
    scratchpad_floats_ = dnnl_memory_desc_get_size(wanted) / sizeof(float) + 1;
    dnnl_memory_desc_t own;
    dnnl::error::wrap_c_api(dnnl_memory_desc_clone(&own, wanted), "no copy of a descriptor");
    scratchpad_ = memory(desc(own), onednn_engine(), DNNL_MEMORY_NONE);
}

// By the C interface: the maps that the other one wants take a microsecond to make, a tenth of what
// a small convolution takes.
void Primitive::run(std::initializer_list<Argument> arguments) {
    constexpr int kMost = 8;
    std::array<dnnl_exec_arg_t, kMost> given;
    int count = 0;
    for (const Argument& argument : arguments) {
        if (argument.memory) given.at(count++) = {argument.name, argument.memory.get()};
    }
    std::shared_ptr<Scratch> scratch;
    if (scratchpad_) {
        scratch = scratchpad_of_thread();
        scratchpad_.set_data_handle(scratch->room(scratchpad_floats_));
        given.at(count++) = {DNNL_ARG_SCRATCHPAD, scratchpad_.get()};
    }
    dnnl::error::wrap_c_api(
        dnnl_primitive_execute(primitive_.get(), stream().get(), count, given.data()),
        "a primitive did not run");
    stream().wait();
}

Layout WeightedPrimitive::top_layout() const {
    if (border_.empty()) return Layout(forward_dst_);
    Dims dims = forward_dst_.get_dims();
    for (size_t i = 0; i < border_.size(); ++i) dims[2 + i] += 2 * border_[i];
    return Layout(channels_last(dims));
}

Layout WeightedPrimitive::bottom_diff_layout() {
    if (!backward_data_) make_backward_data();
    return Layout(data_src_);
}

Layout WeightedPrimitive::weights_diff_layout() {
    if (!backward_weights_) make_backward_weights();
    return Layout(weights_weights_);
}

void WeightedPrimitive::forward(const Memory& bottom, const Memory& weights, const Memory* bias,
                                Memory& top) {
    const OneThread one(is_small_);
    Memory& out = border_.empty() ? top : inside_.room(forward_dst_);
    forward_.run({{DNNL_ARG_SRC, first_.in(bottom, forward_src_)},
                  {DNNL_ARG_WEIGHTS, second_.in(weights, forward_weights_)},
                  {DNNL_ARG_BIAS, bias ? bias->native() : memory()},
                  {DNNL_ARG_DST, with_dims_of(out, forward_dst_)}});
    if (border_.empty()) return;
    std::vector<float> edge(forward_dst_.get_padded_dims()[1], 0.0f);
    if (bias) std::copy_n(bias->data(), bias->layout().count(), edge.begin());
    if (border_is_rectified_) {
        for (float& value : edge) value = std::max(value, 0.0f);
    }
    frame_channels(out, border_[0], border_[1], edge.data(), top);
}

void WeightedPrimitive::backward_data(const Memory& top_diff, const Memory& weights,
                                      Memory& bottom_diff) {
    if (!backward_data_) make_backward_data();
    backward_data_.run({{DNNL_ARG_DIFF_DST, first_.in(top_diff, data_dst_)},
                        {DNNL_ARG_WEIGHTS, second_.in(weights, data_weights_)},
                        {DNNL_ARG_DIFF_SRC, with_dims_of(bottom_diff, data_src_)}});
}

void WeightedPrimitive::backward_weights(const Memory& bottom, const Memory& top_diff,
                                         Memory& weights_diff, Memory* bias_diff, bool accumulate) {
    if (!backward_weights_) make_backward_weights();
    Memory* weights_out = &weights_diff;
    Memory* bias_out = bias_diff;
    if (accumulate) {
        weights_out = &added_weights_.room(weights_weights_);
        if (bias_diff) {
            if (!added_bias_) added_bias_.emplace(bias_diff->layout());
            bias_out = &*added_bias_;
        }
    }
    backward_weights_.run({{DNNL_ARG_SRC, first_.in(bottom, weights_src_)},
                           {DNNL_ARG_DIFF_DST, second_.in(top_diff, weights_dst_)},
                           {DNNL_ARG_DIFF_WEIGHTS, with_dims_of(*weights_out, weights_weights_)},
                           {DNNL_ARG_DIFF_BIAS, bias_out ? bias_out->native() : memory()}});
    if (!accumulate) return;
    add_scaled(weights_out->layout().stored(), 1.0f, weights_out->data(), weights_diff.data());
    if (bias_out)
        add_scaled(bias_out->layout().stored(), 1.0f, bias_out->data(), bias_diff->data());
}

// oneDNN has no direct kernel for 1x1 with padding.  Beyond the bottom the top is the bias, so the
// product need not be computed there: a quarter of the top of SqueezeNet's conv10.
bool wants_border(const ConvolutionSizes& s, const Extras& extras) {
    const auto all = [](const Dims& dims, int64_t n) {
        return std::all_of(dims.begin(), dims.end(), [n](int64_t d) { return d == n; });
    };
    const bool is_padded = s.pad.size() == 2 && !all(s.pad, 0);
    const bool is_whole = s.in_channels % 16 == 0 && s.group == 1;
    const bool computes = !extras.train && !extras.add;
    return computes && is_padded && is_whole && all(s.kernel, 1) && all(s.stride, 1);
}

Convolution::Convolution(const ConvolutionSizes& sizes, const Extras& extras)
    : sizes_(sizes),
      extras_(extras),
      bottom_(joined({sizes.batch, sizes.in_channels}, sizes.input)),
      top_(joined({sizes.batch, sizes.out_channels}, sizes.output)) {
    const Dims weights = sizes.group == 1
                             ? joined({sizes.out_channels, sizes.in_channels}, sizes.kernel)
                             : joined({sizes.group, sizes.out_channels / sizes.group,
                                       sizes.in_channels / sizes.group},
                                      sizes.kernel);
    Dims inside = top_, pad = sizes.pad;
    if (wants_border(sizes, extras)) {
        border_ = pad;
        border_is_rectified_ = extras.relu;
        inside = joined({sizes.batch, sizes.out_channels}, sizes.input);
        pad.assign(pad.size(), 0);
    }
    const std::optional<desc> whole = blocked(inside);
    if (extras.blocks && border_.empty() && whole) {
        make_forward(weights, any_layout(bottom_), *whole, pad);
        if (implementation_.rfind("jit", 0) == 0) return;
    }
    make_forward(weights, activations(bottom_), forward_top(inside), pad);
}

void Convolution::make_forward(const Dims& weights, const desc& bottom, const desc& top,
                               const Dims& pad) {
    is_small_ = is_small(sizes_, extras_);
    const OneThread one(is_small_);
    forward_desc_ = dnnl::convolution_forward::primitive_desc(
        onednn_engine(), forward_kind(extras_), algorithm::convolution_direct, bottom,
        any_layout(weights), bias_desc(extras_.bias, sizes_.out_channels), top, sizes_.stride,
        reduced_by_one(sizes_.dilation), pad, pad, attributes(extras_));
    forward_ = Primitive(dnnl::convolution_forward(forward_desc_));
    forward_src_ = forward_desc_.src_desc();
    forward_weights_ = forward_desc_.weights_desc();
    forward_dst_ = forward_desc_.dst_desc();
    implementation_ = forward_desc_.impl_info_str();
}

dnnl::memory::desc Convolution::activations(const Dims& dims) const {
    return prefers_channels_last(sizes_) ? channels_last(dims) : any_layout(dims);
}

// The first of a net can write what the others will read at no cost.
dnnl::memory::desc Convolution::forward_top(const Dims& dims) const {
    const bool is_first = sizes_.in_channels < 8 && sizes_.group == 1;
    const bool last = !extras_.train && is_first && readers_like_channels_last(dims);
    // What gets a border must be in a layout that frame_channels knows.
    return last || !border_.empty() ? channels_last(dims) : activations(dims);
}

void Convolution::make_backward_data() {
    const dnnl::convolution_backward_data::primitive_desc backward(
        onednn_engine(), algorithm::convolution_direct, activations(bottom_),
        any_layout(forward_weights_.get_dims()), activations(top_), sizes_.stride,
        reduced_by_one(sizes_.dilation), sizes_.pad, sizes_.pad, forward_desc_, plain_attributes());
    backward_data_ = Primitive(dnnl::convolution_backward_data(backward));
    data_dst_ = backward.diff_dst_desc();
    data_weights_ = backward.weights_desc();
    data_src_ = backward.diff_src_desc();
}

void Convolution::make_backward_weights() {
    const dnnl::convolution_backward_weights::primitive_desc backward(
        onednn_engine(), algorithm::convolution_direct, activations(bottom_),
        any_layout(forward_weights_.get_dims()), bias_desc(extras_.bias, sizes_.out_channels),
        activations(top_), sizes_.stride, reduced_by_one(sizes_.dilation), sizes_.pad, sizes_.pad,
        forward_desc_, plain_attributes());
    backward_weights_ = Primitive(dnnl::convolution_backward_weights(backward));
    weights_src_ = backward.src_desc();
    weights_dst_ = backward.diff_dst_desc();
    weights_weights_ = backward.diff_weights_desc();
}

InnerProduct::InnerProduct(const Dims& bottom, int64_t outputs, const Extras& extras)
    : bottom_dims_(bottom), weights_dims_(bottom), outputs_(outputs), extras_(extras) {
    weights_dims_[0] = outputs;
    forward_desc_ = dnnl::inner_product_forward::primitive_desc(
        onednn_engine(), forward_kind(extras), any_layout(bottom_dims_), any_layout(weights_dims_),
        bias_desc(extras.bias, outputs), Layout(Dims{bottom[0], outputs}).desc(),
        attributes(extras));
    forward_ = Primitive(dnnl::inner_product_forward(forward_desc_));
    forward_src_ = forward_desc_.src_desc();
    forward_weights_ = forward_desc_.weights_desc();
    forward_dst_ = forward_desc_.dst_desc();
    implementation_ = forward_desc_.impl_info_str();
    if (bottom[0] != 1 || extras.add) return;
    panels_ = panels_of(forward_weights_);
    if (panels_) implementation_ = "layout, sscaffe's product";
}

void InnerProduct::forward(const Memory& bottom, const Memory& weights, const Memory* bias,
                           Memory& top) {
    if (!panels_) {
        WeightedPrimitive::forward(bottom, weights, bias, top);
        return;
    }
    Panels panels = *panels_;
    const memory& given = second_.in(weights, forward_weights_);
    panels.data = static_cast<const float*>(given.get_data_handle());
    multiply_panels(panels, flattened(bottom), bias ? bias->data() : nullptr, extras_.relu,
                    top.data());
}

// The bottom in the order of the columns.
const float* InnerProduct::flattened(const Memory& bottom) {
    if (bottom.layout().is_plain()) return bottom.data();
    if (!bottom_layout_ || !(*bottom_layout_ == bottom.layout())) {
        bottom_layout_ = bottom.layout();
        // A row may be made of several images, by an axis of 0 or a Reshape.
        const bool is_one_image = bottom.layout().dims()[0] == 1;
        bottom_sizes_ = is_one_image ? channel_sizes(bottom.layout()) : std::nullopt;
    }
    if (!bottom_sizes_) {
        return static_cast<const float*>(first_.in(bottom, forward_src_).get_data_handle());
    }
    float* flat = first_.room(forward_src_).data();
    flatten_image(*bottom_sizes_, bottom.data(), flat);
    return flat;
}

void InnerProduct::make_backward_data() {
    const dnnl::inner_product_backward_data::primitive_desc backward(
        onednn_engine(), any_layout(bottom_dims_), any_layout(weights_dims_), forward_dst_,
        forward_desc_, plain_attributes());
    backward_data_ = Primitive(dnnl::inner_product_backward_data(backward));
    data_dst_ = backward.diff_dst_desc();
    data_weights_ = backward.weights_desc();
    data_src_ = backward.diff_src_desc();
}

void InnerProduct::make_backward_weights() {
    const dnnl::inner_product_backward_weights::primitive_desc backward(
        onednn_engine(), any_layout(bottom_dims_), any_layout(weights_dims_),
        bias_desc(extras_.bias, outputs_), forward_dst_, forward_desc_, plain_attributes());
    backward_weights_ = Primitive(dnnl::inner_product_backward_weights(backward));
    weights_src_ = backward.src_desc();
    weights_dst_ = backward.diff_dst_desc();
    weights_weights_ = backward.diff_weights_desc();
}

Layout Pooling::top_layout(const Layout& bottom) {
    if (!bottom_layout_ || !(*bottom_layout_ == bottom)) make(bottom);
    return Layout(forward_desc_.dst_desc());
}

void Pooling::make(const Layout& bottom) {
    Dims beyond(sizes_.pad.size());  // how far the last window reaches past the image
    for (size_t i = 0; i < beyond.size(); ++i) {
        const int64_t end = (sizes_.output[i] - 1) * sizes_.stride[i] + sizes_.kernel[i];
        beyond[i] = std::max<int64_t>(0, end - sizes_.input[i] - sizes_.pad[i]);
    }
    auto method = algorithm::pooling_max;
    if (!sizes_.max) {
        const bool padded =
            std::any_of(sizes_.pad.begin(), sizes_.pad.end(), [](int64_t pad) { return pad > 0; });
        method = padded ? algorithm::pooling_avg_include_padding
                        : algorithm::pooling_avg_exclude_padding;
    }
    const Dims dilation(sizes_.kernel.size(), 0);
    forward_desc_ = dnnl::pooling_forward::primitive_desc(
        onednn_engine(), prop_kind::forward_training, method, bottom.desc(),
        any_layout(joined({sizes_.batch, sizes_.channels}, sizes_.output)), sizes_.stride,
        sizes_.kernel, dilation, sizes_.pad, beyond, plain_attributes());
    const dnnl::pooling_backward::primitive_desc backward(
        onednn_engine(), method, bottom.desc(), forward_desc_.dst_desc(), sizes_.stride,
        sizes_.kernel, dilation, sizes_.pad, beyond, forward_desc_, plain_attributes());
    forward_ = Primitive(dnnl::pooling_forward(forward_desc_));
    backward_ = Primitive(dnnl::pooling_backward(backward));
    if (sizes_.max) workspace_ = memory(forward_desc_.workspace_desc(), onednn_engine());
    bottom_layout_ = bottom;
    bottom_sizes_ = channel_sizes(bottom);
    own_.reset();
    // Where an axis of the bottom is 1, oneDNN may order those of the top in another way.
    const auto top_sizes = channel_sizes(Layout(forward_desc_.dst_desc()));
    if (!bottom_sizes_ || !top_sizes || sizes_.kernel.size() != 2) return;
    if (top_sizes->block != bottom_sizes_->block || top_sizes->groups != bottom_sizes_->groups) {
        return;
    }
    const auto axis = [this](size_t i) {
        return PoolAxis{sizes_.input[i], sizes_.kernel[i], sizes_.stride[i], sizes_.pad[i],
                        sizes_.output[i]};
    };
    const int64_t groups = bottom_sizes_->groups;
    own_.emplace(PoolGeometry{sizes_.batch * groups, axis(0), axis(1)}, sizes_.max);
}

void Pooling::forward(const Memory& bottom, Memory& top) {
    top_layout(bottom.layout());
    forward_.run({{DNNL_ARG_SRC, bottom.native()},
                  {DNNL_ARG_DST, top.native()},
                  {DNNL_ARG_WORKSPACE, workspace_}});
}

void Pooling::infer(const Memory& bottom, Memory& top) {
    top_layout(bottom.layout());
    if (own_) {
        own_->forward(bottom_sizes_->block, bottom.data(), top.data());
    } else {
        forward(bottom, top);
    }
}

void Pooling::backward(const Memory& top_diff, Memory& bottom_diff) {
    if (!bottom_layout_) throw std::logic_error("pooling: backward before forward");
    backward_.run({{DNNL_ARG_DIFF_DST, top_diff_.in(top_diff, forward_desc_.dst_desc())},
                   {DNNL_ARG_DIFF_SRC, bottom_diff.native()},
                   {DNNL_ARG_WORKSPACE, workspace_}});
}

}  // namespace sscaffe
