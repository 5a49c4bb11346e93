"""Scale: multiply by a learned factor, and add a learned bias if asked."""

import math
from typing import Any

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError
from sscaffe.kernels import ScaleOperator
from sscaffe.layer import Fusion, Layer, register
from sscaffe.layer_types.covered import covered_axes
from sscaffe.proto import caffe_pb2


@register("Scale")
class ScaleLayer(Layer):
    """``y = factor * x + bias``, where factor and bias cover the axes from `axis` on.

    Bottoms: x of any shape, and if wanted the factor; the layer may run in place on x.
    Top: like x. Blobs: the factor, where it is not a bottom, and the bias, if ``bias_term``; both
    of shape ``x.shape[axis : axis + num_axes]``.
    """

    min_bottom = 1
    max_bottom = 2
    num_top = 1
    may_run_in_place = True

    saved: Array | None  # x, where forward overwrote it

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create the factor and the bias."""
        param = self.layer_param.scale_param
        self.has_bias, self.is_given = param.bias_term, len(bottom) > 1
        _, shape = covered_axes(param, bottom, "factor")
        wanted = (not self.is_given) + self.has_bias
        if len(self.blobs) < wanted and not self.is_given:
            one = caffe_pb2.FillerParameter(type="constant", value=1)
            self.add_param(shape, param.filler if param.HasField("filler") else one)
        if len(self.blobs) < wanted:
            self.add_param(shape, param.bias_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Line the factor up with the bottom, and give the top the bottom's shape."""
        x = bottom[0]
        axis, shape = covered_axes(self.layer_param.scale_param, bottom, "factor")
        for blob in self.blobs:
            if blob.shape != shape:
                raise ShapeError(
                    f"expected a bottom for a factor of shape {blob.shape} at axis {axis}, "
                    f"got {x.shape}"
                )
        size = math.prod(shape)
        self.flat = math.prod(x.shape[:axis]), size, math.prod(x.shape[axis + len(shape) :])
        by_channel = axis == 1 and len(shape) == 1
        self._operator = self.kernels.channel_scale(
            x.shape if by_channel else self.flat, self.dtype
        )
        top[0].reshape_like(x)

    @property
    def replays(self) -> bool:
        """See `Layer.replays`."""
        return self._operator is not None and not self.is_given

    @property
    def treats_images_apart(self) -> bool:
        """See `Layer.treats_images_apart`."""
        return not self.is_given and self.layer_param.scale_param.axis > 0

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Scale, and add the bias."""
        if self._operator is not None:
            bias = self.blobs[-1].const_data.reshape(-1) if self.has_bias else None
            self._operator.forward(bottom[0], self._factor(bottom), bias, top[0])
            return
        x, in_place = bottom[0].const_data.reshape(self.flat), top[0] is bottom[0]
        # In place, forward overwrites x and the factor's gradient still needs it.
        self.saved = x.copy() if in_place else None
        y = (top[0].mutable_data if in_place else top[0].new_data()).reshape(self.flat)
        self.xp.multiply(x, self._factor(bottom)[:, None], out=y)
        if self.has_bias:
            y += self.blobs[-1].const_data.reshape(-1, 1)

    def fusion(self) -> Fusion | None:
        """See `Layer.fusion`."""
        param = self.layer_param.scale_param
        of_channels = param.axis == 1 and param.num_axes == 1
        return Fusion.AFFINE if of_channels and not self.is_given else None

    def channel_affine(self) -> tuple[Array, Array]:
        """See `Layer.channel_affine`."""
        factor = self.blobs[0].const_data
        return factor, self.blobs[1].const_data if self.has_bias else self.xp.zeros_like(factor)

    def factor_and_bias(self) -> tuple[Array, Array | None]:
        """See `sscaffe.net.norm_step.Scaling`."""
        bias = self.blobs[1].const_data if self.has_bias else None
        return self.blobs[0].const_data, bias

    def diffs(self) -> tuple[Array | None, Array | None]:
        """See `sscaffe.net.norm_step.Scaling`."""
        pairs = zip(self.blobs, self.param_propagate_down, strict=True)
        found = [blob.mutable_diff if learns else None for blob, learns in pairs]
        return found[0], found[1] if self.has_bias else None

    def recall(self, bottom: Any) -> None:
        """See `sscaffe.net.norm_step.Scaling`."""
        assert self._operator is not None
        self._operator.recall(bottom)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set the gradients of x and factor, and add to those of the blobs."""
        if self._operator is not None:
            self._backward_by_kernel(self._operator, top[0], propagate_down, bottom)
            return
        top_diff = top[0].const_diff.reshape(self.flat)
        if self.has_bias and self.param_propagate_down[-1]:
            bias = self.blobs[-1]
            bias.mutable_diff[...] += top_diff.sum(axis=(0, 2)).reshape(bias.shape)
        if self.is_given and propagate_down[1]:
            bottom[1].set_diff(self._factor_diff(bottom[0], top_diff).reshape(bottom[1].shape))
        elif not self.is_given and self.param_propagate_down[0]:
            factor = self.blobs[0]
            factor.mutable_diff[...] += self._factor_diff(bottom[0], top_diff).reshape(factor.shape)
        if propagate_down[0]:
            x_diff = bottom[0].mutable_diff if top[0] is bottom[0] else bottom[0].new_diff()
            self.xp.multiply(top_diff, self._factor(bottom)[:, None], out=x_diff.reshape(self.flat))

    def _factor(self, bottom: list[Blob]) -> Array:
        blob = bottom[1] if self.is_given else self.blobs[0]
        return blob.const_data.reshape(-1)

    def _backward_by_kernel(
        self, operator: ScaleOperator, top: Blob, propagate_down: list[bool], bottom: list[Blob]
    ) -> None:
        factor_diff = bias_diff = None
        if self.is_given and propagate_down[1]:
            factor_diff = bottom[1].new_diff().reshape(-1)
            factor_diff[...] = 0
        elif not self.is_given and self.param_propagate_down[0]:
            factor_diff = self.blobs[0].mutable_diff.reshape(-1)
        if self.has_bias and self.param_propagate_down[-1]:
            bias_diff = self.blobs[-1].mutable_diff.reshape(-1)
        factor = self._factor(bottom)
        operator.backward(top, factor, factor_diff, bias_diff, bottom[0], propagate_down[0])

    def _factor_diff(self, bottom: Blob, top_diff: Array) -> Array:
        x = bottom.const_data.reshape(self.flat) if self.saved is None else self.saved
        diff: Array = self.xp.einsum("ods,ods->d", top_diff, x)
        return diff
