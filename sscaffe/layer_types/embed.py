"""Embed: a row of a learned table for each integer."""

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.layer import Layer, register
from sscaffe.layer_types.labels import check_labels, read_labels


@register("Embed")
class EmbedLayer(Layer):
    """``y = table[x] + bias``: what InnerProduct does to one-hot vectors, without the vectors.

    Bottom: integers from 0 to ``input_dim - 1``, any shape; they have no gradient. Top: the
    bottom's shape and an axis of `num_output`.
    Blobs: the table, shape ``(input_dim, num_output)``; if `bias_term` the bias, ``(num_output,)``.
    """

    num_bottom = 1
    num_top = 1

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create the table and the bias."""
        param = self.layer_param.embed_param
        self.rows, self.columns = int(param.input_dim), int(param.num_output)
        for name, size in (("num_output", self.columns), ("input_dim", self.rows)):
            if size < 1:
                raise ShapeError(f"{name}: expected 1 or more, got {size}")
        if not self.blobs:
            self.add_param((self.rows, self.columns), param.weight_filler)
            if param.bias_term:
                self.add_param((self.columns,), param.bias_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the shape of the top."""
        top[0].reshape(*bottom[0].shape, self.columns)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Look the rows up."""
        labels = read_labels(bottom[0], self.rows, None, "bottom", "rows")
        self.indices = labels.indices
        y = top[0].new_data().reshape(-1, self.columns)
        self.xp.take(self.blobs[0].const_data, self.indices, axis=0, out=y)
        if len(self.blobs) > 1:
            y += self.blobs[1].const_data
        if not self.device.is_cpu:
            y += labels.flaw

    def explain(self, bottom: list[Blob]) -> None:
        """See `Layer.explain`."""
        check_labels(bottom[0], self.rows, None, "bottom", "rows")

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add each gradient to its row of the table, and to the bias."""
        if propagate_down[0]:
            raise UnsupportedError("propagate_down: the integers of Embed have no gradient")
        top_diff = top[0].const_diff.reshape(-1, self.columns)
        if self.param_propagate_down[0]:
            self.kernels.add_rows(top_diff, self.indices, self.blobs[0].mutable_diff)
        if len(self.blobs) > 1 and self.param_propagate_down[1]:
            self.blobs[1].mutable_diff[...] += top_diff.sum(axis=0)

    def allow_force_backward(self, index: int) -> bool:
        """Tell that the integers have no gradient."""
        return False
