"""Deconvolution: the transpose of a convolution, which makes images larger."""

import math

from sscaffe.blob import Array, Blob
from sscaffe.conv.direct_dense import DirectDense
from sscaffe.conv.lowered import LoweredGemm
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.geometry import ConvGeometry
from sscaffe.layer import register
from sscaffe.layer_types.convolution import ConvolutionLayer, Shape
from sscaffe.proto import caffe_pb2
from sscaffe.weighted.base import Propagate

_Mode = caffe_pb2.ConvolutionParameter
_SPARSE = (_Mode.LOWERED_CSRMM, _Mode.LOWERED_CCNMM, _Mode.DIRECT_SCONV)


@register("Deconvolution")
class DeconvolutionLayer(ConvolutionLayer):
    """``top[o, stride * p + dilation * k - pad] += weights[c, o, k] * bottom[c, p]``, plus bias.

    What the backward pass of a Convolution does to its top, this layer does to its bottom.

    Bottoms: ``(..., C, *input)``, as for Convolution. Tops: ``(..., num_output, *output)``, with
    ``output = stride * (input - 1) + dilation * (kernel - 1) + 1 - 2 * pad``.
    Blobs: weights, shape ``(C, num_output / group, *kernel)``; bias, shape ``(num_output,)``.
    """

    absorbs = False

    kernel: DirectDense | LoweredGemm

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the bottoms and the layer's parameters, and create `blobs`."""
        mode = self.layer_param.convolution_param.conv_mode
        if mode in _SPARSE:
            raise UnsupportedError(
                f"conv_mode: {_Mode.ConvMode.Name(mode)} is for Convolution; leave it out"
            )
        super().setup(bottom, top)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the shapes of the tops from those of the bottoms."""
        self._make_kernel(bottom)
        geometry = self.kernel.geometry
        for blob in top:
            images = bottom[0].shape[: self.axis]
            blob.reshape(*images, geometry.in_channels, *geometry.input)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the data of the tops."""
        only_data = Propagate(data=True, weights=False, bias=False)
        for x, y in zip(bottom, top, strict=True):
            self.kernel.backward(x.swapped(), y.swapped(), self.blobs[0], None, only_data)
            if self._bias is not None:
                out = self._by_channel(y.mutable_data)
                out += self._bias.const_data[:, None]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set the diff of the bottoms and add to the diff of `blobs`."""
        weights_flag, *bias_flag = self.param_propagate_down
        only_weights = Propagate(data=False, weights=True, bias=False)
        for y, data_flag, x in zip(top, propagate_down, bottom, strict=True):
            if any(bias_flag) and self._bias is not None:
                diff = self._bias.mutable_diff
                diff += self._by_channel(y.const_diff).sum(axis=(0, 2))
            if weights_flag:
                self.kernel.backward(x.swapped(), y.swapped(), self.blobs[0], None, only_weights)
            if data_flag:
                self.kernel.forward(y.swapped(), self.blobs[0], None, x.swapped())

    def _by_channel(self, array: Array) -> Array:
        geometry = self.kernel.geometry
        return array.reshape(-1, geometry.in_channels, math.prod(geometry.input))

    def _weights_shape(self, param: caffe_pb2.ConvolutionParameter) -> Shape:
        return (self._channels, param.num_output // self.group, *self._kernel)

    def _kernel_for(self, image: Shape, batch: int) -> DirectDense | LoweredGemm:
        if self._padding is not None:
            raise UnsupportedError("pad_l: Deconvolution pads both sides alike; use pad")
        param = self.layer_param.convolution_param
        axes = zip(image[1:], self._kernel, self._stride, self._pad, self._dilation, strict=True)
        geometry = ConvGeometry(
            in_channels=param.num_output,
            out_channels=image[0],
            group=self.group,
            input=tuple(s * (i - 1) + d * (k - 1) + 1 - 2 * p for i, k, s, p, d in axes),
            kernel=self._kernel,
            stride=self._stride,
            pad=self._pad,
            dilation=self._dilation,
        )
        if min(geometry.input, default=1) < 1:
            raise ShapeError(
                f"pad: {self._pad} leaves nothing of a top of a kernel {self._kernel} with stride "
                f"{self._stride} and a bottom of {image[1:]}"
            )
        geometry.check()
        kind = LoweredGemm if self.device.is_cpu else DirectDense
        return kind(geometry, batch, self.device, self.dtype, self.phase)
