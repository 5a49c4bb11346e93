#pragma once

#include "dense_onednn.h"
#include "winograd.h"

namespace sscaffe {

struct WinogradPasses {
    bool forward, backward_data, backward_weights;
};

// A convolution of which the passes that are named are Winograd's, in oneDNN's layouts.
class WinogradConvolution : public Convolution {
   public:
    // sizes: two axes, a kernel of 3 x 3 or 5 x 5, stride and dilation of 1, and a group of 1 for
    // backward passes.  Throws std::invalid_argument otherwise.  Where oneDNN would have layouts
    // that winograd.h does not know, all passes are its own.
    WinogradConvolution(const ConvolutionSizes& sizes, const Extras& extras,
                        const WinogradPasses& passes);

    Layout weights_layout() const override;
    // How weights lie that `prepare` has made ready for any number of forward passes; none where
    // there is nothing to be made.
    std::optional<Layout> prepared_layout() const;
    void prepare(const Memory& weights, Memory& prepared);

    Layout bottom_diff_layout() override;
    Layout weights_diff_layout() override;
    // weights: as they are, or prepared.
    void forward(const Memory& bottom, const Memory& weights, const Memory* bias,
                 Memory& top) override;
    void backward_data(const Memory& top_diff, const Memory& weights, Memory& bottom_diff) override;
    void backward_weights(const Memory& bottom, const Memory& top_diff, Memory& weights_diff,
                          Memory* bias_diff, bool accumulate) override;

   private:
    // Of weights at the points, for the instruction set in use; another one's lie in another way.
    dnnl::memory::desc points() const;
    dnnl::memory::desc turned_points() const;

    WinogradPasses passes_;
    Winograd forward_winograd_, backward_winograd_;
    dnnl::memory::desc taps_, turned_taps_;  // weights as winograd.h has them, forward and backward
};

}  // namespace sscaffe
