"""LRN: local response normalization, across channels or within each."""

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError
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

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the size of the window."""
        param = self.layer_param.lrn_param
        if param.local_size % 2 == 0:
            raise ShapeError(f"local_size: expected an odd number, got {param.local_size}")
        self.size, self.alpha, self.beta = param.local_size, param.alpha, param.beta
        self.across = param.norm_region == LRNParameter.ACROSS_CHANNELS
        self.k = param.k if self.across else 1.0
        self.share = self.alpha / (self.size if self.across else self.size**2)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the top the bottom's shape."""
        if bottom[0].ndim != 4:
            raise ShapeError(f"expected a bottom of shape (N, C, H, W), got {bottom[0].shape}")
        top[0].reshape_like(bottom[0])
        self._operator = self.kernels.lrn(
            bottom[0].shape, self.across, self.size, self.alpha, self.beta, self.k, self.dtype
        )

    @property
    def replays(self) -> bool:
        """See `Layer.replays`."""
        return self._operator is not None

    @property
    def treats_images_apart(self) -> bool:
        """See `Layer.treats_images_apart`."""
        return True

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Normalize."""
        if self._operator is not None:
            self._operator.forward(bottom[0], top[0])
            return
        x = bottom[0].const_data
        # In place, forward overwrites x and backward still needs it.
        self.saved = x.copy() if top[0] is bottom[0] else None
        self.scale = self.k + self.share * self._window_sums(x * x)
        top[0].set_data(x * self.scale**-self.beta)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set ``dx = dy scale^-beta - 2 share beta x (sum of dy x scale^-(beta + 1))``."""
        if not propagate_down[0]:
            return
        if self._operator is not None:
            self._operator.backward(top[0], bottom[0])
            return
        x = bottom[0].const_data if self.saved is None else self.saved
        diff = top[0].const_diff * self.scale**-self.beta
        spread = self._window_sums(diff * x / self.scale)
        bottom[0].set_diff(diff - 2 * self.share * self.beta * x * spread)

    def _window_sums(self, values: Array) -> Array:
        """Return the sum over the window around each element."""
        half = self.size // 2
        for axis in (1,) if self.across else (2, 3):
            margins = [(half, half) if i == axis else (0, 0) for i in range(values.ndim)]
            padded = self.xp.moveaxis(self.xp.pad(values, margins), axis, -1)
            windows = [padded[..., i : i + values.shape[axis]] for i in range(self.size)]
            values = self.xp.moveaxis(sum(windows[1:], start=windows[0]), -1, axis)
        return values
