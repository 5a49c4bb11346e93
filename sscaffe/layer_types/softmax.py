"""Softmax: scores to probabilities."""

from sscaffe.blob import Blob
from sscaffe.layer import Layer, canonical_axis, outer_inner, register


@register("Softmax")
class SoftmaxLayer(Layer):
    """``y = exp(x) / sum(exp(x))`` along `axis`.

    Bottom and top: any shape with such an axis; the layer may run in place.
    """

    num_bottom = 1
    num_top = 1
    may_run_in_place = True

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the top the bottom's shape."""
        self.axis = canonical_axis(self.layer_param.softmax_param.axis, bottom[0].ndim)
        top[0].reshape_like(bottom[0])

    @property
    def replays(self) -> bool:
        """See `Layer.replays`."""
        return bool(self.dtype == "float32")

    @property
    def treats_images_apart(self) -> bool:
        """See `Layer.treats_images_apart`."""
        return self.axis > 0

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the probabilities."""
        outer, inner = outer_inner(bottom[0].shape, self.axis)
        shape = outer, bottom[0].shape[self.axis], inner
        out = top[0].mutable_data if top[0] is bottom[0] else top[0].new_data()
        self.kernels.softmax(bottom[0].const_data.reshape(shape), out.reshape(shape))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set ``dx = y (dy - sum(y dy))``."""
        if not propagate_down[0]:
            return
        y, top_diff = top[0].const_data, top[0].const_diff
        inner = (y * top_diff).sum(axis=self.axis, keepdims=True)
        bottom[0].set_diff(y * (top_diff - inner))
