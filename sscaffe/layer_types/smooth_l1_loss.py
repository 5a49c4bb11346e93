"""SmoothL1Loss: squared where the difference is small, linear where it is large."""

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.layer import Layer, loss_weight, register
from sscaffe.layer_types.euclidean_loss import batch_of, require_same_items


@register("SmoothL1Loss")
class SmoothL1LossLayer(Layer):
    """``sum(outside * f(inside * (a - b))) / N``.

    f(d) is ``(sigma d)^2 / 2`` where ``|d| < 1 / sigma^2``, else ``|d| - 1 / (2 sigma^2)``.

    Bottoms: a and b, and if wanted the weights inside, and those outside, ``(N, ...)`` with as many
    elements each; weights have no gradient. Top: the loss, shape ``()``.

    Source: Girshick, "Fast R-CNN", ICCV 2015, eq. 3, and its code.
    """

    min_bottom = 2
    max_bottom = 4
    num_top = 1
    auto_top_blobs = True
    is_loss = True

    difference: Array  # inside * (a - b)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check sigma."""
        sigma = self.layer_param.smooth_l1_loss_param.sigma
        if sigma <= 0:
            raise ShapeError(f"sigma: expected a number above 0, got {sigma:g}")
        self.square = sigma * sigma

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the shapes."""
        for blob in bottom[1:]:
            require_same_items(bottom[0], blob)
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the loss."""
        xp, square = self.xp, self.square
        a, b, *weights = (blob.const_data.reshape(-1) for blob in bottom)
        self.difference = a - b
        if weights:
            self.difference *= weights[0]
        d = xp.abs(self.difference)
        terms = xp.where(d < 1 / square, 0.5 * square * d * d, d - 0.5 / square)
        if len(weights) > 1:
            terms *= weights[1]
        top[0].set_data(terms.sum(dtype=np.float64) / batch_of(bottom[0]))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set the gradients of a and b."""
        if any(propagate_down[2:]):
            raise UnsupportedError("propagate_down: the weights of SmoothL1Loss have no gradient")
        diff = self.xp.clip(self.square * self.difference, -1, 1)
        for weights in bottom[2:]:
            diff *= weights.const_data.reshape(-1)
        diff *= loss_weight(top) / batch_of(bottom[0])
        for sign, blob, wanted in zip((1, -1), bottom, propagate_down, strict=False):
            if wanted:
                blob.set_diff((sign * diff).reshape(blob.shape))

    def allow_force_backward(self, index: int) -> bool:
        """Tell that weights have no gradient."""
        return index < 2
