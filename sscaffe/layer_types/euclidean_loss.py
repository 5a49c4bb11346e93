"""EuclideanLoss: half the mean squared distance."""

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError
from sscaffe.layer import Layer, loss_weight, register


@register("EuclideanLoss")
class EuclideanLossLayer(Layer):
    """``sum((a - b)^2) / 2N``, for regression.

    Bottoms: a and b, ``(N, ...)`` with as many elements each. Top: the loss, shape ``()``.
    """

    num_bottom = 2
    num_top = 1
    auto_top_blobs = True
    is_loss = True

    difference: Array

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the shapes."""
        require_same_items(*bottom)
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the loss."""
        a, b = (blob.const_data.reshape(-1) for blob in bottom)
        self.difference = a - b
        self.batch = batch_of(bottom[0])
        squares = self.xp.square(self.difference).sum(dtype=np.float64)
        top[0].set_data(squares / (2 * self.batch))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set ``da = (a - b) / N`` times the loss weight, and ``db = -da``."""
        weight = loss_weight(top) / self.batch
        for sign, blob, wanted in zip((1, -1), bottom, propagate_down, strict=True):
            if wanted:
                blob.set_diff((sign * weight * self.difference).reshape(blob.shape))


def require_same_items(a: Blob, b: Blob) -> None:
    """Check that two bottoms have as many items, of as many elements."""
    if a.shape[:1] != b.shape[:1] or a.count != b.count:
        raise ShapeError(
            f"expected bottoms of as many items and elements, got {a.shape} and {b.shape}"
        )


def batch_of(blob: Blob) -> int:
    """Return the number of items, the size of the first axis; 1 at least, so as to divide by it."""
    return max(blob.shape[0], 1) if blob.ndim else 1
