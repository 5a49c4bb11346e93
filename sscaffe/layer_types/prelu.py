"""PReLU: a rectifier whose negative slope is learned."""

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, register
from sscaffe.proto import caffe_pb2


@register("PReLU")
class PReLULayer(Layer):
    """``y = x`` where ``x > 0``, and ``slope * x`` elsewhere.

    There is one slope for each channel, or a single one if `channel_shared`.

    Bottom and top: ``(N, C, ...)``; the layer may run in place. Blobs: the slope, shape ``(C,)``
    or ``()``; 0.25 unless filled.

    Source: He et al., "Delving Deep into Rectifiers", ICCV 2015, eq. 1.
    """

    num_bottom = 1
    num_top = 1
    may_run_in_place = True

    saved: Array | None  # x, where forward overwrites it

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create the slope."""
        param = self.layer_param.prelu_param
        self.channel_shared = param.channel_shared
        if bottom[0].ndim < 2:
            raise ShapeError(f"expected a bottom of shape (N, C, ...), got {bottom[0].shape}")
        if not self.blobs:
            quarter = caffe_pb2.FillerParameter(type="constant", value=0.25)
            shape = () if self.channel_shared else bottom[0].shape[1:2]
            self.add_param(shape, param.filler if param.HasField("filler") else quarter)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the top the bottom's shape."""
        shape, slopes = bottom[0].shape, self.blobs[0].shape
        if len(shape) < 2 or (slopes and slopes != shape[1:2]):
            raise ShapeError(f"expected a bottom for slopes of shape {slopes}, got {shape}")
        top[0].reshape_like(bottom[0])
        self.saved = self.xp.empty(shape, self.dtype) if top[0] is bottom[0] else None

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Rectify."""
        xp, x = self.xp, bottom[0].const_data
        if self.saved is not None:
            self.saved[...] = x
            x = self.saved
        y = top[0].new_data()
        xp.minimum(x, 0, out=y)
        y *= self._slope(x.ndim)
        y += xp.maximum(x, 0)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set the gradient of x, and add to that of the slope."""
        xp, top_diff = self.xp, top[0].const_diff
        x = bottom[0].const_data if self.saved is None else self.saved
        if self.param_propagate_down[0]:
            axes = None if self.channel_shared else (0, *range(2, x.ndim))
            self.blobs[0].mutable_diff[...] += (top_diff * xp.minimum(x, 0)).sum(axis=axes)
        if propagate_down[0]:
            # Products are several times faster than a choice by element.
            rising = top_diff * (x > 0)
            x_diff = top_diff - rising
            x_diff *= self._slope(x.ndim)
            x_diff += rising
            bottom[0].set_diff(x_diff)

    def _slope(self, ndim: int) -> Array:
        """Return the slope, shaped to broadcast along axis 1 of the bottom."""
        slope = self.blobs[0].const_data
        return slope if self.channel_shared else slope.reshape(-1, *[1] * (ndim - 2))
