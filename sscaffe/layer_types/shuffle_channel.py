"""ShuffleChannel: channels of all groups side by side."""

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, register


@register("ShuffleChannel")
class ShuffleChannelLayer(Layer):
    """The first channel of each of `group` groups, then the second of each, and so on.

    Bottom and top: ``(N, C, ...)``.

    Source: Zhang et al., "ShuffleNet: An Extremely Efficient Convolutional Neural Network for
    Mobile Devices", CVPR 2018, section 3.1.
    """

    num_bottom = 1
    num_top = 1

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the groups, and give the top the bottom's shape."""
        shape, self.group = bottom[0].shape, self.layer_param.shuffle_channel_param.group
        if len(shape) < 2:
            raise ShapeError(f"expected a bottom of shape (N, C, ...), got {shape}")
        if self.group < 1 or shape[1] % self.group:
            raise ShapeError(
                f"group: expected a divisor of the {shape[1]} channels of {shape}, got {self.group}"
            )
        top[0].reshape_like(bottom[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Shuffle."""
        top[0].set_data(_transposed(bottom[0].const_data, self.group))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Shuffle back."""
        if propagate_down[0]:
            groups = bottom[0].shape[1] // self.group
            bottom[0].set_diff(_transposed(top[0].const_diff, groups))


def _transposed(array: Array, rows: int) -> Array:
    """Return an array whose channels, seen as a matrix of so many rows, are transposed."""
    parted = array.reshape(array.shape[0], rows, array.shape[1] // max(rows, 1), *array.shape[2:])
    return parted.swapaxes(1, 2).reshape(array.shape)
