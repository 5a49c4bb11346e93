"""SPP: pooling at grids of 1 x 1, 2 x 2, 4 x 4, ... windows, joined to one vector."""

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, register
from sscaffe.layer_types.pooling import PoolingLayer
from sscaffe.proto import caffe_pb2


@register("SPP")
class SPPLayer(Layer):
    """Pool the bottom over ``pyramid_height`` grids, so that images of any size give one vector.

    Grid i has 2^i windows along each axis, which are as large as is needed to cover the image; what
    they are too large is padding.

    Bottom: ``(N, C, H, W)``. Top: ``(N, C * (1 + 4 + 16 + ...))``, the grids one after the other;
    ``(N, C, 1, 1)`` if there is but one.

    Source: He et al., "Spatial Pyramid Pooling in Deep Convolutional Networks for Visual
    Recognition", ECCV 2014.
    """

    num_bottom = 1
    num_top = 1

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the height."""
        self.height = self.layer_param.spp_param.pyramid_height
        if self.height < 1:
            raise ShapeError(f"pyramid_height: expected 1 or more, got {self.height}")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Make a pooling for each grid."""
        if bottom[0].ndim != 4:
            raise ShapeError(f"expected a bottom of shape (N, C, H, W), got {bottom[0].shape}")
        self._levels = [self._level(bottom, 2**i) for i in range(self.height)]
        self.uses_host = any(layer.uses_host for layer, _ in self._levels)
        shapes = [blob.shape for _, blob in self._levels]
        batch, channels = shapes[0][:2]
        if self.height == 1:
            top[0].reshape(*shapes[0])
        else:
            top[0].reshape(batch, sum(channels * h * w for _, _, h, w in shapes))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Pool at each grid, and join the results."""
        out = top[0].new_data().reshape(bottom[0].shape[0], -1)
        start = 0
        for layer, pooled in self._levels:
            layer.forward(bottom, [pooled])
            values = pooled.const_data.reshape(len(out), -1)
            out[:, start : start + values.shape[1]] = values
            start += values.shape[1]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add up the gradients of all grids."""
        if not propagate_down[0]:
            return
        diff = top[0].const_diff.reshape(bottom[0].shape[0], -1)
        total = self.xp.zeros(bottom[0].shape, self.dtype)
        start = 0
        for layer, pooled in self._levels:
            width = pooled.count // max(len(diff), 1)
            pooled.set_diff(diff[:, start : start + width].reshape(pooled.shape))
            layer.backward([pooled], [True], bottom)
            total += bottom[0].const_diff
            start += width
        bottom[0].set_diff(total)

    def _level(self, bottom: list[Blob], windows: int) -> tuple[PoolingLayer, Blob]:
        """Return the pooling of a grid, and its top."""
        param = caffe_pb2.LayerParameter(type="Pooling")
        settings = param.pooling_param
        method = caffe_pb2.SPPParameter.PoolMethod.Name(self.layer_param.spp_param.pool)
        settings.MergeFrom(caffe_pb2.PoolingParameter(pool=method))
        for axis, size in zip("hw", bottom[0].shape[2:], strict=True):
            kernel = -(-size // windows)
            pad = (kernel * windows - size + 1) // 2
            if pad >= max(kernel, 1):
                raise ShapeError(
                    f"pyramid_height: {windows} x {windows} windows do not fit a bottom of "
                    f"{bottom[0].shape}; use a smaller height"
                )
            setattr(settings, f"kernel_{axis}", kernel)
            setattr(settings, f"stride_{axis}", kernel)
            setattr(settings, f"pad_{axis}", pad)
        layer = PoolingLayer(param, self.phase, device=self.device, dtype=self.dtype, rng=self.rng)
        pooled = Blob((), self.dtype, self.device)
        layer.setup(bottom, [pooled])
        layer.reshape(bottom, [pooled])
        return layer, pooled
