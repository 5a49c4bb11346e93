"""Accuracy: how often the label is among the highest scores."""

from sscaffe.blob import Blob
from sscaffe.dialect import is_scnn
from sscaffe.errors import ShapeError, UnsupportedError
from sscaffe.layer import Layer, canonical_axis, outer_inner, register
from sscaffe.layer_types.labels import check_labels, read_labels, require_labels
from sscaffe.layer_types.normalization import at_least_one


@register("Accuracy")
class AccuracyLayer(Layer):
    """The share of labels whose class is among the `top_k` highest scores.

    A tie is a mistake: a score equal to the label's counts as higher (in scnn's dialect only that
    of a larger class does). So is a score that is not a number. Labels equal to `ignore_label` do not count; of no labels the accuracy is 0.

    Bottoms: scores with the classes along `axis`, and labels, one for each place of the other
    axes. Tops: the accuracy, shape ``()``, and if wanted that of each class, shape ``(C,)``.
    """

    num_bottom = 2
    min_top = 1
    max_top = 2

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the labels and set the shapes of the tops."""
        scores, labels = bottom
        param = self.layer_param.accuracy_param
        axis = canonical_axis(param.axis, scores.ndim)
        self.classes = scores.shape[axis]
        self.larger_class_wins = is_scnn()
        self.outer, self.inner = outer_inner(scores.shape, axis)
        if param.top_k > self.classes:
            raise ShapeError(
                f"top_k: expected at most the number of classes, {self.classes}, got {param.top_k}"
            )
        require_labels(scores, labels, self.outer * self.inner)
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(self.classes)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Count the labels that were found."""
        xp, top_k = self.xp, self.layer_param.accuracy_param.top_k
        labels = read_labels(bottom[1], self.classes, self.ignored)
        index = labels.indices.reshape(self.outer, 1, self.inner)
        scores = bottom[0].const_data.reshape(self.outer, self.classes, self.inner)
        own = xp.take_along_axis(scores, index, axis=1)
        beaten = scores < own
        if self.larger_class_wins:
            beaten |= (scores == own) & (xp.arange(self.classes)[:, None] < index)
        found = labels.only((beaten.sum(axis=1) >= self.classes - top_k).reshape(-1))
        top[0].set_data(found.sum() / at_least_one(labels.valid) + labels.flaw)
        if len(top) > 1:
            # No count by bins: its result comes from the device before the next step.
            is_class = xp.arange(self.classes)[:, None] == labels.indices
            totals = labels.only(is_class).sum(axis=1)
            top[1].set_data((is_class & found).sum(axis=1) / xp.maximum(totals, 1))

    def explain(self, bottom: list[Blob]) -> None:
        """See `Layer.explain`."""
        check_labels(bottom[1], self.classes, self.ignored)

    @property
    def ignored(self) -> int | None:
        """The label that does not count."""
        param = self.layer_param.accuracy_param
        return int(param.ignore_label) if param.HasField("ignore_label") else None

    def allow_force_backward(self, index: int) -> bool:
        """Tell that no bottom has a gradient."""
        return False

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Refuse: counting has no gradient."""
        if any(propagate_down):
            raise UnsupportedError(
                "loss_weight: Accuracy has no gradient; leave its loss_weight out"
            )
