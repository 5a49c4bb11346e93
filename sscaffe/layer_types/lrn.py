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
    may_run_in_place = True

    saved: Array | None  # the bottom, where forward overwrote it
    power: Array  # scale^-beta, WITHIN_CHANNEL only

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the size of the window."""
        param = self.layer_param.lrn_param
        if param.local_size % 2 == 0:
            raise ShapeError(f"local_size: expected an odd number, got {param.local_size}")
        self.size, self.alpha, self.beta = param.local_size, param.alpha, param.beta
        self.across = param.norm_region == LRNParameter.ACROSS_CHANNELS

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the top the bottom's shape."""
        if bottom[0].ndim != 4:
            raise ShapeError(f"expected a bottom of shape (N, C, H, W), got {bottom[0].shape}")
        top[0].reshape_like(bottom[0])
        self.scale = self.xp.empty(bottom[0].shape, self.dtype)
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
        if not self.across:
            self._find_power_within(x)
            top[0].set_data(x * self.power)
            return
        x, y = x if self.saved is None else self.saved, top[0].new_data()
        k = self.layer_param.lrn_param.k
        self.kernels.lrn_forward(x, self.size, self.alpha, self.beta, k, self.scale, y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set the bottom's gradient."""
        if not propagate_down[0]:
            return
        x = bottom[0].const_data if self.saved is None else self.saved
        top_diff = top[0].const_diff
        if not self.across:
            bottom[0].set_diff(self._backward_within(x, top_diff))
            return
        if top[0] is bottom[0]:
            top_diff = top_diff.copy()
        self.kernels.lrn_backward(
            x,
            self.scale,
            top_diff,
            self.size,
            self.alpha,
            self.beta,
            bottom[0].new_diff(),
        )

    def _find_power_within(self, x: Array) -> None:
        """Set `power` to ``scale^-beta``."""
        self.squares.set_data(x * x)
        self.pooling.forward(self.squares, self.means)
        self.xp.multiply(self.means.const_data, self.dtype.type(self.alpha), out=self.scale)
        self.scale += 1
        self.power = self.xp.power(self.scale, self.dtype.type(-self.beta))

    def _backward_within(self, x: Array, top_diff: Array) -> Array:
        """Return ``dx = dy scale^-beta - 2 alpha beta x mean^T(dy x scale^-(beta + 1))``."""
        self.means.set_diff(top_diff * x * self.power / self.scale)
        self.pooling.backward(self.means, self.squares)
        spread = self.squares.const_diff * self.dtype.type(-2 * self.alpha * self.beta)
        dx: Array = spread * x + top_diff * self.power
        return dx
