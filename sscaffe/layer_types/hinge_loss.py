"""HingeLoss: one against all others, by a margin."""

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.layer import Layer, loss_weight, register
from sscaffe.layer_types.labels import check_labels, read_labels, require_labels
from sscaffe.proto import caffe_pb2

HingeLossParameter = caffe_pb2.HingeLossParameter


@register("HingeLoss")
class HingeLossLayer(Layer):
    """``sum(max(0, 1 - t x)^p) / N``, where t is 1 for the label's class and -1 for the others.

    p is 1 for norm L1, 2 for L2.

    Bottoms: scores x, ``(N, ...)``, all axes but the first seen as one axis of classes, and N
    labels. Top: the loss, shape ``()``.
    """

    num_bottom = 2
    num_top = 1
    auto_top_blobs = True
    is_loss = True

    excess: Array  # max(0, 1 - t x)
    signs: Array  # t

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the shapes."""
        scores, labels = bottom
        if scores.ndim < 1 or scores.count == 0:
            raise ShapeError(f"expected scores of shape (N, C) with elements, got {scores.shape}")
        self.batch = scores.shape[0]
        require_labels(scores, labels, self.batch)
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the loss."""
        xp, scores = self.xp, bottom[0].const_data.reshape(self.batch, -1)
        labels = read_labels(bottom[1], scores.shape[1], None)
        is_label = xp.arange(scores.shape[1]) == labels.indices[:, None]
        self.signs = is_label * self.dtype.type(2) - self.dtype.type(1)
        self.excess = xp.maximum(1 - self.signs * scores, 0)
        terms = xp.square(self.excess) if self._is_squared else self.excess
        top[0].set_data(terms.sum(dtype=np.float64) / self.batch + labels.flaw)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set the gradient of the scores."""
        if propagate_down[1]:
            raise UnsupportedError("propagate_down: the labels of HingeLoss have no gradient")
        if propagate_down[0]:
            weight = loss_weight(top) / self.batch
            slope = 2 * self.excess if self._is_squared else self.excess > 0
            bottom[0].set_diff((-weight * self.signs * slope).reshape(bottom[0].shape))

    def explain(self, bottom: list[Blob]) -> None:
        """See `Layer.explain`."""
        check_labels(bottom[1], bottom[0].count // self.batch, None)

    def allow_force_backward(self, index: int) -> bool:
        """Tell that the labels have no gradient."""
        return index != 1

    @property
    def _is_squared(self) -> bool:
        norm = self.layer_param.hinge_loss_param.norm
        return bool(norm == HingeLossParameter.L2)
