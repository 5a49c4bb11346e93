"""MVN: each image, or each of its channels, to mean 0 and variance 1."""

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, register


@register("MVN")
class MVNLayer(Layer):
    """``y = (x - mean) / (std + eps)``, or ``x - mean`` without `normalize_variance`.

    Mean and standard deviation are those of a channel of one image, or with `across_channels` of
    the image.

    Bottom and top: ``(N, C, ...)``; the layer may run in place.
    """

    num_bottom = 1
    num_top = 1
    may_run_in_place = True

    normalized: Array  # y, kept for backward: a layer that runs in place on the top overwrites it

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the top the bottom's shape."""
        blob = bottom[0]
        if blob.ndim < 2 or blob.count == 0:
            raise ShapeError(
                f"expected a bottom of shape (N, C, ...) with elements, got {blob.shape}"
            )
        parts = blob.shape[0]
        if not self.layer_param.mvn_param.across_channels:
            parts *= blob.shape[1]
        top[0].reshape_like(blob)
        self.normalized = self.xp.empty((parts, blob.count // parts), self.dtype)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Normalize."""
        xp, param, y = self.xp, self.layer_param.mvn_param, self.normalized
        x = bottom[0].const_data.reshape(y.shape)
        xp.subtract(x, x.mean(axis=1, keepdims=True), out=y)
        if param.normalize_variance:
            self.deviation = xp.sqrt(xp.square(y).mean(axis=1, keepdims=True)) + param.eps
            y /= self.deviation
        top[0].set_data(y.reshape(top[0].shape))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set ``dx = (dy - mean(dy) - y mean(y dy)) / (std + eps)``.

        That is the gradient for an eps of 0, as in Caffe. Without `normalize_variance` it is
        ``dy - mean(dy)``.
        """
        if not propagate_down[0]:
            return
        y = self.normalized
        dy = top[0].const_diff.reshape(y.shape)
        dx = dy - dy.mean(axis=1, keepdims=True)
        if self.layer_param.mvn_param.normalize_variance:
            dx -= y * (y * dy).mean(axis=1, keepdims=True)
            dx /= self.deviation
        bottom[0].set_diff(dx.reshape(bottom[0].shape))
