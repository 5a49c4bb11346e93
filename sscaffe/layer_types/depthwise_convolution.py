"""DepthwiseConvolution: a filter or several for each channel by itself."""

from sscaffe.layer import register
from sscaffe.layer_types.convolution import ConvolutionLayer
from sscaffe.proto import caffe_pb2


@register("DepthwiseConvolution", "ConvolutionDepthwise")
class DepthwiseConvolutionLayer(ConvolutionLayer):
    """A Convolution whose `group` is the number of channels, whether it is written or not.

    Blobs: weights, shape ``(num_output, 1, *kernel)``; bias, shape ``(num_output,)``.
    """

    def _check_channels(self, param: caffe_pb2.ConvolutionParameter) -> None:
        param.group = self._channels
        super()._check_channels(param)
