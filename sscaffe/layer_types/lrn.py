"""LRN: local response normalization, across channels or within each."""

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError
from sscaffe.geometry import PoolGeometry
from sscaffe.layer import Layer, register
from sscaffe.proto import caffe_pb2

LRNParameter = caffe_pb2.LRNParameter


@register("LRN")
class LRNLayer(Layer):
    """``y = x * scale^-beta``, where scale grows with the squares around x.

    ACROSS_CHANNELS: ``scale = k + alpha / local_size * sum of squares over local_size channels``.
    WITHIN_CHANNEL: ``scale = 1 + alpha * mean of squares over a local_size square``, the mean as
    average pooling takes it.

    Bottom and top: ``(N, C, H, W)``; the layer may run in place.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional
    Neural Networks", NIPS 2012, section 3.3.
    """

    num_bottom = 1
    num_top = 1

    saved: Array | None  # the bottom, where forward overwrote it

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the size of the window."""
        param = self.layer_param.lrn_param
        if param.local_size % 2 == 0:
            raise ShapeError(f"local_size: expected an odd number, got {param.local_size}")
        self.size, self.beta = param.local_size, param.beta
        self.across = param.norm_region == LRNParameter.ACROSS_CHANNELS
        # Both regions: the window's result times a weight, plus a shift.
        self.shift = param.k if self.across else 1.0
        self.weight = param.alpha / self.size if self.across else param.alpha

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the top the bottom's shape."""
        if bottom[0].ndim != 4:
            raise ShapeError(f"expected a bottom of shape (N, C, H, W), got {bottom[0].shape}")
        top[0].reshape_like(bottom[0])
        if not self.across:
            batch, channels, height, width = bottom[0].shape
            half = (self.size - 1) // 2
            geometry = PoolGeometry(
                channels, (height, width), (self.size,) * 2, (1, 1), (half, half)
            )
            self.pooling = self.kernels.pooling(geometry, batch, "AVE", self.dtype)
            self.squares = Blob(bottom[0].shape, self.dtype, self.device)
            self.means = Blob(bottom[0].shape, self.dtype, self.device)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Normalize."""
        x = bottom[0].const_data
        # In place, forward overwrites x and backward still needs it.
        self.saved = x.copy() if top[0] is bottom[0] else None
        self.scale = self._window(x * x)
        self.scale *= self.dtype.type(self.weight)
        self.scale += self.dtype.type(self.shift)
        self.power = self.xp.power(self.scale, self.dtype.type(-self.beta))
        top[0].set_data(x * self.power)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set ``dx = dy scale^-beta - 2 weight beta x window^T(dy x scale^-(beta + 1))``."""
        if not propagate_down[0]:
            return
        top_diff = top[0].const_diff
        x = bottom[0].const_data if self.saved is None else self.saved
        ratio = top_diff * x
        ratio *= self.power
        ratio /= self.scale
        dx = self._transposed_window(ratio)
        dx *= self.dtype.type(-2 * self.weight * self.beta)
        dx *= x
        dx += top_diff * self.power
        bottom[0].set_diff(dx)

    def _window(self, values: Array) -> Array:
        """Sum over neighbouring channels, or average over neighbouring places."""
        if self.across:
            return _sum_over_channels(values, self.size)
        self.squares.set_data(values)
        self.pooling.forward(self.squares, self.means)
        return self.means.const_data.copy()

    def _transposed_window(self, values: Array) -> Array:
        if self.across:
            return _sum_over_channels(values, self.size)
        self.means.set_diff(values)
        self.pooling.backward(self.means, self.squares)
        return self.squares.const_diff.copy()


def _sum_over_channels(values: Array, size: int) -> Array:
    """Return the sum over a window of `size` channels around each."""
    channels = values.shape[1]
    total = values.copy()
    for distance in range(1, min(size // 2, channels - 1) + 1):
        total[:, distance:] += values[:, : channels - distance]
        total[:, : channels - distance] += values[:, distance:]
    return total
