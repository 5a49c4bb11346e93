"""Tile: copies of the bottom behind each other along an axis."""

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, canonical_axis, register


@register("Tile")
class TileLayer(Layer):
    """`tiles` copies of the bottom along `axis`.

    Bottom: any shape with such an axis. Top: `tiles` times as long along it.
    """

    num_bottom = 1
    num_top = 1

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the shape of the top."""
        param, shape = self.layer_param.tile_param, bottom[0].shape
        if param.tiles < 1:
            raise ShapeError(f"tiles: expected 1 or more, got {param.tiles}")
        axis = canonical_axis(param.axis, len(shape))
        top[0].reshape(*shape[:axis], param.tiles * shape[axis], *shape[axis + 1 :])
        self.parted = (*shape[:axis], param.tiles, *shape[axis:])
        self.axis = axis

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy."""
        copies = top[0].new_data().reshape(self.parted)
        copies[...] = self.xp.expand_dims(bottom[0].const_data, self.axis)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add up the gradients of the copies."""
        if propagate_down[0]:
            bottom[0].set_diff(top[0].const_diff.reshape(self.parted).sum(axis=self.axis))
