"""Layers that move no number: Flatten, Reshape, Split, Silence."""

import math

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, canonical_axis, register


class _SharingLayer(Layer):
    """A top that is the bottom's array under another shape."""

    num_bottom = 1
    num_top = 1
    shares_data = True
    replays = True

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Share the data; nothing is copied."""
        top[0].share_data(bottom[0])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Share the diff; nothing is copied."""
        if propagate_down[0]:
            bottom[0].share_diff(top[0])


@register("Flatten")
class FlattenLayer(_SharingLayer):
    """Make one axis of the axes from `axis` to `end_axis`.

    Bottom: any shape. Top: the same elements, ``(N, C * H * W)`` by default.
    """

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Work out the shape of the top."""
        param, shape = self.layer_param.flatten_param, bottom[0].shape
        start = canonical_axis(param.axis, bottom[0].ndim)
        end = canonical_axis(param.end_axis, bottom[0].ndim, "end_axis")
        if end < start:
            raise ShapeError(f"end_axis: expected axis {start} or later, got {end}")
        top[0].reshape(*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])


@register("Reshape")
class ReshapeLayer(_SharingLayer):
    """Give the bottom's elements another shape.

    ``shape`` replaces `num_axes` axes from `axis` on; 0 keeps the bottom's size there, and one -1
    takes what is left.
    """

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Work out the shape of the top."""
        param, shape = self.layer_param.reshape_param, bottom[0].shape
        ndim = len(shape)
        # An axis of -1 stands behind the last one: axes may be appended there.
        start = param.axis if param.axis >= 0 else ndim + param.axis + 1
        if not 0 <= start <= ndim:
            raise ShapeError(f"axis: expected {-ndim - 1} to {ndim}, got {param.axis}")
        end = ndim if param.num_axes == -1 else start + param.num_axes
        if not start <= end <= ndim:
            raise ShapeError(
                f"num_axes: expected -1, or 0 to {ndim - start} after axis {start}, "
                f"got {param.num_axes}"
            )
        wanted = [int(size) for size in param.shape.dim]
        for i, size in enumerate(wanted):
            if size == 0:
                if start + i >= ndim:
                    raise ShapeError(f"shape: 0 at {i} has no axis of {shape} to copy")
                wanted[i] = shape[start + i]
        sizes = [*shape[:start], *wanted, *shape[end:]]
        top[0].reshape(*_filled(sizes, bottom[0]))


def _filled(sizes: list[int], bottom: Blob) -> list[int]:
    """Replace the -1 by what is left, and check the number of elements."""
    if sizes.count(-1) > 1:
        raise ShapeError("shape: expected at most one -1")
    known = math.prod(size for size in sizes if size != -1)
    if -1 in sizes:
        if known == 0 or bottom.count % known:
            raise ShapeError(f"shape: {bottom.count} elements do not divide by {known}")
        sizes[sizes.index(-1)] = bottom.count // known
    if math.prod(sizes) != bottom.count:
        raise ShapeError(
            f"shape: expected {bottom.count} elements as in the bottom {bottom.shape}, "
            f"got {tuple(sizes)}"
        )
    return sizes


@register("Split")
class SplitLayer(Layer):
    """Copy a bottom to several tops, for readers that each return a gradient.

    The net inserts this layer by itself. Gradients add up.
    """

    num_bottom = 1
    min_top = 1
    shares_data = True
    replays = True

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give every top the bottom's shape."""
        for blob in top:
            blob.reshape_like(bottom[0])

    @property
    def treats_images_apart(self) -> bool:
        """See `Layer.treats_images_apart`."""
        return True

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Share the data with every top; nothing is copied."""
        for blob in top:
            blob.share_data(bottom[0])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add up the gradients of the tops."""
        if not propagate_down[0]:
            return
        if len(top) == 1:
            bottom[0].share_diff(top[0])
            return
        terms = [blob.diff_tensor for blob in top]
        self.kernels.sum_of(terms, bottom[0].diff_tensor, bottom[0].shape)


@register("Silence")
class SilenceLayer(Layer):
    """Read bottoms that nobody else reads, so that they are not outputs of the net."""

    min_bottom = 1
    num_top = 0

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Do nothing: there are no tops."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Do nothing."""

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set the gradients to 0."""
        for blob, wanted in zip(bottom, propagate_down, strict=True):
            if wanted:
                blob.clear_diff()
