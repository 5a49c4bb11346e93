"""Crop: cut a blob down to the size of another."""

from typing import Any

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, canonical_axis, register


@register("Crop")
class CropLayer(Layer):
    """From `axis` on, take of the first bottom as much as the second one has, from `offset` on.

    Bottoms: the blob, and one with as many axes whose size is wanted; only its shape counts.
    Top: as the first bottom before `axis`, as the second from there on.
    """

    num_bottom = 2
    num_top = 1

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Work out which part is taken."""
        param = self.layer_param.crop_param
        shape, wanted = bottom[0].shape, bottom[1].shape
        if len(shape) != len(wanted):
            raise ShapeError(f"bottom: expected as many axes as in {wanted}, got {shape}")
        axis = canonical_axis(param.axis, len(shape))
        cut = len(shape) - axis
        offsets = list(param.offset) or [0]
        if len(offsets) not in (1, cut):
            raise ShapeError(
                f"offset: expected 1 number, or {cut} for the axes from {axis} on, got {offsets}"
            )
        if len(offsets) == 1:
            offsets *= cut
        for i, offset in zip(range(axis, len(shape)), offsets, strict=True):
            if offset + wanted[i] > shape[i]:
                raise ShapeError(
                    f"offset: axis {i} of {shape} has no {wanted[i]} elements from {offset} on"
                )
        sizes = zip(offsets, wanted[axis:], strict=True)
        self._part: tuple[Any, ...] = (..., *(slice(start, start + size) for start, size in sizes))
        top[0].reshape(*shape[:axis], *wanted[axis:])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy the part."""
        top[0].set_data(bottom[0].const_data[self._part])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Put the gradient in its place; around it, and in the second bottom, it is 0."""
        if propagate_down[0]:
            bottom[0].clear_diff()
            bottom[0].mutable_diff[self._part] = top[0].const_diff
        if propagate_down[1]:
            bottom[1].clear_diff()
