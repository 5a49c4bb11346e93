"""SigmoidCrossEntropyLoss: yes or no, for each element by itself."""

import numpy as np

from sscaffe.blob import Array, Blob
from sscaffe.dialect import is_scnn
from sscaffe.errors import UnsupportedError
from sscaffe.layer import Layer, loss_weight, register
from sscaffe.layer_types.euclidean_loss import batch_of, require_same_items
from sscaffe.layer_types.neuron import logistic
from sscaffe.layer_types.normalization import divisor_of, normalization_of
from sscaffe.proto import caffe_pb2


@register("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLossLayer(Layer):
    """``-t log s(x) - (1 - t) log(1 - s(x))``, where s is the logistic function, summed.

    It is divided as `normalization` says, by the number of items unless set; targets equal to
    `ignore_label` do not count.

    Bottoms: scores x and targets t from 0 to 1, ``(N, ...)`` with as many elements each. Top: the
    loss, shape ``()``.
    """

    num_bottom = 2
    num_top = 1
    auto_top_blobs = True
    is_loss = True

    counted: Array | None  # which targets count, where not all do

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read what the loss is divided by, and which target does not count."""
        # The loss_param of scnn has no effect.
        param = caffe_pb2.LossParameter() if is_scnn() else self.layer_param.loss_param
        self.normalization = normalization_of(param, caffe_pb2.LossParameter.BATCH_SIZE)
        self.ignored = param.ignore_label if param.HasField("ignore_label") else None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the shapes."""
        require_same_items(*bottom)
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the loss."""
        xp = self.xp
        x, t = (blob.const_data.reshape(-1) for blob in bottom)
        # The formula above, put so that no exponential can overflow.
        terms = xp.maximum(x, 0) - x * t + xp.log1p(xp.exp(-xp.abs(x)))
        self.counted, valid = None, x.size
        if self.ignored is not None:
            self.counted = xp.trunc(t) != self.ignored
            valid = self.counted.sum()
            terms *= self.counted
        self.divisor = divisor_of(
            self.normalization, batch=batch_of(bottom[0]), full=x.size, valid=valid
        )
        top[0].set_data(terms.sum(dtype=np.float64) / self.divisor)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Set ``dx = (s(x) - t) * loss weight / divisor``."""
        if propagate_down[1]:
            raise UnsupportedError(
                "propagate_down: the targets of SigmoidCrossEntropyLoss have no gradient"
            )
        if propagate_down[0]:
            x, t = (blob.const_data.reshape(-1) for blob in bottom)
            diff = logistic(x, self.xp, bottom[0].new_diff().reshape(-1))
            diff -= t
            diff *= loss_weight(top) / self.divisor
            if self.counted is not None:
                diff *= self.counted

    def allow_force_backward(self, index: int) -> bool:
        """Tell that the targets have no gradient."""
        return index != 1
