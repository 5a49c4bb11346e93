"""Normalize: vectors to length 1, times a learned factor."""

import math

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, register
from sscaffe.proto import caffe_pb2


@register("Normalize")
class NormalizeLayer(Layer):
    """``y = factor * x / sqrt(sum(x^2) + eps)``.

    The sum is that of an image, or without `across_spatial` that of the channels at one place.
    There is one factor for each channel, or a single one if `channel_shared`.

    Bottom and top: ``(N, C, ...)``; the layer may run in place. Blobs: the factor, shape ``(C,)``
    or ``()``; 1 unless filled.

    Source: Liu et al., "ParseNet: Looking Wider to See Better", 2015, eq. 1 to 4.
    """

    num_bottom = 1
    num_top = 1
    may_run_in_place = True

    unit: Array  # x / sqrt(sum(x^2) + eps)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create the factor."""
        param = self.layer_param.norm_param
        self.axes = (1, 2) if param.across_spatial else (1,)
        if bottom[0].ndim < 2:
            raise ShapeError(f"expected a bottom of shape (N, C, ...), got {bottom[0].shape}")
        if not self.blobs:
            one = caffe_pb2.FillerParameter(type="constant", value=1)
            shape = () if param.channel_shared else bottom[0].shape[1:2]
            self.add_param(shape, param.scale_filler if param.HasField("scale_filler") else one)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the top the bottom's shape."""
        shape, factors = bottom[0].shape, self.blobs[0].shape
        if len(shape) < 2 or (factors and factors != shape[1:2]):
            raise ShapeError(f"expected a bottom for factors of shape {factors}, got {shape}")
        top[0].reshape_like(bottom[0])
        self.unit = self.xp.empty((*shape[:2], math.prod(shape[2:])), self.dtype)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Normalize."""
        xp, x = self.xp, bottom[0].const_data.reshape(self.unit.shape)
        squares = xp.square(x).sum(axis=self.axes, keepdims=True)
        self.lengths = xp.sqrt(squares + self.layer_param.norm_param.eps)
        xp.divide(x, self.lengths, out=self.unit)
        xp.multiply(self.unit, self._factor, out=top[0].new_data().reshape(self.unit.shape))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set ``dx = factor (dy - unit sum(unit dy)) / length``, and add to the factor's gradient.

        Where there is a factor for each channel, it stands inside of the sum.
        """
        unit, factor = self.unit, self.blobs[0]
        top_diff = top[0].const_diff.reshape(unit.shape)
        if self.param_propagate_down[0]:
            axes = (0, 2) if factor.ndim else None
            factor.mutable_diff[...] += (top_diff * unit).sum(axis=axes)
        if propagate_down[0]:
            dx = top_diff * self._factor
            dx -= unit * (unit * dx).sum(axis=self.axes, keepdims=True)
            dx /= self.lengths
            bottom[0].set_diff(dx.reshape(bottom[0].shape))

    @property
    def _factor(self) -> Array:
        """The factor, shaped to broadcast along axis 1 of ``(N, C, places)``."""
        return self.blobs[0].const_data.reshape(-1, 1)
