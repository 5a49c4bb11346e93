"""Bias: add what is learned, or given as a second bottom."""

import math

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, register
from sscaffe.layer_types.covered import covered_axes


@register("Bias")
class BiasLayer(Layer):
    """``y = x + bias``, where the bias covers the axes from `axis` on.

    Bottoms: x of any shape, and if wanted the bias; the layer may run in place on x. Top: like x.
    Blobs: the bias, where it is not a bottom, of shape ``x.shape[axis : axis + num_axes]``.
    """

    min_bottom = 1
    max_bottom = 2
    num_top = 1
    may_run_in_place = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create the bias."""
        param = self.layer_param.bias_param
        _, shape = covered_axes(param, bottom, "bias")
        if len(bottom) == 1 and not self.blobs:
            self.add_param(shape, param.filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Line the bias up with the bottom, and give the top the bottom's shape."""
        x = bottom[0]
        axis, shape = covered_axes(self.layer_param.bias_param, bottom, "bias")
        for blob in self.blobs:
            if blob.shape != shape:
                raise ShapeError(
                    f"expected a bottom for a bias of shape {blob.shape} at axis {axis}, "
                    f"got {x.shape}"
                )
        size = math.prod(shape)
        self.flat = math.prod(x.shape[:axis]), size, math.prod(x.shape[axis + len(shape) :])
        top[0].reshape_like(x)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Add the bias."""
        bias = (bottom[1] if len(bottom) > 1 else self.blobs[0]).const_data.reshape(-1, 1)
        x = bottom[0].const_data.reshape(self.flat)
        y = top[0].mutable_data if top[0] is bottom[0] else top[0].new_data()
        self.xp.add(x, bias, out=y.reshape(self.flat))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Pass the gradient on, and sum it up for the bias."""
        top_diff = top[0].const_diff.reshape(self.flat)
        if len(bottom) > 1 and propagate_down[1]:
            bottom[1].set_diff(top_diff.sum(axis=(0, 2)).reshape(bottom[1].shape))
        elif len(bottom) == 1 and self.param_propagate_down[0]:
            bias = self.blobs[0]
            bias.mutable_diff[...] += top_diff.sum(axis=(0, 2)).reshape(bias.shape)
        if propagate_down[0] and top[0] is not bottom[0]:
            bottom[0].set_diff(top[0].const_diff)
