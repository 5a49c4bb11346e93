"""BatchNorm: each channel to mean 0 and variance 1."""

from typing import Any

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError
from sscaffe.kernels import AfterNorm, MovingSums
from sscaffe.layer import TEST, Fusion, Layer, register
from sscaffe.proto import caffe_pb2


@register("BatchNorm")
class BatchNormLayer(Layer):
    """``y = (x - mean) / sqrt(variance + eps)`` for each channel.

    Mean and variance are those of the batch, which also enter moving sums; with
    `use_global_stats`, the default in TEST, they are what the moving sums have gathered.

    Bottom and top: ``(N, C, ...)``, or ``(N,)`` of one channel; the layer may run in place. Blobs,
    none of which is learned: sum of means ``(C,)``, sum of variances ``(C,)``, and the weight of
    both sums ``(1,)``.

    Source: Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing
    Internal Covariate Shift", ICML 2015.
    """

    num_bottom = 1
    num_top = 1
    may_run_in_place = True
    learns = False

    kept: Array  # y, for backward: a layer that runs in place on the top overwrites it

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create the moving sums."""
        param = self.layer_param.batch_norm_param
        self.global_stats = self.phase == TEST
        if param.HasField("use_global_stats"):
            self.global_stats = param.use_global_stats
        self.fraction = self.dtype.type(param.moving_average_fraction)
        self.eps = self.dtype.type(param.eps)
        self.channels = _channels(bottom[0])
        if not self.blobs:
            zero = caffe_pb2.FillerParameter()
            for shape in ((self.channels,), (self.channels,), (1,)):
                self.add_param(shape, zero)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the top the bottom's shape."""
        if _channels(bottom[0]) != self.channels:
            raise ShapeError(
                f"expected a bottom of {self.channels} channels as at set-up, got {bottom[0].shape}"
            )
        top[0].reshape_like(bottom[0])
        outer = bottom[0].shape[0]
        self.flat = outer, self.channels, bottom[0].count // (outer * self.channels)
        self.per_channel = self.flat[0] * self.flat[2]
        shape = bottom[0].shape if bottom[0].ndim > 1 else self.flat
        self._operator = self.kernels.batch_norm(shape, self.dtype)

    @property
    def replays(self) -> bool:
        """See `Layer.replays`."""
        return self._operator is not None and self.global_stats

    @property
    def treats_images_apart(self) -> bool:
        """See `Layer.treats_images_apart`."""
        return self.global_stats

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Normalize, and outside of `use_global_stats` update the moving sums."""
        sums = self._moving_sums()
        if self.global_stats:
            self._normalize_by_gathered(bottom[0], top[0], sums)
        elif self._operator is not None:
            self._operator.forward(bottom[0], top[0], self.eps, sums)
        else:
            sums.add(*self._normalize_by_batch(bottom[0], top[0]))

    @property
    def goes_on(self) -> bool:
        """See `sscaffe.net.norm_step.Normalizing`."""
        return not self.global_stats and self._operator is not None and self._operator.goes_on

    def forward_with(self, bottom: Blob, top: Blob, after: AfterNorm) -> None:
        """See `sscaffe.net.norm_step.Normalizing`."""
        assert self._operator is not None
        self._operator.forward(bottom, top, self.eps, self._moving_sums(), after)

    def backward_with(
        self, top: Blob, bottom: Blob, after: AfterNorm, diffs: tuple[Array | None, Array | None]
    ) -> None:
        """See `sscaffe.net.norm_step.Normalizing`."""
        assert self._operator is not None
        self._operator.backward(top, bottom, after, diffs)

    def normalized(self, bottom: Blob) -> Any:
        """See `sscaffe.net.norm_step.Normalizing`."""
        assert self._operator is not None
        return self._operator.normalized(bottom)

    def _normalize_by_batch(self, bottom: Blob, top: Blob) -> tuple[Array, Array]:
        xp, x = self.xp, bottom.const_data.reshape(self.flat)
        mean = x.mean(axis=(0, 2))
        self.kept = y = xp.empty(self.flat, self.dtype)
        xp.subtract(x, mean[:, None], out=y)
        variance = xp.einsum("ncs,ncs->c", y, y) / self.dtype.type(self.per_channel)
        self.inverse_std = 1 / xp.sqrt(variance + self.eps)
        y *= self.inverse_std[:, None]
        top.set_data(y.reshape(top.shape))
        return mean, variance

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set ``dx = (dy - mean(dy) - y mean(y dy)) / sqrt(variance + eps)``.

        With `use_global_stats` the means are left out, for mean and variance do not depend on x.
        """
        if not propagate_down[0]:
            return
        if self._operator is not None:
            if self.global_stats:
                self._operator.backward_normalize(top[0], bottom[0], self._moving_sums(), self.eps)
            else:
                self._operator.backward(top[0], bottom[0])
            return
        xp, dy = self.xp, top[0].const_diff.reshape(self.flat)
        if self.global_stats:
            dx = dy * self.inverse_std[:, None]
        else:
            y = self.kept
            projection = xp.einsum("ncs,ncs->c", dy, y) / self.dtype.type(self.per_channel)
            dx = y * -projection[:, None]
            dx += dy
            dx -= dy.mean(axis=(0, 2))[:, None]
            dx *= self.inverse_std[:, None]
        bottom[0].set_diff(dx.reshape(bottom[0].shape))

    def fusion(self) -> Fusion | None:
        """See `Layer.fusion`."""
        return Fusion.AFFINE if self.global_stats else None

    def channel_affine(self) -> tuple[Array, Array]:
        """See `Layer.channel_affine`."""
        mean, variance = self._moving_sums().statistics()
        factor = 1 / self.xp.sqrt(variance + self.eps)
        return factor, -mean * factor

    def _normalize_by_gathered(self, bottom: Blob, top: Blob, sums: MovingSums) -> None:
        if self._operator is not None:
            self._operator.normalize(bottom, top, sums, self.eps)
            return
        mean, variance = sums.statistics()
        self.inverse_std = 1 / self.xp.sqrt(variance + self.eps)
        x = bottom.const_data.reshape(self.flat)
        y = (top.mutable_data if top is bottom else top.new_data()).reshape(self.flat)
        self.xp.subtract(x, mean[:, None], out=y)
        y *= self.inverse_std[:, None]

    def _moving_sums(self) -> MovingSums:
        correction = self.per_channel / (self.per_channel - 1) if self.per_channel > 1 else 1
        return MovingSums(self.blobs, self.fraction, self.dtype.type(correction))


def _channels(bottom: Blob) -> int:
    """Return the number of channels, of a bottom that has elements."""
    if bottom.ndim < 1 or bottom.count == 0:
        raise ShapeError(
            f"expected a bottom of shape (N, C, ...) with elements, got {bottom.shape}"
        )
    return bottom.shape[1] if bottom.ndim > 1 else 1
