"""Convolution: filters slide over the spatial axes of the bottom."""

import math
from collections.abc import Sequence

from sscaffe import conv, sparsity
from sscaffe.blob import Blob
from sscaffe.conv.base import ConvKernel
from sscaffe.conv.padding import read_padding
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.geometry import ConvGeometry
from sscaffe.layer import Layer, canonical_axis, register
from sscaffe.proto import caffe_pb2
from sscaffe.tensor import Fresh
from sscaffe.weighted.base import Epilogue, Propagate

Shape = tuple[int, ...]


@register("Convolution")
class ConvolutionLayer(Layer):
    """``top[o] = bias[o] + sum of weights[o, c, k] * bottom[c, stride * p + dilation * k - pad]``.

    Bottoms: ``(..., C, *input)``, with the channels at `axis` and any number of spatial axes after
    it; the axes before it are separate images. Several bottoms of one shape share the weights.
    Tops: ``(..., num_output, *output)``, with
    ``output = floor((input + 2 * pad - dilation * (kernel - 1) - 1) / stride) + 1``.
    Blobs: weights, shape ``(num_output, C / group, *kernel)``; bias, shape ``(num_output,)``.
    """

    min_bottom = 1
    min_top = 1
    same_number = True

    absorbs = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the bottoms and the layer's parameters, and create `blobs`."""
        param = self.layer_param.convolution_param
        if param.relu:
            raise UnsupportedError(f"relu: {self.type} has no rectifier; put a ReLU layer after it")
        self._key: tuple[Shape, int] | None = None
        self._hands_on_native = self._is_repeated = False
        self.axis = canonical_axis(param.axis, bottom[0].ndim)
        self._spatial_axes = bottom[0].ndim - self.axis - 1
        self._read_sizes(param)
        self._channels = bottom[0].shape[self.axis]
        self._check_channels(param)
        self._make_kernel(bottom)
        if not self.blobs:
            self.add_param(self._weights_shape(param), param.weight_filler)
            if param.bias_term:
                self.add_param((param.num_output,), param.bias_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the shapes of the tops from those of the bottoms."""
        self._make_kernel(bottom)
        geometry = self.kernel.geometry
        for blob in top:
            images = bottom[0].shape[: self.axis]
            blob.reshape(*images, geometry.out_channels, *geometry.output)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the data of the tops."""
        for x, y in zip(bottom, top, strict=True):
            self.kernel.forward(self._padded(x), self.blobs[0], self._bias, y)

    @property
    def may_fold(self) -> bool:
        """Whether row i of the weights makes channel i, along axis 1, of the top."""
        return self.axis == 1

    @property
    def holds_weights(self) -> bool:
        """Whether the kernel has the weights in a form of its own and needs their blob no more."""
        return self.kernel.holds_weights

    def lower(self, bottom: Blob, weights: Blob) -> bool:
        """Do no more of a forward pass than lowering the bottom; False if there is no such part."""
        return self.kernel.lower(self._padded(bottom), weights)

    @property
    def replays(self) -> bool:
        """See `Layer.replays`."""
        return self._padding is None and self.kernel.replays

    @property
    def treats_images_apart(self) -> bool:
        """See `Layer.treats_images_apart`."""
        return self.axis > 0

    def forward_with(
        self, bottom: Blob, weights: Blob, bias: Blob | None, top: Blob, epilogue: Epilogue
    ) -> None:
        """Set the data of a top by other weights of the same shape, and do what follows."""
        self.kernel.forward(self._padded(bottom), weights, bias, top, epilogue)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set the diff of the bottoms and add to the diff of `blobs`."""
        weights_flag, *bias_flag = self.param_propagate_down
        for y, data_flag, x in zip(top, propagate_down, bottom, strict=True):
            wanted = Propagate(data_flag, weights_flag, any(bias_flag))
            padded = self._padded(x)
            self.kernel.backward(y, padded, self.blobs[0], self._bias, wanted)
            if data_flag and self._padding is not None:
                self._padding.cut(padded, x)

    @property
    def kernel_description(self) -> str:
        """Which code computes the layer, and why where that is not what was asked for."""
        return self.kernel.description

    def macs(self) -> int:
        """Return the multiply-adds of one forward pass of the batch with dense weights."""
        return self.blobs[0].count * self._uses()

    def kept_macs(self) -> int:
        """Return the multiply-adds left without the zero rows and columns of each group."""
        weights = self.blobs[0].const_data.reshape(self.blobs[0].shape[0], -1)
        return sparsity.kept_size(weights, self.group) * self._uses()

    @property
    def _bias(self) -> Blob | None:
        return self.blobs[1] if len(self.blobs) > 1 else None

    def _weights_shape(self, param: caffe_pb2.ConvolutionParameter) -> Shape:
        return (param.num_output, self._channels // self.group, *self._kernel)

    def _padded(self, bottom: Blob) -> Blob:
        """Return a bottom with the padding that the kernel does not add itself."""
        return bottom if self._padding is None else self._padding.pad(bottom)

    def _uses(self) -> int:
        """Return how often each weight is used in one forward pass."""
        return self._bottoms * self.kernel.batch * math.prod(self.kernel.geometry.output)

    def _read_sizes(self, param: caffe_pb2.ConvolutionParameter) -> None:
        axes = self._spatial_axes
        named = param.HasField("kernel_h") or param.HasField("kernel_w")
        if axes and not param.kernel_size and not named:
            raise ShapeError("kernel_size: expected one number, or kernel_h and kernel_w, got none")
        self._kernel = sizes(param, "kernel_size", "kernel", axes, 1)
        self._stride = sizes(param, "stride", "stride", axes, 1)
        self._pad = sizes(param, "pad", "pad", axes, 0)
        self._padding = read_padding(param, axes)
        self._dilation = one_for_each("dilation", param.dilation, axes, 1)

    def _check_channels(self, param: caffe_pb2.ConvolutionParameter) -> None:
        if param.num_output < 1:
            raise ShapeError(f"num_output: expected 1 or more, got {param.num_output}")
        if param.group < 1:
            raise ShapeError(f"group: expected 1 or more, got {param.group}")
        counted = ((self._channels, "channels of the bottom"), (param.num_output, "of num_output"))
        for count, what in counted:
            if count % param.group:
                raise ShapeError(
                    f"group: {param.group} does not divide the {count} {what}; "
                    f"use a divisor of {count}"
                )
        self.group = int(param.group)

    def hand_on_native(self) -> None:
        """Know that who reads the top is faster where it is in the layout of dense kernels."""
        self._hands_on_native = self.kernel.hands_on_native = True

    def be_repeated(self) -> None:
        """Know that a compact net runs the kernel from now on."""
        self._is_repeated = True
        self.kernel.be_repeated()

    def _make_kernel(self, bottom: list[Blob]) -> None:
        shape = bottom[0].shape
        for i, blob in enumerate(bottom):
            if blob.shape != shape:
                raise ShapeError(
                    f"bottom {i}: expected the shape {shape} of bottom 0, got {blob.shape}"
                )
        self._bottoms = len(bottom)
        self._check_bottom(shape)
        batch = math.prod(shape[: self.axis])
        key = shape[self.axis :], batch
        if key == self._key:
            return
        if self._key is None or not self._may_keep_kernel(key):
            self.kernel = self._kernel_for(key[0], batch)
            self.kernel.layer_name = self.name
            self.kernel.hands_on_native = self._hands_on_native
            if self._is_repeated:
                self.kernel.be_repeated()
        self._key = key

    def _may_keep_kernel(self, key: tuple[Shape, int]) -> bool:
        """Let a kernel that alone has the weights go on with another batch, if it can."""
        assert self._key is not None
        is_alone = bool(self.blobs) and self.blobs[0].data_tensor.fresh is Fresh.GONE
        return is_alone and key[0] == self._key[0] and self.kernel.resize(key[1])

    def _check_bottom(self, shape: Shape) -> None:
        axes = self.axis + 1 + self._spatial_axes
        if len(shape) != axes:
            raise ShapeError(f"bottom: expected {axes} axes as at setup, got {shape}")
        if shape[self.axis] != self._channels:
            raise ShapeError(
                f"bottom: expected {self._channels} channels as at setup, got {shape}; "
                "the weights have no others"
            )

    def _kernel_for(self, image: Shape, batch: int) -> ConvKernel:
        param = self.layer_param.convolution_param
        geometry = ConvGeometry(
            in_channels=image[0],
            out_channels=param.num_output,
            group=self.group,
            input=image[1:] if self._padding is None else self._padding.size_of(image[1:]),
            kernel=self._kernel,
            stride=self._stride,
            pad=self._pad,
            dilation=self._dilation,
        )
        geometry.check()
        mode = param.conv_mode if param.HasField("conv_mode") else None
        return conv.make_kernel(mode, geometry, batch, self.device, self.dtype, self.phase)


def sizes(
    param: caffe_pb2.ConvolutionParameter, listed: str, stem: str, axes: int, default: int
) -> Shape:
    """Return a size for each spatial axis, from a list or from the fields ending in _h and _w."""
    values = list(getattr(param, listed))
    names = (f"{stem}_h", f"{stem}_w")
    if not any(param.HasField(name) for name in names):
        return one_for_each(listed, values, axes, default)
    if axes != 2:
        raise ShapeError(f"{names[0]}: expected 2 spatial axes, got {axes}; use {listed}")
    if values:
        raise ShapeError(f"{names[0]}: {listed} is set as well; use one of them")
    return getattr(param, names[0]), getattr(param, names[1])


def one_for_each(name: str, values: Sequence[int], axes: int, default: int) -> Shape:
    """Return a size for each spatial axis, where one number stands for all."""
    if not values:
        return (default,) * axes
    if len(values) == 1:
        return (values[0],) * axes
    if len(values) != axes:
        raise ShapeError(
            f"{name}: expected 1 number, or {axes} for {axes} spatial axes, got {list(values)}"
        )
    return tuple(values)
