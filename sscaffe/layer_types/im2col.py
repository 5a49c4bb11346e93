"""Im2col: lay out each window of an image as a column."""

import math

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.geometry import ConvGeometry
from sscaffe.layer import Layer, canonical_axis, register
from sscaffe.layer_types.convolution import one_for_each, sizes


@register("Im2col")
class Im2colLayer(Layer):
    """The lowering that is behind a Convolution, with its kernel_size, stride, pad and dilation.

    Bottom: ``(..., C, *input)``, with the channels at `axis`.
    Top: ``(..., C * kernel, *output)``; channel ``(c, k1, k2, ...)`` holds, for each output place,
    the element of channel c under that place of the kernel.
    """

    num_bottom = 1
    num_top = 1

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the sizes."""
        param = self.layer_param.convolution_param
        self.axis = canonical_axis(param.axis, bottom[0].ndim)
        axes = bottom[0].ndim - self.axis - 1
        if not axes:
            raise ShapeError(f"axis: expected spatial axes after it, got {bottom[0].shape}")
        if not param.kernel_size and not (param.HasField("kernel_h") or param.HasField("kernel_w")):
            raise ShapeError("kernel_size: expected one number, or kernel_h and kernel_w, got none")
        self._kernel = sizes(param, "kernel_size", "kernel", axes, 1)
        self._stride = sizes(param, "stride", "stride", axes, 1)
        self._pad = sizes(param, "pad", "pad", axes, 0)
        self._dilation = one_for_each("dilation", param.dilation, axes, 1)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the shape of the top."""
        shape = bottom[0].shape
        images, (channels, *image) = shape[: self.axis], shape[self.axis :]
        self._geometry = ConvGeometry(
            in_channels=channels,
            out_channels=channels,
            group=1,
            input=tuple(image),
            kernel=self._kernel,
            stride=self._stride,
            pad=self._pad,
            dilation=self._dilation,
        )
        self._geometry.check()
        self._batch = math.prod(images)
        top[0].reshape(*images, self._geometry.kernel_dim, *self._geometry.output)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Lower each image."""
        g = self._geometry
        images = bottom[0].const_data.reshape(self._batch, g.in_channels, *g.input)
        columns = top[0].new_data().reshape(self._batch, g.kernel_dim, -1)
        for image, column in zip(images, columns, strict=True):
            self.kernels.im2col(image, g, column)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add up the columns of each image."""
        if not propagate_down[0]:
            return
        g = self._geometry
        images = bottom[0].new_diff().reshape(self._batch, g.in_channels, *g.input)
        columns = top[0].const_diff.reshape(self._batch, g.kernel_dim, -1)
        for image, column in zip(images, columns, strict=True):
            self.kernels.col2im(column, g, image)
