"""MultinomialLogisticLoss: the cross-entropy of probabilities with the labels."""

import numpy as np

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.layer import Layer, loss_weight, register
from sscaffe.layer_types.labels import check_labels, read_labels, require_labels

# What a probability counts as at least, so that its logarithm is finite; the value is Caffe's.
LEAST_PROBABILITY = 1e-20


@register("MultinomialLogisticLoss")
class MultinomialLogisticLossLayer(Layer):
    """``-sum(log(p[label])) / N``; SoftmaxWithLoss takes scores, and is more precise.

    Bottoms: probabilities p, ``(N, ...)``, all axes but the first seen as one axis of classes, and
    N labels. Top: the loss, shape ``()``.
    """

    num_bottom = 2
    num_top = 1
    auto_top_blobs = True
    is_loss = True

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the shapes."""
        blob, labels = bottom
        if blob.ndim < 1 or blob.count == 0:
            raise ShapeError(
                f"expected probabilities of shape (N, C) with elements, got {blob.shape}"
            )
        self.batch = blob.shape[0]
        require_labels(blob, labels, self.batch)
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the loss."""
        xp, probabilities = self.xp, bottom[0].const_data.reshape(self.batch, -1)
        labels = read_labels(bottom[1], probabilities.shape[1], None)
        self.place = xp.arange(self.batch), labels.indices
        self.picked = xp.maximum(probabilities[self.place], LEAST_PROBABILITY)
        loss = -xp.log(self.picked).sum(dtype=np.float64)
        top[0].set_data(loss / self.batch + labels.flaw)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set ``dp[label] = -1 / (N p[label])`` times the loss weight, and 0 elsewhere."""
        if propagate_down[1]:
            raise UnsupportedError(
                "propagate_down: the labels of MultinomialLogisticLoss have no gradient"
            )
        if propagate_down[0]:
            weight = loss_weight(top) / self.batch
            diff = bottom[0].new_diff().reshape(self.batch, -1)
            diff[...] = 0
            diff[self.place] = -weight / self.picked

    def explain(self, bottom: list[Blob]) -> None:
        """See `Layer.explain`."""
        check_labels(bottom[1], bottom[0].count // self.batch, None)

    def allow_force_backward(self, index: int) -> bool:
        """Tell that the labels have no gradient."""
        return index != 1
