"""Permute: the axes in another order."""

import numpy as np

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, register


@register("Permute")
class PermuteLayer(Layer):
    """Top axis i is bottom axis ``order[i]``; the axes that `order` leaves out follow.

    Bottom: any shape. Top: its axes in that order.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016, its code.
    """

    num_bottom = 1
    num_top = 1

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Work out the order, and set the shape of the top."""
        shape, order = bottom[0].shape, list(self.layer_param.permute_param.order)
        for i, axis in enumerate(order):
            if axis >= len(shape):
                raise ShapeError(f"order: expected axes below {len(shape)} of {shape}, got {axis}")
            if axis in order[:i]:
                raise ShapeError(f"order: expected each axis once, got {axis} twice")
        order += [axis for axis in range(len(shape)) if axis not in order]
        self.order = tuple(order)
        self.back = tuple(int(axis) for axis in np.argsort(order))
        top[0].reshape(*[shape[axis] for axis in order])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy in the new order."""
        top[0].set_data(bottom[0].const_data.transpose(self.order))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Copy in the old order."""
        if propagate_down[0]:
            bottom[0].set_diff(top[0].const_diff.transpose(self.back))
