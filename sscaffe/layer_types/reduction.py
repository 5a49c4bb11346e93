"""Reduction: one number of all the last axes."""

from sscaffe.blob import Blob
from sscaffe.layer import Layer, canonical_axis, register
from sscaffe.proto import caffe_pb2

ReductionParameter = caffe_pb2.ReductionParameter


@register("Reduction")
class ReductionLayer(Layer):
    """`coeff` times the SUM, sum of magnitudes ASUM, sum of squares SUMSQ, or MEAN.

    Bottom: any shape; the axes from `axis` on are reduced. Top: the axes before it.
    """

    num_bottom = 1
    num_top = 1

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the shape of the top."""
        param, blob = self.layer_param.reduction_param, bottom[0]
        axis = canonical_axis(param.axis, blob.ndim) if blob.ndim else 0
        top[0].reshape(*blob.shape[:axis])
        self.flat = top[0].count, blob.count // max(top[0].count, 1)
        self.coeff = param.coeff
        if param.operation == ReductionParameter.MEAN:
            self.coeff /= max(self.flat[1], 1)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Reduce."""
        operation = self.layer_param.reduction_param.operation
        x = bottom[0].const_data.reshape(self.flat)
        if operation == ReductionParameter.ASUM:
            sums = self.xp.abs(x).sum(axis=1)
        elif operation == ReductionParameter.SUMSQ:
            sums = self.xp.square(x).sum(axis=1)
        else:
            sums = x.sum(axis=1)
        top[0].set_data((sums * self.coeff).reshape(top[0].shape))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Give every element its share."""
        if not propagate_down[0]:
            return
        operation = self.layer_param.reduction_param.operation
        share = self.coeff * top[0].const_diff.reshape(-1, 1)
        x, x_diff = bottom[0].const_data.reshape(self.flat), bottom[0].new_diff().reshape(self.flat)
        if operation == ReductionParameter.ASUM:
            self.xp.multiply(self.xp.sign(x), share, out=x_diff)
        elif operation == ReductionParameter.SUMSQ:
            self.xp.multiply(x, 2 * share, out=x_diff)
        else:
            x_diff[...] = share
