"""SymmetricRectify: what is small becomes zero, by a learned threshold."""

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError
from sscaffe.glog import logger
from sscaffe.layer import Layer, register
from sscaffe.proto import caffe_pb2


@register("SymmetricRectify")
class SymmetricRectifyLayer(Layer):
    """``y = sign(x) max(|x| - threshold, 0)``.

    There is one threshold for each channel, or a single one if `channel_shared`. None is ever
    negative: forward sets those to 0 that an update has made so. `thre_decay` pulls them up.

    Bottom and top: ``(N, C, ...)``; the layer may run in place. Blobs: the threshold, shape
    ``(C,)`` or ``()``; 1e-4 unless filled.
    """

    num_bottom = 1
    num_top = 1
    may_run_in_place = True

    signs: Array  # of y, kept for backward: a layer that runs in place on the top overwrites y

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create the threshold."""
        param = self.layer_param.symmetric_rectify_param
        self.uses_host = bool(self.layer_param.display)
        self.channel_shared = param.channel_shared
        if bottom[0].ndim < 2:
            raise ShapeError(f"expected a bottom of shape (N, C, ...), got {bottom[0].shape}")
        if not self.blobs:
            small = caffe_pb2.FillerParameter(type="constant", value=1e-4)
            shape = () if self.channel_shared else bottom[0].shape[1:2]
            self.add_param(shape, param.filler if param.HasField("filler") else small)
        if (self.blobs[0].host_data < 0).any():
            raise ShapeError("filler: expected thresholds of 0 or more, got a negative one")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the top the bottom's shape."""
        shape, thresholds = bottom[0].shape, self.blobs[0].shape
        if len(shape) < 2 or (thresholds and thresholds != shape[1:2]):
            raise ShapeError(f"expected a bottom for thresholds of shape {thresholds}, got {shape}")
        top[0].reshape_like(bottom[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Rectify, with thresholds that are not negative."""
        xp, x, thresholds = self.xp, bottom[0].const_data, self.blobs[0]
        if not self.device.is_cpu or (thresholds.const_data < 0).any():
            thresholds.set_data(xp.maximum(thresholds.const_data, 0))
        if self.layer_param.display:
            logger.info("Threshold(s) of layer %s: %s", self.name, thresholds.const_data)
        threshold = thresholds.const_data
        if not self.channel_shared:
            threshold = threshold.reshape(-1, *[1] * (x.ndim - 2))
        y = x - xp.clip(x, -threshold, threshold)
        self.signs = xp.sign(y)
        top[0].set_data(y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set the gradient of x, and add to that of the threshold."""
        top_diff, signs = top[0].const_diff, self.signs
        if self.param_propagate_down[0]:
            axes = None if self.channel_shared else (0, *range(2, signs.ndim))
            threshold = self.blobs[0]
            decay = self.layer_param.symmetric_rectify_param.thre_decay
            pull = decay * self.xp.sign(threshold.const_data)
            threshold.mutable_diff[...] -= (top_diff * signs).sum(axis=axes) + pull
        if propagate_down[0]:
            bottom[0].set_diff(top_diff * self.xp.abs(signs))
