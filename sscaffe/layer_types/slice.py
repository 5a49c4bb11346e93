"""Slice: cut a bottom along an axis, a top for each piece."""

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, canonical_axis, register


@register("Slice")
class SliceLayer(Layer):
    """Cut the bottom along `axis`, at each `slice_point` or into equal pieces.

    Bottom: any shape with such an axis. Tops: together as long along it.
    """

    num_bottom = 1
    min_top = 1

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check which of the two fields for the axis is set."""
        param = self.layer_param.slice_param
        if param.HasField("axis") and param.HasField("slice_dim"):
            raise ShapeError("slice_dim: expected either axis or slice_dim, got both")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Work out where to cut, and set the shapes of the tops."""
        param, shape = self.layer_param.slice_param, bottom[0].shape
        old = param.HasField("slice_dim")
        self.axis = canonical_axis(
            param.slice_dim if old else param.axis, len(shape), "slice_dim" if old else "axis"
        )
        size = shape[self.axis]
        points = list(param.slice_point)
        if points and len(points) != len(top) - 1:
            raise ShapeError(
                f"slice_point: expected {len(top) - 1} for {len(top)} tops, got {len(points)}"
            )
        if not points:
            if size % len(top):
                raise ShapeError(
                    f"slice_point: {size} of {shape} at axis {self.axis} does not divide by "
                    f"{len(top)} tops; say where to cut"
                )
            points = [i * size // len(top) for i in range(1, len(top))]
        self.edges = [0, *points, size]
        for blob, start, end in zip(top, self.edges, self.edges[1:], strict=False):
            if start >= end:
                raise ShapeError(
                    f"slice_point: expected rising numbers between 0 and {size}, got {points}"
                )
            blob.reshape(*shape[: self.axis], end - start, *shape[self.axis + 1 :])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy the pieces."""
        x = bottom[0].const_data
        for i, blob in enumerate(top):
            blob.set_data(x[self._piece(i)])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Put the gradients of the pieces behind each other."""
        if propagate_down[0]:
            x_diff = bottom[0].new_diff()
            for i, blob in enumerate(top):
                x_diff[self._piece(i)] = blob.const_diff

    def _piece(self, index: int) -> tuple[slice, ...]:
        return (slice(None),) * self.axis + (slice(*self.edges[index : index + 2]),)
