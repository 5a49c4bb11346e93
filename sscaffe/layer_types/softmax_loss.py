"""SoftmaxWithLoss: the cross-entropy of a softmax with the labels."""

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.errors import UnsupportedError
from sscaffe.layer import Layer, canonical_axis, outer_inner, register
from sscaffe.layer_types.labels import read_labels, require_labels
from sscaffe.layer_types.normalization import divisor_of, normalization_of


@register("SoftmaxWithLoss")
class SoftmaxWithLossLayer(Layer):
    """``-log softmax(x)[label]``, summed over the labels and divided as `normalization` says.

    Labels equal to `ignore_label` do not count.

    Bottoms: scores ``(N, C, ...)`` with the classes along ``softmax_param.axis``, and labels, one
    for each place of the other axes. Tops: the loss, shape ``()``, and if wanted the
    probabilities, shaped like the scores.
    """

    num_bottom = 2
    min_top = 1
    max_top = 2
    auto_top_blobs = True
    is_loss = True

    probabilities: Array

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read what the loss is divided by, and which label does not count."""
        param = self.layer_param.loss_param
        self.normalization = normalization_of(param)
        self.ignored = param.ignore_label if param.HasField("ignore_label") else None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the labels and set the shapes of the tops."""
        scores, labels = bottom
        axis = canonical_axis(self.layer_param.softmax_param.axis, scores.ndim)
        self.classes = scores.shape[axis]
        self.outer, self.inner = outer_inner(scores.shape, axis)
        require_labels(scores, labels, self.outer * self.inner)
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape_like(scores)
        self.probabilities = self.xp.empty((self.outer, self.classes, self.inner), self.dtype)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the loss, and the probabilities if there is a top for them."""
        scores = bottom[0].const_data.reshape(self.probabilities.shape)
        self.kernels.softmax(scores, self.probabilities)
        self.labels, self.places = read_labels(bottom[1], self.classes, self.ignored)
        rows, columns = self.places // max(self.inner, 1), self.places % max(self.inner, 1)
        picked = self.probabilities[rows, self.labels, columns]
        # The least number that is not 0 keeps the logarithm finite.
        picked = self.xp.maximum(picked, np.finfo(np.float32).tiny)
        top[0].set_data(-self.xp.log(picked).sum(dtype=np.float64) / self._divisor())
        if len(top) > 1:
            top[1].set_data(self.probabilities.reshape(top[1].shape))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set ``dx = (softmax(x) - [class is label]) * loss weight / divisor``."""
        if propagate_down[1]:
            raise UnsupportedError("propagate_down: the labels of SoftmaxWithLoss have no gradient")
        if not propagate_down[0]:
            return
        factor = self.dtype.type(float(top[0].const_diff) / self._divisor())
        labels = self.xp.full(self.outer * self.inner, -1, np.int32)
        labels[self.places] = self.labels
        diff = bottom[0].new_diff().reshape(self.probabilities.shape)
        self.kernels.softmax_loss_backward(self.probabilities, labels, factor, diff)

    def allow_force_backward(self, index: int) -> bool:
        """Tell that the labels have no gradient."""
        return index != 1

    def _divisor(self) -> int:
        return divisor_of(
            self.normalization,
            batch=self.outer,
            full=self.outer * self.inner,
            valid=len(self.labels),
        )
