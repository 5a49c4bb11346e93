"""BatchReindex: the items of a batch in another order, some more than once."""

from sscaffe.blob import Blob
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.layer import Layer, register
from sscaffe.layer_types.labels import check_labels, read_labels


@register("BatchReindex")
class BatchReindexLayer(Layer):
    """``y[i] = x[index[i]]``.

    Bottoms: a batch ``(N, ...)``, and M numbers of its items, ``(M,)``, which have no gradient.
    Top: ``(M, ...)``.
    """

    num_bottom = 2
    num_top = 1

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Set the shape of the top."""
        batch, index = bottom
        if batch.ndim < 1:
            raise ShapeError("expected a batch of shape (N, ...), got a single number")
        if index.ndim != 1:
            raise ShapeError(f"expected numbers of items of shape (M,), got {index.shape}")
        top[0].reshape(index.count, *batch.shape[1:])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy the items."""
        labels = read_labels(bottom[1], bottom[0].shape[0], None, "numbers", "items")
        self.items = labels.indices
        y = top[0].new_data()
        self.xp.take(bottom[0].const_data, self.items, axis=0, out=y)
        if not self.device.is_cpu:
            y += labels.flaw

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add up the gradients of the copies of each item."""
        if propagate_down[1]:
            raise UnsupportedError("propagate_down: the numbers of BatchReindex have no gradient")
        if propagate_down[0]:
            diff = bottom[0].new_diff()
            diff[...] = 0
            self.kernels.add_rows(top[0].const_diff, self.items, diff)

    def explain(self, bottom: list[Blob]) -> None:
        """See `Layer.explain`."""
        check_labels(bottom[1], bottom[0].shape[0], None, "numbers", "items")

    def allow_force_backward(self, index: int) -> bool:
        """Tell that the numbers of the items have no gradient."""
        return index == 0
