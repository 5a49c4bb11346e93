"""InfogainLoss: a cross-entropy in which some mistakes count more than others."""

from pathlib import Path
from typing import Any

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.dialect import is_scnn
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.layer import Layer, canonical_axis, loss_weight, outer_inner, register
from sscaffe.layer_types.labels import Labels, check_labels, read_labels, require_labels
from sscaffe.layer_types.multinomial_logistic_loss import LEAST_PROBABILITY
from sscaffe.layer_types.normalization import divisor_of, normalization_of
from sscaffe.proto import caffe_pb2
from sscaffe.serialized import blobproto_to_array, read_binary


@register("InfogainLoss")
class InfogainLossLayer(Layer):
    """``-sum_k H[label, k] log softmax(x)[k]``, summed over the labels.

    It is divided as `normalization` says; labels equal to `ignore_label` do not count. With the
    identity as H this is SoftmaxWithLoss. In scnn's dialect x are probabilities already, and there
    is no softmax.

    Bottoms: scores x ``(N, C, ...)`` with the classes along `axis`, labels, one for each place of
    the other axes, and H, C * C elements, unless `source` is its file. Tops: the loss, shape
    ``()``, and if wanted the probabilities, shaped like the scores.
    """

    min_bottom = 2
    max_bottom = 3
    min_top = 1
    max_top = 2
    auto_top_blobs = True
    is_loss = True

    probabilities: Array
    rows_of_h: Array  # H[label], shaped like the probabilities; 0 where the label does not count
    labels: Labels

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read H, what the loss is divided by, and which label does not count."""
        param, loss_param = self.layer_param.infogain_loss_param, self.layer_param.loss_param
        self.normalization = normalization_of(loss_param)
        self.ignored = loss_param.ignore_label if loss_param.HasField("ignore_label") else None
        self.takes_probabilities = is_scnn()
        self.read_h: Array | None = None
        if len(bottom) < 3:
            if not param.source:
                raise ShapeError(
                    "source: expected the file of H, a binary BlobProto, or H as a third bottom; "
                    "got neither"
                )
            proto = read_binary(Path(self.root, param.source), caffe_pb2.BlobProto)
            self.read_h = self.xp.asarray(blobproto_to_array(proto), self.dtype)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the labels and H, and set the shapes of the tops."""
        scores, labels = bottom[:2]
        axis = canonical_axis(self.layer_param.infogain_loss_param.axis, scores.ndim)
        self.classes = scores.shape[axis]
        self.outer, self.inner = outer_inner(scores.shape, axis)
        require_labels(scores, labels, self.outer * self.inner)
        shape = bottom[2].shape if self.read_h is None else self.read_h.shape
        if np.prod(shape) != self.classes**2:
            raise ShapeError(
                f"expected {self.classes} * {self.classes} elements in H for {self.classes} "
                f"classes, got {shape}"
            )
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape_like(scores)
        self.probabilities = self.xp.empty((self.outer, self.classes, self.inner), self.dtype)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the loss, and the probabilities if there is a top for them."""
        xp, h = self.xp, bottom[2].const_data if self.read_h is None else self.read_h
        scores = bottom[0].const_data.reshape(self.probabilities.shape)
        if self.takes_probabilities:
            self.probabilities[...] = scores
        else:
            self.kernels.softmax(scores, self.probabilities)
        labels = self.labels = read_labels(bottom[1], self.classes, self.ignored)
        columns = xp.take(h.reshape(self.classes, self.classes).T, labels.indices, axis=1)
        columns = labels.only(columns).reshape(self.classes, self.outer, self.inner)
        self.rows_of_h = columns.swapaxes(0, 1)
        logs = xp.log(xp.maximum(self.probabilities, LEAST_PROBABILITY))
        loss = -(self.rows_of_h * logs).sum(dtype=np.float64)
        top[0].set_data(loss / self._divisor() + labels.flaw)
        if len(top) > 1:
            top[1].set_data(self.probabilities.reshape(top[1].shape))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set ``dx = (softmax(x) sum_k H[label, k] - H[label]) * loss weight / divisor``.

        Of probabilities, ``dx = -H[label] / x * loss weight / divisor``.
        """
        if any(propagate_down[1:]):
            raise UnsupportedError("propagate_down: labels and H of InfogainLoss have no gradient")
        if propagate_down[0]:
            diff = bottom[0].new_diff().reshape(self.probabilities.shape)
            if self.takes_probabilities:
                least = self.xp.maximum(self.probabilities, LEAST_PROBABILITY)
                self.xp.divide(-self.rows_of_h, least, out=diff)
            else:
                sums = self.rows_of_h.sum(axis=1, keepdims=True)
                self.xp.multiply(self.probabilities, sums, out=diff)
                diff -= self.rows_of_h
            diff *= loss_weight(top) / self._divisor()

    def explain(self, bottom: list[Blob]) -> None:
        """See `Layer.explain`."""
        check_labels(bottom[1], self.classes, self.ignored)

    def allow_force_backward(self, index: int) -> bool:
        """Tell that labels and H have no gradient."""
        return index == 0

    def _divisor(self) -> Any:
        full, valid = self.outer * self.inner, self.labels.valid
        return divisor_of(self.normalization, batch=self.outer, full=full, valid=valid)
