"""The weights of a layer that mixes channels, as a matrix of filters by input channels."""

import numpy as np

from sscaffe.proto import caffe_pb2
from sscaffe.squeeze.graph import Array, Node, Value


class Dense:
    """A convolution, deconvolution or inner product.

    Parameters
    ----------
    node : Node
        The layer.

    Attributes
    ----------
    group : int
        Conv groups.
    outputs : int
        Filters or neurons.
    is_uniform : bool
        Whether a constant bottom gives a constant top: no border is padded.
    """

    def __init__(self, node: Node) -> None:
        self.node, self.type = node, node.param.type
        self.group, self.is_uniform = 1, True
        if self.type == "InnerProduct":
            self.outputs = node.param.inner_product_param.num_output
            return
        param = node.param.convolution_param
        self.group, self.outputs = param.group, param.num_output
        self.is_uniform = self.type != "Deconvolution" and not _pads(param)

    def bias(self) -> Array:
        """Return the bias of each filter, float64; zeros if there is none."""
        blobs = self.node.blobs
        if len(blobs) < 2:
            return np.zeros(self.outputs)
        return blobs[1].reshape(-1).astype(np.float64)

    def by_filter(self) -> Array:
        """Return the weights of each filter, shape (outputs, inputs per group, ...)."""
        weights = self.node.blobs[0]
        if self.type == "InnerProduct":
            transposed = self.node.param.inner_product_param.transpose
            return weights.T if transposed else weights
        if self.type == "Deconvolution":
            inputs, per_group = weights.shape[:2]
            parts = weights.reshape(self.group, inputs // self.group, per_group, -1)
            swapped = parts.transpose(0, 2, 1, 3)
            return swapped.reshape(self.outputs, inputs // self.group, -1)
        return weights

    def columns(self, bottom: Value) -> Array:
        """Return how many columns of the matrix each input channel has, of an inner product."""
        return np.asarray(bottom.width * bottom.spatial)

    def sums(self, bottom: Value) -> Array:
        """Return the sum of each filter's weights for each input channel, (outputs, channels)."""
        return self._reduce(bottom, self.by_filter().astype(np.float64))

    def active(self, bottom: Value) -> Array:
        """Return whether a filter reads an input channel with a weight that is not zero."""
        return self._reduce(bottom, (self.by_filter() != 0).astype(np.float64)) > 0

    def _reduce(self, bottom: Value, weights: Array) -> Array:
        """Add up what belongs to each filter and input channel."""
        count = len(bottom.channels)
        if self.type == "InnerProduct":
            columns = self.columns(bottom)
            starts = np.cumsum(columns) - columns
            return np.asarray(np.add.reduceat(weights, starts, axis=1))
        found = weights.reshape(*weights.shape[:2], -1).sum(-1)
        if self.group == 1:
            return np.asarray(found)
        full = np.zeros((self.outputs, count))
        rows, inputs = self.outputs // self.group, count // self.group
        for g in range(self.group):
            part = slice(g * rows, (g + 1) * rows)
            full[part, g * inputs : (g + 1) * inputs] = found[part]
        return full


def _pads(param: caffe_pb2.ConvolutionParameter) -> bool:
    sides = (param.pad_l, param.pad_r, param.pad_t, param.pad_b)
    return any((*param.pad, param.pad_h, param.pad_w, *sides))
