"""SoftmaxWithLoss: the cross-entropy of a softmax with the labels."""

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.errors import UnsupportedError
from sscaffe.kernels import CountedLabels
from sscaffe.layer import Layer, canonical_axis, loss_weight, outer_inner, register
from sscaffe.layer_types.labels import check_labels, require_labels
from sscaffe.layer_types.normalization import LossParameter, divisor_of, normalization_of


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
    counted: CountedLabels

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
        indices = self.xp.empty(self.outer * self.inner, np.int32)
        self.counted = CountedLabels(indices, self.xp.ones(1))
        # Where not all labels count, those that do are counted.
        counts = self.normalization == LossParameter.VALID and self.ignored is not None
        full = self.outer * self.inner
        sizes = divisor_of(self.normalization, batch=self.outer, full=full, valid=full)
        self.divisor = None if counts else sizes

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the loss, and the probabilities if there is a top for them."""
        scores = bottom[0].const_data.reshape(self.probabilities.shape)
        self.kernels.softmax(scores, self.probabilities)
        labels = bottom[1].const_data.reshape(-1)
        if not self.kernels.softmax_loss(
            self.probabilities,
            labels,
            self.ignored,
            self.divisor,
            self.counted,
            top[0].new_data(),
        ):
            self.explain(bottom)
        if len(top) > 1:
            top[1].set_data(self.probabilities.reshape(top[1].shape))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set ``dx = (softmax(x) - [class is label]) * loss weight / divisor``."""
        if propagate_down[1]:
            raise UnsupportedError("propagate_down: the labels of SoftmaxWithLoss have no gradient")
        if not propagate_down[0]:
            return
        diff = bottom[0].new_diff().reshape(self.probabilities.shape)
        self.kernels.softmax_loss_backward(self.probabilities, self.counted, loss_weight(top), diff)

    def explain(self, bottom: list[Blob]) -> None:
        """See `Layer.explain`: a label may be the number of no class."""
        check_labels(bottom[1], self.classes, self.ignored)

    def allow_force_backward(self, index: int) -> bool:
        """Tell that the labels have no gradient."""
        return index != 1
