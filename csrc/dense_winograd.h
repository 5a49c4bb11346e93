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
    // sizes: two axes, a kernel of 3 x 3 or 5 x 5, and stride, dilation and group of 1.  Throws
    // std::invalid_argument otherwise, or for extras.add.  Where oneDNN would have layouts that
    // winograd.h does not know, all passes are its own.
    WinogradConvolution(const ConvolutionSizes& sizes, const Extras& extras,
                        const WinogradPasses& passes);

    Layout bottom_diff_layout() override;
    Layout weights_diff_layout() override;
    void forward(const Memory& bottom, const Memory& weights, const Memory* bias,
                 Memory& top) override;
    void backward_data(const Memory& top_diff, const Memory& weights, Memory& bottom_diff) override;
    void backward_weights(const Memory& bottom, const Memory& top_diff, Memory& weights_diff,
                          Memory* bias_diff, bool accumulate) override;

   private:
    bool relu_;
    WinogradPasses passes_;
    Winograd forward_winograd_, backward_winograd_;
    dnnl::memory::desc taps_, turned_taps_;  // weights as winograd.h has them, forward and backward
};

}  // namespace sscaffe
